"""What all groups of checks do with the nodes."""

import base64
import contextlib
import json
import shutil

from load import Load

from harness import KeyPair, irsa, wait_until
from harness.client import parts_of
from harness.kubeadm_cluster import API_SERVER

STOCK_ISSUER = "https://kubernetes.default.svc.cluster.local"
ISSUER = "https://oidc.example.com/prod"
JWKS_URI = "https://oidc.example.com/prod/keys.json"
PKI = "/etc/kubernetes/pki"
# So many judged uses between two steps: each maker's tokens reach each server many times over.
USES_BETWEEN_STEPS = 150


def place_key(node, key, name):
    """(public, private) as the API server of the node sees them; kubeadm's manifest mounts the folder."""
    for path, ending in ((key.public, "pub"), (key.private, "key")):
        target = node.pki / f"{name}.{ending}"
        shutil.copyfile(path, target)
        target.chmod(0o600)
    return f"{PKI}/{name}.pub", f"{PKI}/{name}.key"


@contextlib.contextmanager
def restarted(node, pod=API_SERVER):
    """Around a change of a manifest: until the node runs the new pod and serves again."""
    before = node.kubelet.count("started", pod)
    yield
    what = f"{node.name} to start {pod} again"
    wait_until(what, lambda: node.kubelet.count("started", pod) > before, 60)
    if pod == API_SERVER:
        node.wait_ready()


@contextlib.contextmanager
def load_that_is_never_refused(cluster, checks, what, seed):
    """Clients for the time of the block; a single valid token that is refused fails the check."""
    with Load(cluster.nodes, seed) as load:
        load.wait_for_uses(USES_BETWEEN_STEPS)
        yield load
        load.wait_for_uses(USES_BETWEEN_STEPS)
        load.require_working()
    refused = "\n".join(map(str, load.refusals[:20]))
    checks.equal(f"{what}: refused valid tokens", 0, len(load.refusals))
    if refused:
        print(refused)
    print(f"{what}: {load.uses()} uses of tokens, {len(load.refusals)} refused, unavailable {dict(load.unavailable)}", flush=True)


def backup(node):
    return "--backup", node.root / "var/lib/irsa/backup"


def contents(node):
    """Everything in the directory that the kubelet runs."""
    return {path.name: path.read_bytes() for path in node.kubelet.manifests.iterdir()}


def signed_by(node):
    """(issuer, kid) of a token that the node's API server signs now."""
    header, claims = parts_of(node.client.create_token("default", "default"))
    return claims["iss"], header["kid"]


def live(cluster, *more):
    """(exit code, messages of the problems, the table) of `irsa apiserver check --live` on all nodes."""
    servers = [word for node in cluster.nodes for word in ("--server", node.url)]
    ended = irsa.run("apiserver", "check", "--live", "-o", "json", "--kubeconfig", cluster.nodes[0].kubeconfig, *servers, *more)
    if ended.code not in (0, 3):
        raise AssertionError(ended)
    found = json.loads(ended.text())
    problems = [each["message"] for each in found["findings"] if each["severity"] == "problem"]
    return ended.code, problems, {row["server"]: row for row in found["servers"]}


def new_key(work, name, algorithm="rsa2048"):
    return KeyPair(work / "new-keys", name, algorithm)


def secret_token(node, name):
    """The token that the controller-manager writes into a Secret of this name."""
    path = f"/api/v1/namespaces/default/secrets/{name}"
    node.client.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/service-account-token",
            "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": "default"}},
        }
    )

    def read():
        return node.client.get(path).get("data", {}).get("token")

    # The leader may just have been replaced: the next one waits for the lease to end.
    return base64.b64decode(wait_until(f"a token in {name}", read, 60)).decode()
