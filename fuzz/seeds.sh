#!/usr/bin/env bash
# Fills corpus/ from keys-example/ and from a few texts that stand here. Nothing of it is committed.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p corpus/{pem,jwks,discovery,token,issuer,config,review}
keys=../keys-example

seed() { # TARGET FILE...: copies under names that tell the folders apart
    local target=$1 file
    shift
    for file in "$@"; do
        cp -- "$file" "corpus/$target/$(tr / _ <<< "${file#"$keys/"}")"
    done
}
seed pem "$keys"/*.pub "$keys"/kube-apiserver-*/*.pub
seed jwks "$keys"/*.jwks.json "$keys"/kube-apiserver-*/jwks*.json
seed token "$keys"/kube-apiserver-*/token*.jwt "$keys"/kube-apiserver-*/signers/*.jwt
# The target reads the issuer from the first line.
for file in "$keys"/*.discovery.json "$keys"/kube-apiserver-*/discovery*.json; do
    sed -E 's/^\{"issuer":"([^"]*)".*/\1\n&/' "$file" > "corpus/discovery/$(basename "$file")"
done
number=0
for url in https://oidc.example.com https://oidc.example.com/clusters/prod https://10.0.0.1:6443/a \
    'https://[2001:db8::1]/x' http://localhost:8080/x http://127.0.0.1 'https://h/a&b' 'https://H/A%20b~c/' \
    'https://u:p@h/?q#f' https://xn--bcher-kva.example/ä; do
    number=$((number + 1))
    printf '%s' "$url" > "corpus/issuer/$number"
done
cat > corpus/config/whole <<'YAML'
# two clusters
output: json
log: irsa_issuer=debug
allow_trailing_slash: false
issuers:
  - issuer: https://oidc.example.com/a
    keys: [a.pub, /etc/kubernetes/pki/sa.pub]
  - issuer: https://oidc.example.com/b
    jwks_uri: https://oidc.example.com/b/openid/v1/jwks
    keys:
      - b
serve:
  listen: ["0.0.0.0:443", "[::]:443"]
  tls_cert: tls.crt
  tls_key: tls.key
  max_age: 5m
  header_timeout: 10s
YAML
printf 'issuers: []\n' > corpus/config/empty-list
printf 'serve: {max_agee: 5s}\n' > corpus/config/unknown
printf 'a: &a [*a]\n' > corpus/config/alias
for file in ../tests/golden/*/*/{before,accept,sign,new}.yaml; do
    [ -e "$file" ] || continue
    case=$(dirname "$file")
    distro=$(basename "$(dirname "$case")")
    mkdir -p "corpus/apiserver-$distro"
    cp -- "$file" "corpus/apiserver-$distro/$(basename "$case")_$(basename "$file")"
done
cp -- ../tests/golden/webhook/*.json corpus/review/
