package main

import (
	"os"
	"path/filepath"
	"strings"
)

// The issuer of keys-example/.
const (
	exampleIssuer  = "https://issuer.example.com"
	exampleJWKSURI = "https://issuer.example.com/keys.json"
)

// writeExpected writes beside every NAME.pub of dir what kube-apiserver makes of it: NAME.kid, NAME.jwks.json and
// NAME.discovery.json, or NAME.refusal.
func writeExpected(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		made := documents(exampleIssuer, exampleJWKSURI, [][]byte{text})
		outputs := map[string]string{".refusal": made.Start + made.Serve + "\n"}
		if made.JWKS != nil {
			outputs = map[string]string{
				".kid":            strings.Join(made.Kids[0], "\n") + "\n",
				".jwks.json":      string(made.JWKS),
				".discovery.json": string(made.Discovery),
			}
		}
		for suffix, content := range outputs {
			if err := os.WriteFile(strings.TrimSuffix(name, ".pub")+suffix, []byte(content), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
