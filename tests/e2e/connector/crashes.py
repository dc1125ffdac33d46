"""irsa killed with SIGKILL at every outside effect in AWS and Kubernetes, and run again."""

import base64

from site_of_connector import GRANTS, NAMESPACE, REGISTER


def crashes(site, checks):
    command = [*REGISTER, *GRANTS, "--apply", "--wait", "--timeout", "30s"]
    for idempotent in (False, True):
        number = 0
        while True:
            number += 1
            # Both sides of each effect, in turn by parity; AWS's own on both.
            sides = ("before", "after") if number <= 4 else (("before", "after")[number % 2],)
            if idempotent and number > 4:
                break
            reached = [_one(site, checks, command, number, when, idempotent) for when in sides]
            if not any(reached):
                break
        checks.true(f"effects with idempotent {idempotent}", number > (4 if idempotent else 20), number)


def _one(site, checks, command, number, when, idempotent):
    site.fresh(keep_namespace=True)
    site.world.idempotent = idempotent
    if not site.killed(number, when, *command):
        return False
    what = f"killed {when} effect {number}, idempotent {idempotent}"
    site.run(0, *command)
    world = site.world
    checks.equal(f"{what}: clusters", ["prod"], list(world.clusters))
    checks.equal(f"{what}: roles", 1, len(world.roles))
    secret = site.plane.client.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/eks-connector-activation-config")
    code = base64.b64decode(secret["data"]["code"]).decode()
    checks.equal(f"{what}: the cluster has the code of the registration that stands", world.clusters["prod"]["code"], code)
    return True
