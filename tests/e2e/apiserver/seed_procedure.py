"""The procedure of the guides: everything replaced at once, one node after the other. It must lose tokens.

That it does shows that the clients of these tests can see what `irsa apiserver` is there to avoid.
"""

from edit import put, replace_flags
from load import Load
from nodes import USES_BETWEEN_STEPS, live, new_key, place_key, restarted


def check(cluster, checks, seed, work):
    first, others = cluster.nodes[0], {node.name for node in cluster.nodes[1:]}
    key = new_key(work, "guide")
    stock = first.manifest.read_bytes()
    public, private = place_key(first, key, "oidc-issuer")
    checks.equal("check --live finds nothing on three stock nodes", (0, []), live(cluster)[:2])
    with Load(cluster.nodes, seed) as load:
        load.wait_for_uses(USES_BETWEEN_STEPS)
        checks.equal("before it no valid token is refused", [], list(map(str, load.refusals)))
        with restarted(first):
            replace_flags(
                first.manifest,
                {
                    "service-account-issuer": ["https://s3.eu-central-1.amazonaws.com/oidc"],
                    "service-account-key-file": [public],
                    "service-account-signing-key-file": [private],
                    "api-audiences": ["sts.amazonaws.com"],
                },
            )
        load.wait_for_uses(2 * USES_BETWEEN_STEPS)
        load.require_working()
    refused_there = [refusal for refusal in load.refusals if refusal.node is first and refusal.token.kid != key.kid]
    refused_elsewhere = [refusal for refusal in load.refusals if refusal.token.kid == key.kid and refusal.node.name in others]
    checks.true("the first node refuses the tokens that stand", len(refused_there) > 0)
    checks.true("the other nodes refuse the tokens of the first", len(refused_elsewhere) > 0)
    print(f"the guides' procedure on one node of three: {len(load.refusals)} of {load.uses()} uses refused, as {load.refusals[0]}")
    check_live(cluster, checks, first)
    with restarted(first):
        put(first.manifest, stock)


def check_live(cluster, checks, broken):
    """The table shows which server refuses whose tokens."""
    code, problems, table = live(cluster)
    checks.equal("check --live finds it", 3, code)
    told = "\n".join(problems)
    checks.contains("it names the server and the audience", told, broken.url, "sts.amazonaws.com")
    for row, node in enumerate(cluster.nodes):
        expected = [(node is broken) == (other is broken) for other in cluster.nodes]
        checks.equal(f"row {row + 1} of the table", expected, table[node.url]["accepted_by"])
