#!/usr/bin/env bash
# Builds the programs of a Kubernetes control plane from their Go modules when they are missing, outside the tree, and
# prints the folder that holds them. binaries.sh [NAME...]: all of them, or those named.
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/irsa-e2e
names=("$@")
if [ ${#names[@]} = 0 ]; then
    names=(etcd kube-apiserver kube-controller-manager kubeadm kubectl)
fi
# Without its release in the linker flags kube-apiserver ends at once.
version=$(sed -nE 's/^(require)?[[:space:]]*k8s.io\/kubernetes (v[0-9.]+)( .*)?$/\2/p' "$source/go.mod")
: "${version:?go.mod names no release of k8s.io/kubernetes}"
if ! command -v go > /dev/null; then
    echo "Go is missing: it builds kube-apiserver $version and etcd from their modules. Install Go 1.26 or newer from" \
        "https://go.dev/dl/ and put it on PATH, or name a folder with these programs in KUBEBUILDER_ASSETS" >&2
    exit 1
fi
hash=$(cat "$source/go.mod" "$source/go.sum" "$0" <(go env GOVERSION) | sha256sum | cut -c1-16)
folder=$cache/control-plane-$hash
mkdir -p "$folder"

missing=()
for name in "${names[@]}"; do
    [ -x "$folder/$name" ] || missing+=("$name")
done
if [ ${#missing[@]} -gt 0 ]; then
    # Two runs at once would build the same for minutes.
    exec 9> "$folder/.lock"
    flock 9
    for name in "${missing[@]}"; do
        [ ! -x "$folder/$name" ] || continue
        case $name in
            etcd) package=go.etcd.io/etcd/server/v3 ;;
            *) package=k8s.io/kubernetes/cmd/$name ;;
        esac
        echo "building $name (once; all of them take about six minutes on two cores)" >&2
        (cd "$source" && CGO_ENABLED=0 go build -p "${IRSA_BUILD_JOBS:-2}" -mod=readonly -trimpath \
            -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$folder/$name.$$" "$package")
        mv "$folder/$name.$$" "$folder/$name"
    done
fi
echo "$folder"
