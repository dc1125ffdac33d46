package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"time"
)

// Item is one DER structure with the label that belongs to it.
type Item struct {
	what    string
	label   string
	private bool
	der     []byte
	// impossible marks numbers that no key generator makes, and that we do not judge as kube-apiserver does: RSA
	// numbers that no library verifies with, and what is no key on P-224, whose arithmetic we do not carry.
	impossible bool
}

var curves = map[string]elliptic.Curve{
	"p224": elliptic.P224(), "p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521(),
}

// pool makes every kind of block once: RSA keys are slow to make. The same seed gives the same pool.
func pool(r *mathrand.Rand) []Item {
	var items []Item
	add := func(what, label string, der []byte, err error) {
		if err != nil {
			panic(what + ": " + err.Error())
		}
		private := label == "RSA PRIVATE KEY" || label == "EC PRIVATE KEY" || label == "PRIVATE KEY"
		items = append(items, Item{what: what, label: label, private: private, der: der})
	}
	authority := rsaKey(r, 2048, 65537)

	for _, kind := range []struct {
		name string
		bits int
		e    int64
	}{
		{"rsa1024", 1024, 65537}, {"rsa1024-e3", 1024, 3}, {"rsa1023", 1023, 65537},
		{"rsa2048", 2048, 65537}, {"rsa2048-e3", 2048, 3}, {"rsa2048-e17", 2048, 17},
		{"rsa2047", 2047, 65537}, {"rsa2040", 2040, 65537}, {"rsa2048-e2^31-1", 2048, 1<<31 - 1},
		{"rsa3072", 3072, 65537}, {"rsa4096", 4096, 65537},
	} {
		key := rsaKey(r, kind.bits, kind.e)
		add(kind.name+" pkcs1", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), nil)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		add(kind.name+" pkcs8", "PRIVATE KEY", der, err)
		items = append(items, rsaPublic(kind.name, &key.PublicKey)...)
		items = append(items, certificate(r, kind.name, authority, &key.PublicKey)...)
	}
	// Numbers that no key generator makes; a public key needs no primes.
	for _, odd := range []struct {
		name string
		bits int
		even bool
		e    int
	}{
		{"n512", 512, false, 65537}, {"n768", 768, false, 65537}, {"n16", 16, false, 3}, {"n511", 511, false, 3},
		{"n2048-e1", 2048, false, 1}, {"n2048-e2", 2048, false, 2}, {"n2048-even", 2048, true, 65537},
		{"n2048-e2^31+1", 2048, false, 1<<31 + 1}, {"n2048-e2^33-1", 2048, false, 1<<33 - 1}, {"n2048-e2^33+1", 2048, false, 1<<33 + 1},
		{"n2048-e2^62+1", 2048, false, 1<<62 + 1}, {"n2041", 2041, false, 65537}, {"n2056", 2056, false, 65537},
		{"n8192", 8192, false, 65537}, {"n8193", 8193, false, 65537}, {"n16384", 16384, false, 65537},
	} {
		n := number(r, odd.bits)
		n.SetBit(n, 0, 1)
		if odd.even {
			n.SetBit(n, 0, 0)
		}
		made := rsaPublic(odd.name, &rsa.PublicKey{N: n, E: odd.e})
		for i := range made {
			made[i].impossible = odd.even || odd.e < 3 || odd.e > 1<<33-1 || odd.bits < 512 || odd.bits > 8192
		}
		items = append(items, made...)
	}

	for _, name := range []string{"p224", "p256", "p384", "p521"} {
		curve := curves[name]
		for _, variant := range []string{"", "-zero-x", "-zero-y", "-short-d"} {
			items = append(items, ecItems(r, name+variant, ecKey(r, curve, variant), authority)...)
		}
	}

	seed := make([]byte, ed25519.SeedSize)
	fill(r, seed)
	ed := ed25519.NewKeyFromSeed(seed)
	der, err := x509.MarshalPKCS8PrivateKey(ed)
	add("ed25519 pkcs8", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(ed.Public())
	add("ed25519 pkix", "PUBLIC KEY", der, err)
	items = append(items, certificate(r, "ed25519", authority, ed.Public())...)
	junk := make([]byte, 100)
	fill(r, junk)
	add("junk", "PUBLIC KEY", junk, nil)
	add("empty", "PUBLIC KEY", nil, nil)
	encrypted, err := asn1.Marshal(struct {
		A struct{ O asn1.ObjectIdentifier }
		B []byte
	}{struct{ O asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}}, junk})
	add("encrypted pkcs8", "ENCRYPTED PRIVATE KEY", encrypted, err)
	add("dh parameters", "DH PARAMETERS", []byte{0x30, 6, 2, 1, 23, 2, 1, 5}, nil)
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, authority)
	add("certificate request", "CERTIFICATE REQUEST", request, err)
	return items
}

func rsaPublic(name string, key *rsa.PublicKey) []Item {
	pkcs1 := x509.MarshalPKCS1PublicKey(key)
	info := func(oid asn1.ObjectIdentifier, parameters asn1.RawValue) []byte {
		return spki(pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: parameters}, pkcs1)
	}
	encryption := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	return []Item{
		{what: name + " pkix", label: "PUBLIC KEY", der: info(encryption, asn1.NullRawValue)},
		{what: name + " pkix again", label: "PUBLIC KEY", der: info(encryption, asn1.NullRawValue)},
		{what: name + " pkix labelled RSA", label: "RSA PUBLIC KEY", der: info(encryption, asn1.NullRawValue)},
		{what: name + " pkix without NULL", label: "PUBLIC KEY", der: info(encryption, asn1.RawValue{})},
		{what: name + " pkix PSS", label: "PUBLIC KEY", der: info(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, asn1.RawValue{})},
		{what: name + " pkcs1 public", label: "RSA PUBLIC KEY", der: pkcs1},
	}
}

func spki(algorithm pkix.AlgorithmIdentifier, key []byte) []byte {
	der, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}{algorithm, asn1.BitString{Bytes: key, BitLength: 8 * len(key)}})
	if err != nil {
		panic(err)
	}
	return der
}

// sec1Key is SEC1's ECPrivateKey (RFC 5915).
type sec1Key struct {
	Version    int
	PrivateKey []byte
	Curve      asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

// pkcs8Key is PKCS#8's PrivateKeyInfo (RFC 5208).
type pkcs8Key struct {
	Version    int
	Algorithm  pkix.AlgorithmIdentifier
	PrivateKey []byte
}

func ecItems(r *mathrand.Rand, name string, key *ecdsa.PrivateKey, authority *rsa.PrivateKey) []Item {
	curve := key.Curve
	oid := map[elliptic.Curve]asn1.ObjectIdentifier{
		elliptic.P224(): {1, 3, 132, 0, 33}, elliptic.P256(): {1, 2, 840, 10045, 3, 1, 7},
		elliptic.P384(): {1, 3, 132, 0, 34}, elliptic.P521(): {1, 3, 132, 0, 35},
	}[curve]
	marshal := func(value any) []byte {
		der, err := asn1.Marshal(value)
		if err != nil {
			panic(err)
		}
		return der
	}
	point := elliptic.Marshal(curve, key.X, key.Y)
	compressed := elliptic.MarshalCompressed(curve, key.X, key.Y)
	hybrid := append([]byte{6 + byte(key.Y.Bit(0))}, point[1:]...)
	scalar := key.D.FillBytes(make([]byte, (curve.Params().N.BitLen()+7)/8))
	bits := func(point []byte) asn1.BitString { return asn1.BitString{Bytes: point, BitLength: 8 * len(point)} }
	named := asn1.RawValue{FullBytes: marshal(oid)}
	algorithm := func(parameters asn1.RawValue) pkix.AlgorithmIdentifier {
		return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Parameters: parameters}
	}
	bare := marshal(sec1Key{1, scalar, nil, bits(point)})
	secp256k1 := asn1.RawValue{FullBytes: marshal(asn1.ObjectIdentifier{1, 3, 132, 0, 10})}
	items := []Item{
		{what: name + " sec1", label: "EC PRIVATE KEY", private: true, der: marshal(sec1Key{1, scalar, oid, bits(point)})},
		{what: name + " sec1 without public key", label: "EC PRIVATE KEY", private: true, der: marshal(sec1Key{1, scalar, oid, asn1.BitString{}})},
		{what: name + " sec1 without curve", label: "EC PRIVATE KEY", private: true, der: bare},
		{what: name + " sec1 without leading zeros", label: "EC PRIVATE KEY", private: true, der: marshal(sec1Key{1, key.D.Bytes(), oid, bits(point)})},
		{what: name + " sec1 with leading zeros", label: "EC PRIVATE KEY", private: true, der: marshal(sec1Key{1, append(make([]byte, 5), scalar...), oid, bits(point)})},
		{what: name + " sec1 other public key", label: "EC PRIVATE KEY", private: true, der: marshal(sec1Key{1, scalar, oid, bits(hybrid)})},
		{what: name + " sec1 compressed public key", label: "EC PRIVATE KEY", private: true, der: marshal(sec1Key{1, scalar, oid, bits(compressed)})},
		{what: name + " sec1 scalar of zero", label: "EC PRIVATE KEY", private: true, der: marshal(sec1Key{1, make([]byte, len(scalar)), oid, bits(point)})},
		{what: name + " sec1 scalar of the order", label: "EC PRIVATE KEY", private: true, der: marshal(sec1Key{1, curve.Params().N.Bytes(), oid, bits(point)})},
		{what: name + " pkcs8", label: "PRIVATE KEY", private: true, der: marshal(pkcs8Key{0, algorithm(named), bare})},
		{what: name + " pkcs8 curve twice", label: "PRIVATE KEY", private: true, der: marshal(pkcs8Key{0, algorithm(named), marshal(sec1Key{1, scalar, oid, bits(point)})})},
		{what: name + " pkcs8 curve inside", label: "PRIVATE KEY", private: true, der: marshal(pkcs8Key{0, algorithm(asn1.NullRawValue), marshal(sec1Key{1, scalar, oid, bits(point)})})},
		{what: name + " pkix", label: "PUBLIC KEY", der: spki(algorithm(named), point)},
		{what: name + " pkix again", label: "PUBLIC KEY", der: spki(algorithm(named), point)},
		{what: name + " pkix compressed", label: "PUBLIC KEY", der: spki(algorithm(named), compressed)},
		{what: name + " pkix hybrid", label: "PUBLIC KEY", der: spki(algorithm(named), hybrid)},
		{what: name + " pkix off the curve", label: "PUBLIC KEY", der: spki(algorithm(named), append(point[:len(point)-1:len(point)-1], point[len(point)-1]^1))},
		{what: name + " pkix infinity", label: "PUBLIC KEY", der: spki(algorithm(named), []byte{0})},
		{what: name + " pkix without curve", label: "PUBLIC KEY", der: spki(algorithm(asn1.RawValue{}), point)},
		{what: name + " pkix secp256k1", label: "PUBLIC KEY", der: spki(algorithm(secp256k1), point)},
		{what: name + " parameters", label: "EC PARAMETERS", der: marshal(oid)},
	}
	for i, item := range items {
		off := strings.HasSuffix(item.what, "off the curve") || strings.Contains(item.what, "scalar of")
		items[i].impossible = off && curve == elliptic.P224()
	}
	return append(items, certificate(r, name, authority, &key.PublicKey)...)
}

// certificate makes certificates for key. The authority is RSA, because its signatures are deterministic.
func certificate(r *mathrand.Rand, name string, authority *rsa.PrivateKey, key crypto.PublicKey) []Item {
	start := time.Unix(1_700_000_000, 0)
	templates := map[string]*x509.Certificate{
		"certificate": {NotBefore: start, NotAfter: start.AddDate(1, 0, 0)},
		"certificate with extensions": {
			NotBefore: start, NotAfter: start.AddDate(100, 0, 0), IsCA: true, BasicConstraintsValid: true,
			DNSNames: []string{"kubernetes", "kubernetes.default.svc"}, KeyUsage: x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, SubjectKeyId: []byte{1, 2, 3},
			PolicyIdentifiers: []asn1.ObjectIdentifier{{1, 2, 3}}, OCSPServer: []string{"http://ocsp.example.com"},
			PermittedDNSDomains: []string{"example.com"}, CRLDistributionPoints: []string{"http://crl.example.com"},
		},
	}
	var items []Item
	for _, kind := range []string{"certificate", "certificate with extensions"} {
		template := templates[kind]
		template.SerialNumber = number(r, 120)
		template.Subject = pkix.Name{CommonName: name, Organization: []string{"irsa tests"}}
		template.SignatureAlgorithm = x509.SHA256WithRSA
		der, err := x509.CreateCertificate(rand.Reader, template, template, key, authority)
		if err != nil {
			panic(err)
		}
		items = append(items, Item{what: name + " " + kind, label: "CERTIFICATE", der: der})
	}
	return items
}

// rsaKey is deterministic, which crypto/rsa deliberately is not.
func rsaKey(r *mathrand.Rand, bits int, e int64) *rsa.PrivateKey {
	one := big.NewInt(1)
	for {
		p, q := prime(r, (bits+1)/2, e), prime(r, bits/2, e)
		n := new(big.Int).Mul(p, q)
		if n.BitLen() != bits || p.Cmp(q) == 0 {
			continue
		}
		p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
		lcm := new(big.Int).Div(new(big.Int).Mul(p1, q1), new(big.Int).GCD(nil, nil, p1, q1))
		d := new(big.Int).ModInverse(big.NewInt(e), lcm)
		key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e)}, D: d, Primes: []*big.Int{p, q}}
		key.Precompute()
		return key
	}
}

func prime(r *mathrand.Rand, bits int, e int64) *big.Int {
	p := number(r, bits)
	p.SetBit(p, 0, 1)
	rest := new(big.Int)
	for {
		rest.Mod(p, big.NewInt(e))
		if rest.Int64() != 1 && p.ProbablyPrime(1) {
			return p
		}
		p.Add(p, big.NewInt(2))
	}
}

// number has exactly this many bits.
func number(r *mathrand.Rand, bits int) *big.Int {
	bytes := make([]byte, (bits+7)/8)
	fill(r, bytes)
	n := new(big.Int).SetBytes(bytes)
	n.Rsh(n, uint(8*len(bytes)-bits))
	return n.SetBit(n, bits-1, 1)
}

func ecKey(r *mathrand.Rand, curve elliptic.Curve, variant string) *ecdsa.PrivateKey {
	width := (curve.Params().BitSize + 7) / 8
	spare := 8*width - curve.Params().BitSize
	for {
		scalar := make([]byte, width)
		fill(r, scalar)
		scalar[0] &= 0xff >> spare
		if variant == "-short-d" {
			clear(scalar[:width/2])
		}
		key, err := ecdsa.ParseRawPrivateKey(curve, scalar)
		if err != nil {
			continue
		}
		if variant == "-zero-x" && len(key.X.Bytes()) >= width-spare/7 || variant == "-zero-y" && len(key.Y.Bytes()) >= width-spare/7 {
			continue
		}
		return key
	}
}

func fill(r *mathrand.Rand, bytes []byte) {
	for i := range bytes {
		bytes[i] = byte(r.Uint32())
	}
}

func random(seed uint64, stream string) *mathrand.Rand {
	key := sha256.Sum256([]byte(stream))
	for i := range 8 {
		key[i] ^= byte(seed >> (8 * i))
	}
	return mathrand.New(mathrand.NewChaCha8(key))
}
