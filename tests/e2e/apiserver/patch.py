"""`irsa apiserver patch` and `revert` on running nodes: accept everywhere, then sign everywhere, and back."""

import copy

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
    place_key,
    restarted,
    secret_token,
    signed_by,
)

from harness import irsa, wait_until
from harness.client import parts_of
from harness.kubeadm_cluster import CONTROLLER_MANAGER

NAME = "irsa"
WANTED = [
    *("--issuer", ISSUER, "--jwks-uri", JWKS_URI),
    *("--key-file", f"{PKI}/{NAME}.pub", "--signing-key-file", f"{PKI}/{NAME}.key"),
]
# What the flags were and become; nothing else of the pods may change.
FLAGS = {
    "service-account-issuer": ([STOCK_ISSUER], [ISSUER, STOCK_ISSUER]),
    "service-account-key-file": ([f"{PKI}/sa.pub"], [f"{PKI}/sa.pub", f"{PKI}/{NAME}.pub"]),
    "service-account-signing-key-file": ([f"{PKI}/sa.key"], [f"{PKI}/{NAME}.key"]),
    "service-account-jwks-uri": ([], [JWKS_URI]),
    "api-audiences": ([], [f"{STOCK_ISSUER},{ISSUER}"]),
}


def check(cluster, checks, seed, work):
    nodes = cluster.nodes
    stock = {node: contents(node) for node in nodes}
    key = new_key(work, "patch")
    for node in nodes:
        place_key(node, key, NAME)
    (stock_kid,) = nodes[0].client.kids()
    before = {node: node.client.create_token("default", "default") for node in nodes}
    check_nothing_is_written(nodes[0], checks, stock)

    with load_that_is_never_refused(cluster, checks, "accept, then sign", seed) as load:
        for node in nodes:
            with restarted(node):
                patch(node, "accept")
            checks.equal(f"accept: {node.name} serves both keys", [stock_kid, key.kid], node.client.kids())
            checks.equal(f"accept: {node.name} signs as before", (STOCK_ISSUER, stock_kid), signed_by(node))
            # Every server must accept what any other signs while only some are done.
            load.wait_for_uses(150)
        accepted = {node: contents(node) for node in nodes}
        check_second_run(nodes[0], checks, "accept")
        for node in nodes:
            with restarted(node), restarted(node, CONTROLLER_MANAGER):
                patch(node, "sign")
            checks.equal(f"sign: {node.name} signs with ours", (ISSUER, key.kid), signed_by(node))
            document = node.client.discovery_document().json()
            checks.equal(f"sign: {node.name}'s document", (ISSUER, JWKS_URI), (document["issuer"], document["jwks_uri"]))
            load.wait_for_uses(150)
        check_second_run(nodes[0], checks, "sign")
        everywhere = {(maker.name, user.name) for maker in nodes for user in nodes if maker is not user}
        wait_until("tokens of our key to cross all nodes", lambda: load.crossed(key.kid) >= everywhere, 30)
        checks.true("the old key's tokens were used across all nodes", load.crossed(stock_kid) >= everywhere)
    check_result(nodes, checks, stock, before, key)
    check_back(cluster, checks, stock, accepted, seed)


def patch(node, phase, *more, code=0):
    files = (node.manifest, node.controller_manifest)
    return irsa.must(code, *("apiserver", "patch", "--phase", phase, *WANTED), *backup(node), *more, *files)


def revert(node, *more):
    return irsa.must(0, *("apiserver", "revert"), *backup(node), *more, node.manifest, node.controller_manifest)


def check_nothing_is_written(node, checks, stock):
    early = irsa.run("apiserver", "patch", "--phase", "sign", *WANTED, *backup(node), node.manifest)
    checks.true("sign before accept is refused", early.code in (1, 2), early)
    checks.contains("it says why", early.errors(), "accept")
    shown = patch(node, "accept", "--dry-run")
    checks.contains("--dry-run shows the lines", shown.text(), f"+    - --service-account-issuer={ISSUER}")
    patch(node, "accept", "--check", code=3)
    checks.equal("none of them changes anything", stock[node], contents(node))
    checks.true("nor makes a backup", not (node.root / "var/lib/irsa").exists())


def check_second_run(node, checks, phase):
    before, started = contents(node), len(node.kubelet.events)
    patch(node, phase)
    patch(node, phase, "--check")
    checks.equal(f"a second {phase} changes nothing", before, contents(node))
    rounds = node.kubelet.rounds
    wait_until("the kubelet to look again", lambda: node.kubelet.rounds > rounds + 2)
    checks.equal(f"a second {phase} restarts nothing", started, len(node.kubelet.events))


def check_result(nodes, checks, stock, before, key):
    for node in nodes:
        checks.equal(f"{node.name}: the files in the manifest directory", set(stock[node]), set(contents(node)))
        old = yaml.safe_load(stock[node][node.manifest.name])
        checks.equal(f"{node.name}: the API server's pod", intended(old), normal(yaml.safe_load(node.manifest.read_text())))
        old = yaml.safe_load(stock[node][node.controller_manifest.name])
        command = old["spec"]["containers"][0]["command"]
        at = command.index(f"--service-account-private-key-file={PKI}/sa.key")
        command[at] = f"--service-account-private-key-file={PKI}/{NAME}.key"
        checks.equal(f"{node.name}: the controller-manager's pod", old, yaml.safe_load(node.controller_manifest.read_text()))
        accepted = [other.client.review_token(before[node]).get("authenticated") for other in nodes]
        checks.equal(f"a token that {node.name} made before is accepted everywhere", [True] * len(nodes), accepted)
    legacy = secret_token(nodes[0], "after-sign")
    checks.equal("the controller-manager signs with our key", key.kid, parts_of(legacy)[0]["kid"])
    statuses = [node.client.as_user(legacy).request("GET", "/version").status for node in nodes]
    checks.equal("its token is accepted everywhere", [200] * len(nodes), statuses)


def intended(pod):
    """The stock pod with the flags that were asked for."""
    pod = copy.deepcopy(pod)
    command = pod["spec"]["containers"][0]["command"]
    for flag, (old, new) in FLAGS.items():
        for value in old:
            command.remove(f"--{flag}={value}")
        command.extend(f"--{flag}={value}" for value in new)
    return normal(pod)


def normal(pod):
    """With the command as the order of each flag's values: the order of different flags means nothing."""
    pod = copy.deepcopy(pod)
    container = pod["spec"]["containers"][0]
    flags = {}
    for word in container["command"]:
        flag, _, value = word.partition("=")
        flags.setdefault(flag, []).append(value)
    container["command"] = flags
    return pod


def check_back(cluster, checks, stock, accepted, seed):
    nodes = cluster.nodes
    with load_that_is_never_refused(cluster, checks, "back from sign to accept", f"{seed} back") as load:
        for node in nodes:
            with restarted(node), restarted(node, CONTROLLER_MANAGER):
                revert(node)
            checks.equal(f"{node.name}: back at accept, byte for byte", accepted[node], contents(node))
            load.wait_for_uses(150)
    # Our key's tokens end here: nobody waits for their natural end in a test.
    for node in nodes:
        irsa.must(0, "apiserver", "revert", *backup(node), node.manifest)
        checks.equal(f"{node.name}: back at stock, byte for byte", stock[node], contents(node))
    for node in nodes:
        wait_until("the stock pod", lambda node=node: stock_runs(node, stock), 60)
        node.wait_ready()
        checks.equal(f"{node.name}: signs as at first", STOCK_ISSUER, signed_by(node)[0])
    check_dead_secret(cluster, checks)


def stock_runs(node, stock):
    return node.kubelet.pod("kube-apiserver") == yaml.safe_load(stock[node][node.manifest.name])


def check_dead_secret(cluster, checks):
    """The token in a Secret that was signed with our key is dead since the way back: nothing but a look tells."""
    code, problems, _table = live(cluster)
    checks.equal("check --live finds the dead Secret", 3, code)
    checks.contains("it names it", "\n".join(problems), "default/after-sign")
    cluster.nodes[0].client.call("DELETE", "/api/v1/namespaces/default/secrets/after-sign")
    checks.equal("without it nothing is left to find", (0, []), live(cluster)[:2])
