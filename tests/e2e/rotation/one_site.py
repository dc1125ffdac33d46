"""one_site.py KIND-NUMBER TICKETS: three API servers, their documents, and rotations while TICKETS has a byte to read.

What is tried once is tried at the first site of its kind.
"""

import base64
import json
import os
import subprocess
import sys
import time

import anew
import peers
import stolen
from clients import Clients
from light import LightCluster
from place import SECRETS, Site
from relying import Writes

from harness import Authority, Checks, free_ports, irsa, working_folder
from harness.seaweed import Seaweed

NAME, TICKETS = sys.argv[1], int(sys.argv[2])
KIND = NAME.partition("-")[0]
SEED = f"{os.environ.get('IRSA_E2E_SEED', '1')} {NAME}"
SUBJECT = "system:serviceaccount:default:default"


def rotations(site, checks):
    """As many as there are tickets for, under load; the runs die at random."""
    took = []
    with Writes(site.jwks, site.store.ca) as writes, Clients(site, SEED) as load:
        load.wait_for_uses(50)
        if NAME == "secret-1":
            the_ring_is_lost(site, checks)
        while not load.refusals and os.read(TICKETS, 1):
            started, before = time.monotonic(), writes.count
            what = f"{NAME}: rotation {len(took) + 1}"
            (old,) = site.kids()
            canary = site.canary(checks, what)
            if NAME == "directory-1" and not took:
                forge(site, old)
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
        load.wait_for_uses(50)
        load.require_working()
    for refusal in load.refusals[:20]:
        print(refusal)
    checks.equal("refused valid tokens", 0, len(load.refusals))
    checks.true("the runs were killed", site.kills > 0 or len(took) < 2, site.kills)
    for party in [*site.parties, site.sts]:
        # A site that no ticket was left for has not begun to sign as the issuer.
        asked = not took or load.uses_at(party.name) > 5 * len(took)
        checks.true(f"{party.name} was asked", asked, load.at_parties)
    checks.true("no use was judged too late to tell", load.unavailable["judged too late"] * 20 < load.uses(), load.unavailable)
    print(
        f"{NAME}: {len(took)} rotations, {sum(took) / max(len(took), 1):.0f} s each, {writes.count} writes of the JWKS,"
        f" {load.uses()} uses of tokens at API servers and {sum(load.at_parties.values())} at relying parties,"
        f" {len(load.refusals)} refused, unavailable {dict(load.unavailable)}",
        flush=True,
    )


def suite(checks, site):
    """The suite of the places of key rings, over a Secret of this cluster and a bucket of this store."""
    environment = {
        **os.environ,
        **site.environment,
        "KUBECONFIG": str(site.cluster.nodes[0].kubeconfig),
        "IRSA_TEST_PLACE": "s3://oidc-bucket/suite",
    }
    ran = subprocess.run(
        [os.environ["IRSA_STATE_SUITE"], "--ignored"], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    checks.equal("the places of key rings, against real ones", 0, ran.returncode)
    checks.contains("both were tried", ran.stdout, "test result: ok. 2 passed")
    checks.equal("the ring of the suite is in the real bucket", b'{"generation":0}', site.object("suite/ring.json"))
    names = [each["metadata"]["name"] for each in site.cluster.nodes[0].client.get("/api/v1/namespaces/default/secrets")["items"]]
    checks.true("and in a real Secret", {"irsa-suite", "irsa-by-hand"} <= set(names), names)
    if ran.returncode:
        print(ran.stdout[-4000:], ran.stderr[-2000:])


def the_ring_is_lost(site, checks):
    """In the middle of a rotation, under load."""
    nodes = site.cluster.nodes
    (old,) = site.kids()
    site.ask(checks, "a rotation whose ring is lost")
    site.run(nodes[0])
    checks.equal("a key is made", 2, len(site.kids()))
    nodes[0].client.call("DELETE", f"{SECRETS}/irsa-rotation")
    remade = site.run(nodes[0])
    checks.true("the ring is made anew", remade.code in (0, 4), remade)
    checks.equal("what signs goes on signing when the ring is lost", "current", site.kids()[old])
    while len(site.kids()) > 1:
        for node in nodes:
            ended = site.run(node)
            checks.true(f"a run on {node.name}", ended.code in (0, 4), ended)
    checks.equal("the key that was on its way is gone", {old: "current"}, site.kids())
    checks.equal("and its private half", [], site.private_keys())


def forge(site, kid):
    """A Secret with a token that names a key of ours, and that nobody signed with it: it must not keep the key for ever."""
    claims = {"iss": "kubernetes/serviceaccount", "sub": SUBJECT}
    parts = [json.dumps({"alg": "ES256", "kid": kid}).encode(), json.dumps(claims).encode(), os.urandom(64)]
    token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    site.cluster.nodes[0].client.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "forged", "annotations": {"kubernetes.io/service-account.name": "default"}},
            "type": "kubernetes.io/service-account-token",
            "stringData": {"token": token},
        }
    )


def refused(site, checks):
    """What a person must see to; nothing is changed."""
    node = site.cluster.nodes[0]
    nowhere = site.run(node, "--adopt", "A" * 42 + "E", "--dry-run")
    checks.equal("a key that is nowhere is not taken over", 2, nowhere.code)
    checks.contains("it says so", nowhere.errors(), "is in no JWKS")
    names = [f"cp-{number}" for number in range(4)]
    label = {"node-role.kubernetes.io/control-plane": ""}
    node.client.apply([{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": label}} for name in names])
    more = site.run(node, "--dry-run")
    checks.equal("a control-plane node whose API server is not in the list stops a run", 1, more.code)
    checks.contains("it is named", more.errors(), "4 control-plane nodes (cp-0, cp-1, cp-2, cp-3) and 3 API servers")
    for name in names:
        node.client.call("DELETE", f"/api/v1/nodes/{name}")
    words = list(map(str, site.words(node, "--dry-run", "--private-keys", site.work / "state")))
    # A ring of its own, since that refuses another issuer too.
    words[words.index("--issuer") + 1] = f"{site.store.endpoint}/oidc-bucket/other"
    words[words.index("--state") + 1] = str(site.work / "other")
    theirs = irsa.run(*words, environment=site.environment)
    checks.equal("a place of private keys is of one issuer", 1, theirs.code)
    checks.contains("whose it is", theirs.errors(), f'"{site.issuer}"')


def main():
    checks = Checks(f"rotation, its ring in a {KIND} ({NAME})")
    with working_folder() as work:
        authority = Authority(work / "pki")
        (port,) = free_ports(1)
        issuer = f"https://localhost:{port}/oidc-bucket/prod"
        with (
            Seaweed(work, authority, trusted=[(issuer, SUBJECT)], port=port) as store,
            LightCluster(work) as cluster,
            Site(KIND, cluster, work, store, issuer, SEED) as site,
        ):
            if NAME == "directory-1":
                suite(checks, site)
            site.first_runs(checks)
            rotations(site, checks)
            if KIND == "bucket":
                checks.equal("the ring is in the bucket", site.issuer, json.loads(site.object("rings/ring.json"))["issuer"])
                checks.equal("where nobody else reads it", 403, store.get("oidc-bucket/rings/ring.json")[0])
            if NAME == "directory-1":
                refused(site, checks)
                stolen.check(site, checks)
                anew.check(site, checks)
            if NAME == "bucket-1":
                peers.check(site, checks, SEED)
    checks.report()


main()
