"""Tokens in Secrets: kube-controller-manager signs them with a key of its own, once and for ever."""

import base64

from harness import KeyPair, wait_until
from harness.client import parts_of

LEGACY_ISSUER = "kubernetes/serviceaccount"


def check(plane, checks, random):
    client = plane.client
    other = KeyPair(plane.folder / "legacy", "other")
    plane.start_controller_manager()
    first = secret_token(plane, "first")
    header, claims = parts_of(first)
    checks.equal("the header", {"alg": "RS256", "kid": plane.account_key.kid}, header)
    checks.equal("the issuer", LEGACY_ISSUER, claims["iss"])
    checks.true("it never ends", "exp" not in claims, claims)
    checks.equal("the server takes it", 200, client.as_user(first).request("GET", "/version").status)

    plane.stop_controller_manager()
    plane.start_controller_manager(private_key=other.private)
    second = secret_token(plane, "second")
    checks.equal("a controller-manager with another key signs with that", other.kid, parts_of(second)[0]["kid"])
    checks.equal("the server refuses what it signs", 401, client.as_user(second).request("GET", "/version").status)
    checks.equal("a token that stands is not signed again", first, secret_token(plane, "first"))

    # The remedy: the key that the controller-manager signs with is a verification key of every server.
    flags = plane.stock_service_account_flags()
    with plane.extra_server([*flags, f"--service-account-key-file={other.public}"]) as server:
        for what, token in (("old", first), ("new", second)):
            checks.equal(
                f"with both keys the {what} token is taken", 200, server.client.as_user(token).request("GET", "/version").status
            )
    with plane.extra_server([flags[0], f"--service-account-key-file={other.public}", *flags[2:]]) as server:
        checks.equal("without the old key the old token dies", 401, server.client.as_user(first).request("GET", "/version").status)
    plane.stop_controller_manager()


def secret_token(plane, name):
    """The token in a Secret of this name, made if need be."""
    path = f"/api/v1/namespaces/default/secrets/{name}"
    if plane.client.request("GET", path).status == 404:
        plane.client.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/service-account-token",
                "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": "default"}},
            }
        )

    def read():
        return plane.client.get(path).get("data", {}).get("token")

    return base64.b64decode(wait_until(f"a token in {name}", read, 60, plane.controller_manager)).decode()
