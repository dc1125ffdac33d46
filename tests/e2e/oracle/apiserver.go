package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/pem"
	"fmt"

	"gopkg.in/go-jose/go-jose.v2"
	"gopkg.in/go-jose/go-jose.v2/jwt"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

// Documents is what a kube-apiserver with these key files would serve.
type Documents struct {
	// Start is why it would exit at start.
	Start string `json:"start_error,omitempty"`
	// Serve is why it would start and serve neither document.
	Serve     string `json:"serve_error,omitempty"`
	JWKS      []byte `json:"jwks,omitempty"`
	Discovery []byte `json:"discovery,omitempty"`
	// Kids are the keys that it loads, file by file, in order.
	Kids [][]string `json:"kids,omitempty"`
}

// Signing is what a kube-apiserver with this signing key file would sign with.
type Signing struct {
	Error     string `json:"error,omitempty"`
	Kid       string `json:"kid,omitempty"`
	Algorithm string `json:"alg,omitempty"`
}

// documents follows pkg/kubeapiserver/options/authentication.go (key files) and
// pkg/controlplane/apiserver/server.go (documents).
func documents(issuer, jwksURI string, files [][]byte) (result Documents) {
	defer func() {
		if bug := recover(); bug != nil {
			result = Documents{Start: fmt.Sprint("panic: ", bug)}
		}
	}()
	var all []any
	for i, text := range files {
		keys, err := keyutil.ParsePublicKeysPEM(text)
		if err != nil {
			return Documents{Start: fmt.Sprintf("file %d: %v", i, err)}
		}
		all = append(all, keys...)
		result.Kids = append(result.Kids, kids(keys))
	}
	getter, err := serviceaccount.StaticPublicKeysGetter(all)
	if err != nil {
		return Documents{Start: err.Error()}
	}
	provider, err := serviceaccount.NewOpenIDMetadataProvider(issuer, jwksURI, "", getter)
	if err != nil {
		result.Serve = err.Error()
		return result
	}
	result.Discovery, _ = provider.GetConfigJSON()
	result.JWKS, _ = provider.GetKeysetJSON()
	return result
}

func kids(keys []any) []string {
	var kids []string
	for _, key := range keys {
		getter, err := serviceaccount.StaticPublicKeysGetter([]any{key})
		if err != nil {
			kids = append(kids, "error: "+err.Error())
			continue
		}
		kids = append(kids, getter.GetPublicKeys(context.Background(), "")[0].KeyID)
	}
	return kids
}

// Block is one PEM block that Go's reader finds: a label that may be no UTF-8, and the SHA-256 of its bytes.
type Block struct {
	Label  []byte `json:"label"`
	SHA256 []byte `json:"sha256"`
}

func blocks(text []byte) []Block {
	blocks := []Block{}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return blocks
		}
		sum := sha256.Sum256(block.Bytes)
		blocks, text = append(blocks, Block{[]byte(block.Type), sum[:]}), rest
	}
}

// signing follows completeServiceAccountOptions in pkg/controlplane/apiserver/options/options.go, and signs a
// token, because a key may be read and then be refused by the signer.
func signing(text []byte) (result Signing) {
	defer func() {
		if bug := recover(); bug != nil {
			result = Signing{Error: fmt.Sprint("panic: ", bug)}
		}
	}()
	key, err := keyutil.ParsePrivateKeyPEM(text)
	if err != nil {
		return Signing{Error: err.Error()}
	}
	generator, err := serviceaccount.JWTTokenGenerator("https://issuer.example.com", key)
	if err != nil {
		return Signing{Error: err.Error()}
	}
	token, err := generator.GenerateToken(context.Background(), &jwt.Claims{Subject: "x"}, map[string]any{})
	if err != nil {
		return Signing{Error: "signing: " + err.Error()}
	}
	signed, err := jose.ParseSigned(token)
	if err != nil {
		return Signing{Error: "token: " + err.Error()}
	}
	header := signed.Signatures[0].Header
	if _, err := signed.Verify(public(key)); err != nil {
		return Signing{Error: "verifying: " + err.Error()}
	}
	return Signing{Kid: header.KeyID, Algorithm: header.Algorithm}
}

func public(key any) crypto.PublicKey {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return key.Public()
	case *ecdsa.PrivateKey:
		return key.Public()
	}
	return nil
}
