#!/usr/bin/env bash
# Makes the key files anew, and what kube-apiserver's own functions make of them. Everything but the two folders of
# a real server is replaced. Private keys live in a temporary folder and are gone at the end.
set -euo pipefail
cd "$(dirname "$0")"

private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
rm -f -- *.pub *.kid *.jwks.json *.discovery.json *.refusal

rsa() { openssl genpkey -algorithm RSA -pkeyopt "rsa_keygen_bits:$2" -pkeyopt "rsa_keygen_pubexp:${3:-65537}" -out "$private/$1" 2>/dev/null; }
ec() { openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:$2" -out "$private/$1"; }
public() { openssl pkey -in "$private/$1" -pubout -out "$2.pub"; }
certificate() { openssl req -new -x509 -key "$private/$1" -subj "/CN=service-accounts" -days 1 -out "$2.pub"; }

for bits in 2048 3072 4096; do rsa "rsa$bits" $bits; public "rsa$bits" "rsa$bits"; done
rsa exponent3 2048 3; public exponent3 rsa2048-exponent3
for curve in 256 384 521; do ec "p$curve" "P-$curve"; public "p$curve" "p$curve"; done

# The point is the tail of the DER: x, then y.
point() { openssl pkey -in "$1" -pubout -outform DER | tail -c $((2 * $2)) | od -An -v -tx1 | tr -d ' \n'; }
leading_zero() { # NAME CURVE BYTES ZEROS x|y: a coordinate that starts with this many zero digits
    local at=0 digits
    if [ "$5" = y ]; then at=$((2 * $3)); fi
    while :; do
        ec "$1" "$2"
        digits=$(point "$private/$1" "$3")
        if [[ ${digits:$at:$4} =~ ^0+$ ]]; then break; fi
    done
    public "$1" "$1"
}
leading_zero p256-leading-zero-x P-256 32 2 x
leading_zero p256-leading-zero-y P-256 32 2 y
leading_zero p384-leading-zero-x P-384 48 2 x
leading_zero p384-leading-zero-y P-384 48 2 y
# 521 bits leave seven zero bits in the first byte: two whole zero bytes are the interesting case.
leading_zero p521-leading-zero-x P-521 66 4 x
leading_zero p521-leading-zero-y P-521 66 4 y

certificate rsa2048 rsa2048-certificate
certificate p256 p256-certificate
certificate p521 p521-certificate
# kOps writes PKIX bytes under the label of PKCS#1.
sed 's/ PUBLIC KEY/ RSA PUBLIC KEY/' rsa2048.pub > rsa2048-pkix-under-rsa-label.pub

# Not read by kube-apiserver.
openssl rsa -in "$private/rsa2048" -RSAPublicKey_out -out rsa2048-pkcs1.pub 2>/dev/null
openssl ec -in "$private/p256" -pubout -conv_form compressed -out p256-compressed.pub 2>/dev/null
openssl genpkey -algorithm ED25519 -out "$private/ed25519"; public ed25519 ed25519
ec p224 P-224; public p224 p224

{
    echo "# the key in use"
    cat rsa2048.pub
    echo "retired: 2026-10-01, withdraw after 2027-10-02"
    cat p256-leading-zero-x.pub p384.pub
    openssl ecparam -name prime256v1
    echo
    cat p256-certificate.pub
    echo "-----BEGIN PUBLIC KEY-----"
    echo "left over from an editor"
    cat rsa2048-pkcs1.pub p521.pub rsa2048.pub
    printf 'no final newline after this'
} > several.pub
sed 's/$/\r/' several.pub > several-crlf.pub

../tests/e2e/oracle.sh expect "$PWD"
