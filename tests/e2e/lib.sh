# Sourced by the parts of the end-to-end run. Gives $root, $irsa, $cache and $work, and stops what it started.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
irsa=${IRSA_BIN:-$root/target/release/irsa}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/irsa-e2e
seed=${IRSA_E2E_SEED:-1}
mkdir -p "$cache"
work=$(mktemp -d)
started=()
clean_up() {
    local pid
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

passed=0
check() { # WHAT EXPECTED FOUND
    [ "$2" = "$3" ] || fail "$1: expected \"$2\", found \"$3\""
    passed=$((passed + 1))
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for() { # URL [CURL-OPTION...]: until it answers, 10 s at most
    local url=$1 tries=0
    shift
    until curl -fsS -o /dev/null "$@" "$url" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "$url does not answer"
        sleep 0.1
    done
}

wait_for_port() { # HOST:PORT: until it accepts connections, 10 s at most
    python3 - "$1" <<'PYTHON' || fail "$1 does not listen"
import socket, sys, time
host, port = sys.argv[1].rsplit(":", 1)
for _ in range(100):
    try:
        socket.create_connection((host.strip("[]"), int(port))).close()
        sys.exit(0)
    except OSError:
        time.sleep(0.1)
sys.exit(1)
PYTHON
}

# A root, an intermediate and a server certificate for localhost: root.crt, chain.crt (leaf first) and leaf.key.
make_ca() { # DIR
    local dir=$1
    mkdir -p "$dir"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/root.key" -out "$dir/root.crt" \
        -days 2 -subj "/CN=irsa test root" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/intermediate.key" \
        -out "$dir/intermediate.csr" -subj "/CN=irsa test intermediate" 2>/dev/null
    openssl x509 -req -in "$dir/intermediate.csr" -CA "$dir/root.crt" -CAkey "$dir/root.key" -CAcreateserial -days 2 \
        -out "$dir/intermediate.crt" -extfile <(printf '%s\n' 'basicConstraints=critical,CA:TRUE,pathlen:0' \
            'keyUsage=critical,keyCertSign,cRLSign' 'subjectKeyIdentifier=hash' 'authorityKeyIdentifier=keyid') 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/leaf.key" -out "$dir/leaf.csr" \
        -subj "/CN=localhost" 2>/dev/null
    openssl x509 -req -in "$dir/leaf.csr" -CA "$dir/intermediate.crt" -CAkey "$dir/intermediate.key" -CAcreateserial \
        -days 2 -out "$dir/leaf.crt" -extfile <(printf '%s\n' 'basicConstraints=critical,CA:FALSE' \
            'keyUsage=critical,digitalSignature' 'extendedKeyUsage=serverAuth' 'subjectKeyIdentifier=hash' \
            'authorityKeyIdentifier=keyid' 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1') 2>/dev/null
    cat "$dir/leaf.crt" "$dir/intermediate.crt" > "$dir/chain.crt"
    chmod 600 "$dir"/*.key
}
