"""What others do. It must lose tokens: that it does shows that these clients can see what `irsa rotate` is there to avoid.

One peer signs before it publishes (the key pair is switched in the cluster, and the JWKS follows); another changes trust and
signing in one edit, one node after the other.
"""

import json
import time

from clients import Clients
from edit import put, replace_flags
from nodes import new_key, place_key, restarted
from place import CACHE

from harness import irsa


def check(site, checks, seed):
    first = site.cluster.nodes[0]
    stock = {node.name: node.manifest.read_bytes() for node in site.cluster.nodes}
    one_edit(site, checks, seed, first)
    with restarted(first):
        put(first.manifest, stock[first.name])
    sign_first(site, checks, seed)


def one_edit(site, checks, seed, node):
    key = new_key(site.work, "one-edit")
    # Published in time: what is refused is refused for the trust alone.
    kept = json.loads(site.store.get("oidc-bucket/prod/keys.json")[2])
    site.irsa(0, "publish", "--to", site.target, "--issuer", site.issuer, *publics(site, kept), key.public)
    time.sleep(CACHE + 2)
    public, private = place_key(node, key, "one-edit")
    with Clients(site, seed) as load:
        load.wait_for_uses(30)
        with restarted(node):
            replace_flags(
                node.manifest,
                {
                    "service-account-key-file": [*node.flag_values("service-account-key-file"), public],
                    "service-account-signing-key-file": [private],
                },
            )
        load.wait_for_uses(60)
        load.require_working()
    others = {each.name for each in site.cluster.nodes if each is not node}
    refused = [each for each in load.refusals if each.token.kid == key.kid and each.node.name in others]
    checks.true("trust and signing in one edit: the other API servers refuse its tokens", len(refused) > 0)
    parties = [each for each in load.refusals if each.node in site.parties]
    checks.equal("and no relying party does", [], list(map(str, parties[:5])))
    print(f"trust and signing in one edit: {len(load.refusals)} of {load.uses()} uses refused, as {load.refusals[0]}", flush=True)


def publics(site, jwks):
    """The keys that are published now, as files."""
    folder = site.work / "published"
    folder.mkdir(exist_ok=True)
    kids = {each["kid"] for each in jwks["keys"]}
    found = []
    for node in site.cluster.nodes[:1]:
        for path in (node.root / "etc/kubernetes/irsa").glob("*.pub"):
            if path.stem in kids:
                found.append(path)
    return found


def sign_first(site, checks, seed):
    key = new_key(site.work, "sign-first")
    pairs = {}
    for node in site.cluster.nodes:
        pairs[node.name] = place_key(node, key, "sign-first")
        with restarted(node):
            files = [*node.flag_values("service-account-key-file"), pairs[node.name][0]]
            replace_flags(node.manifest, {"service-account-key-file": files})
    first = site.cluster.nodes[0]
    with Clients(site, seed) as load:
        load.wait_for_uses(30)
        with restarted(first):
            replace_flags(first.manifest, {"service-account-signing-key-file": [pairs[first.name][1]]})
        load.wait_for_uses(60)
        # Then it publishes, and parties that keep their copy go on refusing.
        kept = json.loads(site.store.get("oidc-bucket/prod/keys.json")[2])
        irsa.run(
            *("publish", "--to", site.target, "--issuer", site.issuer, *publics(site, kept), key.public),
            *(word for kid in {each["kid"] for each in kept["keys"]} for word in ("--withdraw", kid)),
            environment=site.environment,
        )
        load.wait_for_uses(30)
        load.require_working()
    by_party = {party.name: 0 for party in [*site.parties, site.sts]}
    servers = 0
    for each in load.refusals:
        if each.token.kid == key.kid and each.node.name in by_party:
            by_party[each.node.name] += 1
        elif each.node.name not in by_party:
            servers += 1
    for party in site.parties:
        checks.true(f"signing before publishing: {party.name} refuses its tokens", by_party[party.name] > 0, by_party)
    checks.equal("and no API server does", 0, servers)
    print(f"signing before publishing: refused {by_party}, by API servers {servers}, of {load.uses()} uses", flush=True)
