"""A key in foreign hands: who breaks is told and asked about, and the key goes at once."""

import json

from harness import wait_until


def check(site, checks):
    node = site.cluster.nodes[0]
    node.client.apply(workload())
    # Nobody schedules it here; it is there, and asks for a token.
    path = "/api/v1/namespaces/default/pods/db-0"
    wait_until("a pod of the workload", lambda: node.client.request("GET", path).status == 200, 60)
    (old,) = site.kids()
    canary = site.canary(checks, "a stolen key")
    # Nobody is there to be asked.
    asked = site.run(node, "--compromised", old)
    checks.equal("without --yes nothing is done", 2, asked.code)
    checks.contains("who breaks is listed", asked.errors(), "StatefulSet", "db", "sts.amazonaws.com", "add --yes")
    checks.equal("the key goes on signing", {old: "current"}, site.kids())
    dry = site.run(node, "--compromised", old, "--dry-run", "-o", "json")
    workloads = json.loads(dry.text())["breaks"]["workloads"]
    checks.equal("programs are told too", [("db", 1, 86400)], [(w["name"], w["pods"], w["token_seconds"]) for w in workloads])
    unknown = site.run(node, "--compromised", "A" * 42 + "E", "--yes")
    checks.equal("a key that is not in the ring is refused", 2, unknown.code)

    def step(each):
        ended = site.run(each, "--compromised", old, "--yes", "-o", "json")
        checks.true(f"a run on {each.name}", ended.code in (0, 4), ended)
        return json.loads(ended.text() or "null")

    new = site.until_one_key(old, "a stolen key", step)
    site.check_end(checks, "a stolen key", old, new, canary)
    node.client.call("DELETE", "/apis/apps/v1/namespaces/default/statefulsets/db")


def workload():
    token = {"serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}}
    pod = {
        "metadata": {"labels": {"app": "db"}},
        "spec": {
            "containers": [{"name": "db", "image": "db"}],
            "volumes": [{"name": "aws", "projected": {"sources": [token]}}],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {"replicas": 1, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": pod},
    }
