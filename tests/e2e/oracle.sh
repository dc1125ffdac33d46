#!/usr/bin/env bash
# Builds the oracle when it is missing, outside the tree, and runs it.
set -euo pipefail
source=$(cd "$(dirname "$0")/oracle" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/irsa-e2e
hash=$(cat "$source"/*.go "$source"/go.mod "$source"/go.sum <(go env GOVERSION) | sha256sum | cut -c1-16)
oracle=$cache/oracle-$hash
if [ ! -x "$oracle" ]; then
    mkdir -p "$cache"
    echo "building the oracle from Kubernetes' own code (two minutes, once)" >&2
    (cd "$source" && CGO_ENABLED=0 go build -p "${IRSA_BUILD_JOBS:-2}" -mod=readonly -trimpath -o "$oracle.$$" .)
    mv "$oracle.$$" "$oracle"
fi
exec "$oracle" "$@"
