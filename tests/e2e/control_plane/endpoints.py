"""How kube-apiserver serves the two documents: media types, caching, who may read."""

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/openid/v1/jwks"


def check(plane, checks, random):
    client = plane.client
    discovery, jwks = client.request("GET", DISCOVERY), client.request("GET", JWKS)
    checks.equal("the type of the discovery document", "application/json", discovery.headers["Content-Type"])
    checks.equal("the type of the JWKS", "application/jwk-set+json", jwks.headers["Content-Type"])
    for what, answer in (("discovery document", discovery), ("JWKS", jwks)):
        checks.equal(f"the caching of the {what}", "public, max-age=3600", answer.headers["Cache-Control"])
        checks.true(f"the {what} ends without a newline", answer.body.endswith(b"}"), answer.body)
        checks.equal(f"the {what} has no ETag", None, answer.headers["ETag"])
    checks.equal("the members of the discovery document", MEMBERS, list(discovery.json()))
    checks.equal("the members of an RSA key", ["use", "kty", "kid", "alg", "n", "e"], list(jwks.json()["keys"][0]))
    checks.equal("the kid", [plane.account_key.kid], client.kids())

    for path, document in ((DISCOVERY, discovery), (JWKS, jwks)):
        checks.equal(f"{path} with a query", document.body, client.call("GET", f"{path}?format=yaml").body)
        checks.equal(f"a path below {path}", 404, client.request("GET", f"{path}/more").status)
        checks.equal(f"{path} with a final slash", document.body, client.call("GET", f"{path}/").body)
        checks.equal(f"POST to {path}", 405, client.request("POST", path, {}).status)
        check_readers(plane, checks, path)
    check_accept(plane, checks)


MEMBERS = [
    "issuer",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
]


def check_readers(plane, checks, path):
    """Any service account may read, nobody else: AWS cannot fetch from the API server, a publisher in a pod can."""
    token = plane.client.create_token("default", "default")
    checks.equal(f"{path} for a service account", 200, plane.client.as_user(token).request("GET", path).status)
    checks.equal(f"{path} without a token", 403, plane.client.as_user(None).request("GET", path).status)
    checks.equal(f"{path} with a bad token", 401, plane.client.as_user("x").request("GET", path).status)


def check_accept(plane, checks):
    """The two documents insist on their media types."""
    for path, accept, status in (
        (DISCOVERY, "application/json", 200),
        (DISCOVERY, "*/*", 200),
        (DISCOVERY, "application/jwk-set+json", 406),
        (JWKS, "application/jwk-set+json", 200),
        (JWKS, "*/*", 200),
        (JWKS, "application/json, application/jwk-set+json", 200),
        (JWKS, "application/json", 406),
        (JWKS, None, 200),
        (DISCOVERY, None, 200),
    ):
        found = plane.client.request("GET", path, accept=accept).status
        checks.equal(f"{path} for a client that accepts {accept}", status, found)
