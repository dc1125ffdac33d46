"""`irsa apiserver rollout`: one node after the other, each proved before the next, and put back when it fails."""

import time

import killed
import yaml
from nodes import (
    ISSUER,
    JWKS_URI,
    PKI,
    STOCK_ISSUER,
    backup,
    contents,
    live,
    load_that_is_never_refused,
    new_key,
    restarted,
    secret_token,
    signed_by,
)

from harness import irsa, scene, wait_until
from harness.client import parts_of
from harness.kubeadm_cluster import API_SERVER, CONTROLLER_MANAGER
from harness.process import binary

KEYS = "/etc/kubernetes/irsa"
# Long enough for a restart on a busy machine.
PATIENCE = "90s"
IMPATIENCE = "10s"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/irsa-rollout"


def check(cluster, checks, seed, work):
    key = new_key(work, "rollout")
    first, second, third = cluster.nodes
    (stock_kid,) = first.client.kids()
    stock = {node: contents(node) for node in cluster.nodes}
    old = first.client.create_token("default", "default")
    roll = Rollout(cluster, key)
    with load_that_is_never_refused(cluster, checks, "rollout", f"{seed} rollout") as load:
        checks.equal("check --live: no server has our issuer", 3, live(cluster, "--issuer", ISSUER)[0])
        scene("refusals", check_refusals, roll, checks, first, third)
        scene("put back", check_put_back, roll, checks, first, work, seed)
        for node in (first, second):
            roll.accept(node)
            checks.equal(f"accept: {node.name} serves both keys", [stock_kid, key.kid], node.client.kids())
            checks.equal(f"accept: {node.name} signs as before", (STOCK_ISSUER, stock_kid), signed_by(node))
            load.wait_for_uses(150)
        check_placed(checks, first)
        check_unready_peer(roll, checks, first, third)
        scene("killed", killed.check, roll, checks, third, first, key, work)
        for node in cluster.nodes:
            with restarted(node, CONTROLLER_MANAGER):
                roll.sign(node)
            checks.equal(f"sign: {node.name} signs with ours", (ISSUER, key.kid), signed_by(node))
            load.wait_for_uses(150)
            if node is first:
                check_too_early(roll, checks, first)
        check_second_run(roll, checks, first)
        everywhere = {(maker.name, user.name) for maker in cluster.nodes for user in cluster.nodes if maker is not user}
        wait_until("tokens of our key to cross all nodes", lambda: load.crossed(key.kid) >= everywhere, 30)
    checks.equal("check --live: all servers sign with ours", (0, []), live(cluster, "--issuer", ISSUER)[:2])
    legacy = secret_token(first, "after-rollout")
    checks.equal("the controller-manager signs with our key", key.kid, parts_of(legacy)[0]["kid"])
    statuses = [node.client.as_user(legacy).request("GET", "/version").status for node in cluster.nodes]
    checks.equal("its token is accepted everywhere", [200] * len(cluster.nodes), statuses)
    scene("retire", check_retire, roll, checks, first, old, key)
    check_revert(checks, third, stock[third])


class Rollout:
    def __init__(self, cluster, key):
        self.cluster = cluster
        self.key = key

    def retire(self, node):
        words = [*self.words(node, "retire"), "--remove-issuer", STOCK_ISSUER, "--remove-key-file", f"{PKI}/sa.pub"]
        return irsa.run(*words)

    def words(self, node, phase, timeout=PATIENCE, peers=None):
        if peers is None:
            peers = [other for other in self.cluster.nodes if other is not node]
        private = ["--place-signing-key", self.key.private] if phase == "sign" else []
        return [
            *("apiserver", "rollout", "--phase", phase, "--issuer", ISSUER, "--jwks-uri", JWKS_URI),
            *("--place-key", self.key.public, *private, "--key-directory", KEYS),
            *("--root", node.root, "--manifest", node.manifest, "--kubeconfig", node.kubeconfig, *backup(node)),
            *[word for peer in peers for word in ("--peer", peer.url)],
            *("--timeout", timeout),
        ]

    def accept(self, node, *more, code=0, **keywords):
        return irsa.must(code, *self.words(node, "accept", **keywords), *more)

    def sign(self, node, *more, code=0, **keywords):
        return irsa.must(code, *self.words(node, "sign", **keywords), *more)


def unchanged(node, checks, what, work):
    """Runs `work`, which must leave the node as it is."""
    before, started = contents(node), node.kubelet.count("started")
    ended = work()
    checks.equal(f"{what}: nothing is changed", before, contents(node))
    checks.equal(f"{what}: nothing is restarted", started, node.kubelet.count("started"))
    return ended


def check_refusals(roll, checks, node, absent):
    ended = unchanged(node, checks, "a dry run", lambda: roll.accept(node, "--dry-run"))
    checks.contains("a dry run shows the lines", ended.text(), f"--service-account-issuer={ISSUER}")
    checks.true("a dry run places no key", not (node.root / KEYS[1:]).exists())
    ended = unchanged(node, checks, "sign before accept", lambda: irsa.run(*roll.words(node, "sign")))
    checks.true("sign before accept is refused", ended.code in (1, 2), ended)
    ended = unchanged(node, checks, "one other server", lambda: roll.accept(node, code=4, peers=[absent]))
    checks.contains("one other server is too few", ended.errors(), "--allow-single")
    # One of them, and this node's own under another name.
    names = [absent.url, node.url.replace("127.0.0.1", "localhost")]
    words = [*roll.words(node, "accept", peers=[]), *[word for name in names for word in ("--peer", name)]]
    ended = unchanged(node, checks, "its own name", lambda: irsa.run(*words))
    checks.equal("its own name is no other server", 4, ended.code)
    checks.contains("which is said", ended.errors(), "this node's own API server under another name")
    names = [absent.url, absent.url.replace("127.0.0.1", "localhost")]
    words = [*roll.words(node, "accept", peers=[]), *[word for name in names for word in ("--peer", name)]]
    ended = unchanged(node, checks, "one server twice", lambda: irsa.run(*words))
    checks.equal("one server under two names is one", 4, ended.code)
    checks.contains("which is said too", ended.errors(), f"the same API server as {absent.url}")
    ended = unchanged(node, checks, "a time without bounds", lambda: roll.accept(node, code=2, timeout="2h"))
    checks.contains("a time without bounds is refused", ended.errors(), "out of bounds", "5 s to 1 h")
    # These servers do not register themselves: they have one address.
    ended = unchanged(node, checks, "no other server", lambda: irsa.run(*roll.words(node, "accept", peers=[])))
    checks.true("no other server is too few", ended.code in (2, 4), ended)
    checks.contains("what to name is said", ended.errors(), "--peer")
    # Somebody else's turn.
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    spec = {"holderIdentity": "another-node", "leaseDurationSeconds": 600, "acquireTime": now, "renewTime": now}
    node.client.apply(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "irsa-rollout", "namespace": "kube-system"},
            "spec": spec,
        }
    )
    ended = unchanged(node, checks, "another node's turn", lambda: roll.accept(node, code=4))
    checks.contains("another node's turn is named", ended.errors(), "another-node")
    node.client.call("DELETE", LEASE)


def check_put_back(roll, checks, node, work, seed):
    """An API server that does not come up with the new flags, and one that comes up and does not show them."""
    real = binary("kube-apiserver")
    broken = {
        "ends": f'case "$*" in *{ISSUER}*) echo "no such issuer" >&2; exit 1 ;; esac\nexec {real} "$@"\n',
        # As with an old image or a mistyped flag name: the new words change nothing.
        "ignores them": f"""for word; do shift; case $word in *{ISSUER}* | *{KEYS}*) ;; *) set -- "$@" "$word" ;; esac; done
case "$*" in *--service-account-issuer=*) ;; *) set -- "$@" --service-account-issuer={STOCK_ISSUER} ;; esac
exec {real} "$@"
""",
    }
    for what, script in broken.items():
        program = work / f"kube-apiserver-that-{what.split()[0]}"
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)
        before, kids = contents(node), node.client.kids()
        node.kubelet.programs["kube-apiserver"] = program
        try:
            ended = roll.accept(node, code=1, timeout=IMPATIENCE)
        finally:
            del node.kubelet.programs["kube-apiserver"]
        checks.equal(f"an API server that {what}: the manifests are put back", before, contents(node))
        checks.contains(f"an API server that {what}: it is said", ended.errors(), "put back")
        node.wait_ready()
        checks.equal(f"an API server that {what}: the old state is served", kids, node.client.kids())
        if what == "ends":
            checks.true("it did end", node.kubelet.count("crashed", API_SERVER) > 0)


def check_placed(checks, node):
    folder = node.root / KEYS[1:]
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    checks.equal("accept places the public key alone", {"rollout.pub": 0o644}, modes)
    pod = yaml.safe_load(node.manifest.read_text())
    mounts = {mount["mountPath"]: mount for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    checks.true("the keys are mounted for reading", mounts[KEYS].get("readOnly"), mounts[KEYS])
    checks.equal(
        "nothing else is in the manifest directory", {node.manifest.name, node.controller_manifest.name}, set(contents(node))
    )


def check_unready_peer(roll, checks, node, stock):
    """Two nodes accept, the third one does not yet: nobody may sign."""
    ended = unchanged(node, checks, "sign before the third node accepts", lambda: irsa.run(*roll.words(node, "sign")))
    checks.true("sign before the third node accepts is refused", ended.code in (1, 4), ended)
    checks.contains("the third node is named", ended.errors(), stock.url)


def check_second_run(roll, checks, node):
    ended = unchanged(node, checks, "a second run", lambda: roll.sign(node))
    checks.contains("a second run says so", ended.text(), "nothing to do")
    checks.equal("every turn was given back", 404, node.client.request("GET", LEASE).status)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (node.root / KEYS[1:]).iterdir()}
    checks.equal("the placed keys", {"rollout.pub": 0o644, "rollout.key": 0o600}, modes)


def check_too_early(roll, checks, node):
    """Other servers still sign with what is to be retired."""
    ended = unchanged(node, checks, "retire while others sign with the old key", lambda: roll.retire(node))
    checks.equal("retire while others sign with the old key is refused", 1, ended.code)
    checks.contains("it says so", ended.errors(), "to be retired")


def check_retire(roll, checks, node, old, key):
    checks.equal("before retire the old key's tokens are accepted", 200, node.client.as_user(old).request("GET", "/version").status)
    ended = roll.retire(node)
    checks.equal("retire", 0, ended.code) or print(ended)
    checks.equal("after retire our key alone is served", [key.kid], node.client.kids())
    checks.equal("and the old one's tokens are refused", 401, node.client.as_user(old).request("GET", "/version").status)
    checks.equal("one issuer is left", [ISSUER], node.flag_values("service-account-issuer"))


def check_revert(checks, node, stock):
    """Each change of a rollout can be undone by hand, back to the first byte."""
    irsa.must(0, "apiserver", "revert", *backup(node), node.manifest, node.controller_manifest)
    irsa.must(0, "apiserver", "revert", *backup(node), node.manifest)
    checks.equal("revert after a rollout gives the files as they were", stock, contents(node))
