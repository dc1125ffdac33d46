"""Rotations with short timers: no valid token is refused, and no token of a retired key is accepted."""

import os
import subprocess
import time

import peers
import stolen
from clients import Clients
from place import Site
from relying import Writes

from harness import Authority, Checks, KubeadmCluster, free_ports, working_folder
from harness.seaweed import Seaweed

ROTATIONS = int(os.environ["ROTATIONS"])
SEED = os.environ.get("IRSA_E2E_SEED", "1")
SUBJECT = "system:serviceaccount:default:default"


def rotations(site, checks):
    """As many as were asked for, under load; the runs die at random."""
    took = []
    nodes = site.cluster.nodes
    with (
        Writes(site.jwks, site.store.ca) as writes,
        Clients(nodes, site.issuer, site.parties, site.sts, SEED) as load,
    ):
        load.wait_for_uses(50)
        for number in range(1, ROTATIONS + 1):
            started, before = time.monotonic(), writes.count
            what = f"rotation {number}"
            (old,) = site.kids()
            canary = site.canary()
            site.ask(checks, what)
            new = site.until_one_key(old, what)
            site.check_end(checks, what, old, new, canary)
            checks.true(f"{what}: at most two writes of the JWKS", writes.count - before <= 2, writes.count - before)
            took.append(time.monotonic() - started)
            print(
                f"{what}: {took[-1]:.0f} s, {site.kills} of {site.runs} runs killed so far, {load.uses()} uses,"
                f" {len(load.refusals)} refused",
                flush=True,
            )
            if load.refusals:
                break
        load.wait_for_uses(50)
        load.require_working()
    for refusal in load.refusals[:20]:
        print(refusal)
    checks.equal("refused valid tokens", 0, len(load.refusals))
    checks.true("the runs were killed", site.kills > 0 or ROTATIONS < 2, site.kills)
    for party in [*site.parties, site.sts]:
        checks.true(f"{party.name} was asked", load.uses_at(party.name) > 5 * ROTATIONS, load.at_parties)
    print(
        f"{len(took)} rotations, {sum(took) / len(took):.0f} s each ({min(took):.0f} to {max(took):.0f}), {writes.count} writes of"
        f" the JWKS, {load.uses()} uses of tokens at API servers and {sum(load.at_parties.values())} at relying parties,"
        f" {len(load.refusals)} refused, unavailable {dict(load.unavailable)}",
        flush=True,
    )


def suite(checks, site):
    """The suite of the places of key rings, over a Secret of this cluster and a bucket of this store."""
    site.irsa(0, "publish", "--to", "s3://rings/none", "--issuer", f"{site.store.endpoint}/rings/none", "--create-bucket",
              site.cluster.nodes[0].pki / "sa.pub")  # fmt: skip
    environment = {
        **os.environ,
        **site.environment,
        "KUBECONFIG": str(site.cluster.nodes[0].kubeconfig),
        "IRSA_TEST_PLACE": "s3://rings/suite",
    }
    ran = subprocess.run(
        [os.environ["IRSA_STATE_SUITE"], "--ignored"], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    checks.equal("the places of key rings, against real ones", 0, ran.returncode)
    checks.contains("both were tried", ran.stdout, "test result: ok. 2 passed")
    if ran.returncode:
        print(ran.stdout[-4000:], ran.stderr[-2000:])


def in_secret(site, checks):
    """The ring and its keys in Secrets, shared by the nodes; the ring is lost in the middle."""
    site.state = "secret:kube-system/irsa-rotation"
    nodes = site.cluster.nodes
    site.first_runs(checks)
    (old,) = site.kids()
    canary = site.canary()
    site.ask(checks, "a rotation from a Secret")

    def step(node):
        ended = site.run(node)
        checks.true(f"a run on {node.name}", ended.code in (0, 4), ended)

    step(nodes[0])
    checks.equal("a key is made", 2, len(site.kids()))
    path = "/api/v1/namespaces/kube-system/secrets/irsa-rotation"
    nodes[0].client.call("DELETE", path)
    step(nodes[0])
    checks.equal("what signs goes on signing when the ring is lost", "current", site.kids()[old])
    while len(site.kids()) > 1:
        for node in nodes:
            step(node)
    checks.equal("the key that was on its way is gone", {old: "current"}, site.kids())
    site.ask(checks, "a rotation from a Secret made anew")
    new = site.until_one_key(old, "a rotation from a Secret", step)
    site.check_end(checks, "a rotation from a Secret", old, new, canary)
    keys = nodes[0].client.get(f"{path}-keys")["data"]
    checks.equal("the Secret of the keys holds the new one alone", [f"{new}.key"], list(keys))


def main():
    print(f"seed {SEED}, {ROTATIONS} rotations", flush=True)
    checks = Checks("rotation")
    with working_folder() as work:
        authority = Authority(work / "pki")
        (port,) = free_ports(1)
        issuer = f"https://localhost:{port}/oidc-bucket/prod"
        with (
            Seaweed(work, authority, trusted=[(issuer, SUBJECT)], port=port) as store,
            KubeadmCluster(work) as cluster,
            Site(cluster, work, store, issuer, SEED) as site,
        ):
            suite(checks, site)
            site.first_runs(checks)
            rotations(site, checks)
            stolen.check(site, checks)
            in_secret(site, checks)
            peers.check(site, checks, SEED)
    checks.report()


main()
