#!/usr/bin/env bash
# Helm and promtool, made once, outside the tree: prints the folder that holds the one asked for. tools.sh helm|promtool
set -euo pipefail
HELM=v4.3.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/irsa-e2e
mkdir -p "$cache"

once() { # FOLDER FUNCTION: two runs at once would do the same
    local folder=$1
    exec 9> "$folder.lock"
    flock 9
    if [ ! -e "$folder/done" ]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        "$2" "$folder"
        touch "$folder/done"
    fi
    exec 9>&-
    echo "$folder"
}

build_helm() {
    echo "building helm $HELM (once; three minutes on two cores)" >&2
    # The checksum database answers for the module; -trimpath makes the program independent of this machine.
    (cd "$1" && GOFLAGS=-mod=mod GOBIN=$1 CGO_ENABLED=0 go install -p "${IRSA_BUILD_JOBS:-2}" -trimpath -ldflags "-s -w" \
        "helm.sh/helm/v4/cmd/helm@$HELM")
}

# The program alone: the package would start a server.
unpack_promtool() {
    (cd "$1" && apt-get -qq -o APT::Sandbox::User=root download prometheus > /dev/null && dpkg -x prometheus_*.deb . && mv usr/bin/promtool . &&
        rm -rf usr etc lib var ./*.deb)
}

case ${1:-} in
    helm) once "$cache/helm-$HELM-$(go env GOVERSION)" build_helm ;;
    promtool) once "$cache/promtool-$(. /etc/os-release && echo "$VERSION_CODENAME")" unpack_promtool ;;
    *) echo "tools.sh helm|promtool" >&2; exit 2 ;;
esac
