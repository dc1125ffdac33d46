"""A manifest that kubeadm writes anew: its API server signs with a retired key, and one run on its node mends that."""

import json

from edit import replace_flags
from nodes import restarted

from harness.client import parts_of


def check(site, checks):
    first, second = site.cluster.nodes[:2]
    (current,) = site.kids()
    with restarted(first):
        replace_flags(first.manifest, site.made)
    elsewhere = site.run(second)
    checks.equal("a server that signs with a retired key is a fault for the other nodes", 1, elsewhere.code)
    checks.contains("it is named", elsewhere.errors(), f'API server "{first.url}" signs with the retired key')
    ended = site.run(first, "-o", "json")
    checks.true("a run on its own node ends well", ended.code == 0, ended)
    said = json.loads(ended.text() or '{"done": [], "notes": []}')
    done = [line.split()[0] for line in said["done"]]
    checks.equal("and has mended it at once", ["trust", "sign", "distrust"], done)
    checks.contains("who may put it back is told", " ".join(said["notes"]), "/etc/kubernetes/pki/sa.key", "kubeadm upgrade")
    checks.equal("it trusts the key that signs alone", [current], first.client.kids())
    checks.equal("and signs with it", current, parts_of(first.client.create_token("default", "default"))[0]["kid"])
    after = site.run(second)
    checks.equal("and the others go on", 0, after.code)
