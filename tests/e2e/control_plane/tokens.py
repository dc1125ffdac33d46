"""What kube-apiserver signs, for how long, and which tokens it takes."""

import base64
import json
import re
import time

from harness import KeyPair, irsa
from harness.client import parts_of
from harness.pki import openssl

STOCK = "https://kubernetes.default.svc.cluster.local"
OURS = "https://issuer.example.com/prod"
STS = "sts.amazonaws.com"
YEAR = 31_536_000
HOUR = 3600
# The kubelet asks for this many seconds in every pod's own token.
IN_POD = 3607
TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"


def check(plane, checks, random):
    folder = plane.folder / "tokens"
    check_headers(plane, checks, folder)
    pod = plane.client.apply(POD)
    check_life(plane, checks, pod)
    check_caps(plane, checks, pod)
    check_audiences(plane, checks, pod)
    check_issuers(plane, checks, folder)
    check_crafted(plane, checks)
    check_read_once(plane, checks, folder)


POD = """
apiVersion: v1
kind: Pod
metadata: {name: tokens}
spec:
  automountServiceAccountToken: false
  containers: [{name: a, image: registry.example.com/none}]
"""


def flags(key, issuers=(STOCK,), keys=None, more=()):
    return [
        *[f"--service-account-issuer={each}" for each in issuers],
        *[f"--service-account-key-file={each}" for each in keys or [key.public]],
        f"--service-account-signing-key-file={key.private}",
        *more,
    ]


def check_headers(plane, checks, folder):
    """Exactly alg and kid, and irsa mints and verifies the same."""
    for algorithm, name in (("rsa2048", "RS256"), ("prime256v1", "ES256"), ("secp384r1", "ES384"), ("secp521r1", "ES512")):
        key = KeyPair(folder, algorithm, algorithm)
        # PKCS#8 is read as a signing key; of an EC key, as a verification key it would be skipped.
        pkcs8 = folder / f"{algorithm}.pkcs8"
        pkcs8.touch(mode=0o600)
        pkcs8.write_bytes(openssl("pkcs8", "-topk8", "-nocrypt", "-in", key.private))
        words = [*flags(key)[:-1], f"--service-account-signing-key-file={pkcs8}"]
        with plane.extra_server(words) as server:
            token = server.client.create_token("default", "default", [STS])
            raw = base64.urlsafe_b64decode(token.split(".")[0] + "==").decode()
            checks.equal(f"the header of an {name} token", f'{{"alg":"{name}","kid":"{key.kid}"}}', raw)
            checks.equal(f"the claims of an {name} token", CLAIMS, sorted(parts_of(token)[1]))
            checks.true(f"{name}: the server takes its token", authenticated(server.client, token, STS))
            jwks = folder / f"{algorithm}.jwks"
            jwks.write_bytes(server.client.jwks().body)
            saved = folder / f"{algorithm}.token"
            saved.touch(mode=0o600)
            saved.write_text(token)
            options = ["--jwks", jwks, "--issuer", STOCK, "--audience", STS]
            checks.equal(f"irsa token verify takes the {name} token", 0, irsa.run("token", "verify", *options, saved).code)
            minted = irsa.must(
                0, *("token", "mint", "--key", key.private, "--issuer", STOCK, "--audience", STS), *("--subject", "default/default")
            )
            header = parts_of(minted.text().strip())[0]
            checks.equal(f"irsa token mint's {name} header", {"alg": name, "kid": key.kid}, header)


CLAIMS = ["aud", "exp", "iat", "iss", "jti", "kubernetes.io", "nbf", "sub"]


def authenticated(client, token, audience=None):
    status = client.review_token(token, [audience] if audience else [])
    return status.get("authenticated", False)


def life(client, seconds, audiences=(), pod=None):
    """(exp - iat, warnafter - iat or None, the answer) of a new token."""
    answer = client.token_request("default", "default", audiences, seconds, pod)
    claims = parts_of(answer.json()["status"]["token"])[1]
    warn = claims["kubernetes.io"].get("warnafter")
    return claims["exp"] - claims["iat"], warn and warn - claims["iat"], answer


def check_life(plane, checks, pod):
    client = plane.client
    for seconds, status in ((599, 422), (600, 201), (2**32, 201), (2**32 + 1, 422)):
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": seconds}}
        checks.equal(f"a token for {seconds} s", status, client.request("POST", TOKEN, body).status)
    checks.equal("the longest life without a cap", 2**32, life(client, 2**32)[0])
    unasked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    claims = parts_of(client.call("POST", TOKEN, unasked).json()["status"]["token"])[1]
    checks.equal("the life nobody asked for", HOUR, claims["exp"] - claims["iat"])
    checks.equal("the audience nobody asked for", [STOCK], claims["aud"])

    extended, warn, answer = life(client, IN_POD, [], pod)
    checks.equal("the life of a pod's own token", (YEAR, IN_POD), (extended, warn))
    shown = answer.json()["status"]["expirationTimestamp"]
    moment = time.strptime(shown, "%Y-%m-%dT%H:%M:%SZ")
    until = time.mktime(moment) - time.timezone - time.time()
    checks.true("its status shows the short one", IN_POD - 60 < until < IN_POD + 60, shown)
    for what, arguments in {
        "3608 s": (3608, [], pod),
        "3606 s": (3606, [], pod),
        "no pod": (IN_POD, [], None),
        "the STS audience": (IN_POD, [STS], pod),
        "the STS audience besides": (IN_POD, [STOCK, STS], pod),
    }.items():
        found = life(client, *arguments)
        checks.equal(f"the life with {what}", (arguments[0], None), found[:2])


def check_caps(plane, checks, pod):
    key = plane.account_key
    with plane.extra_server(flags(key, more=["--service-account-max-token-expiration=2h"])) as server:
        found, _, answer = life(server.client, 3 * HOUR)
        checks.equal("a cap of two hours", 2 * HOUR, found)
        checks.contains("the warning about it", answer.headers["Warning"] or "", "shortened", "7200")
        checks.equal("a pod's own token lives a year despite it", (YEAR, IN_POD), life(server.client, IN_POD, [], pod)[:2])
    with plane.extra_server(flags(key, more=["--service-account-max-token-expiration=1h"])) as server:
        checks.equal("a cap under 3607 s ends that", (HOUR, None), life(server.client, IN_POD, [], pod)[:2])
    with plane.extra_server(flags(key, more=["--service-account-extend-token-expiration=false"])) as server:
        checks.equal("so does switching it off", (IN_POD, None), life(server.client, IN_POD, [], pod)[:2])


def check_audiences(plane, checks, pod):
    key = plane.account_key
    sts = plane.client.create_token("default", "default", [STS])
    checks.equal("a token for STS is no key to the API", 401, plane.client.as_user(sts).request("GET", "/version").status)
    with plane.extra_server(flags(key, more=[f"--api-audiences={STOCK},{STS}"])) as server:
        client = server.client
        sts = client.create_token("default", "default", [STS])
        checks.equal("with STS among the API audiences it is", 200, client.as_user(sts).request("GET", "/version").status)
        checks.equal("and in a pod it lives a year", (YEAR, IN_POD), life(client, IN_POD, [STS], pod)[:2])


def check_issuers(plane, checks, folder):
    """The first issuer signs, all are accepted, and without api-audiences each is an audience."""
    old = plane.account_key
    new = KeyPair(folder, "new")
    before = plane.client.create_token("default", "default")
    # The step `accept`: ours appended, both keys trusted, the old one signs.
    with plane.extra_server(flags(old, (STOCK, OURS), (old.public, new.public))) as server:
        client = server.client
        checks.equal("accept: both keys are served", [old.kid, new.kid], client.kids())
        checks.equal("accept: the issuer of the document", STOCK, client.discovery_document().json()["issuer"])
        header, claims = parts_of(client.create_token("default", "default"))
        checks.equal("accept: issuer and kid of a token", (STOCK, old.kid), (claims["iss"], header["kid"]))
        checks.equal("accept: audiences follow the issuers", [STOCK, OURS], claims["aud"])
        checks.true("accept: a token from before", authenticated(client, before))
        checks.true("accept: a token for our audience", authenticated(client, client.create_token("default", "default", [OURS])))
    # The step `sign`.
    with plane.extra_server(flags(new, (OURS, STOCK), (old.public, new.public))) as server:
        client = server.client
        after = client.create_token("default", "default")
        header, claims = parts_of(after)
        checks.equal("sign: issuer and kid of a token", (OURS, new.kid), (claims["iss"], header["kid"]))
        checks.true("sign: a token from before", authenticated(client, before))
        checks.equal(
            "sign: a server that was not prepared refuses it", 401, plane.client.as_user(after).request("GET", "/version").status
        )
    with plane.extra_server(flags(new, (STOCK,), (old.public,))) as server:
        token = server.client.create_token("default", "default")
        checks.equal("a signing key in no key file: kids", [old.kid], server.client.kids())
        checks.equal(
            "a signing key in no key file: its own tokens are refused",
            401,
            server.client.as_user(token).request("GET", "/version").status,
        )


def check_crafted(plane, checks):
    """Tokens that the server did not make itself, signed with its key: what it looks at."""
    client = plane.client
    key = plane.account_key
    claims = parts_of(client.create_token("default", "default"))[1]
    now = int(time.time())

    def status(header=None, **changed):
        header = {"alg": "RS256", "kid": key.kid} if header is None else header
        token = sign(key, header, {**claims, "jti": None, **changed})
        return client.as_user(token).request("GET", "/version").status

    checks.equal("a token like its own", 200, status())
    checks.equal("with typ", 200, status({"alg": "RS256", "kid": key.kid, "typ": "JWT"}))
    checks.equal("without kid: all keys are tried", 200, status({"alg": "RS256"}))
    checks.equal("with an empty kid", 200, status({"alg": "RS256", "kid": ""}))
    checks.equal("with an unknown kid: no key is tried", 401, status({"alg": "RS256", "kid": "x"}))
    checks.equal("of another issuer", 401, status(iss=OURS))
    checks.equal("of the issuer with a slash", 401, status(iss=f"{STOCK}/"))
    checks.equal("expired for 30 s", 200, status(exp=now - 30))
    checks.equal("expired for 90 s", 401, status(exp=now - 90))
    checks.equal("valid in 30 s", 200, status(nbf=now + 30))
    checks.equal("valid in 90 s", 401, status(nbf=now + 90))
    checks.equal("issued in 90 s", 401, status(iat=now + 90))
    checks.equal("for another audience", 401, status(aud=[STS]))
    checks.equal("for another audience besides", 200, status(aud=[STS, STOCK]))
    account = claims["kubernetes.io"]["serviceaccount"]
    other = {"namespace": "default", "serviceaccount": {**account, "uid": "00000000-0000-0000-0000-000000000000"}}
    checks.equal("of an account that was made again", 401, status(**{"kubernetes.io": other}))

    # Tokens that live a year are counted when they are used after their first hour.
    before = stale_tokens(client)
    checks.equal("past its warning", 200, status(**{"kubernetes.io": {**claims["kubernetes.io"], "warnafter": now - 10}}))
    checks.equal("it is counted", before + 1, stale_tokens(client))


def stale_tokens(client):
    metrics = client.call("GET", "/metrics").body.decode()
    found = re.search(r"^serviceaccount_stale_tokens_total (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


def sign(key, header, claims):
    """A JWT signed with openssl, whatever its header says."""
    parts = [encoded(json.dumps(part).encode()) for part in (header, claims)]
    signature = openssl("dgst", "-sha256", "-sign", key.private, stdin=".".join(parts).encode())
    return ".".join([*parts, encoded(signature)])


def encoded(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def check_read_once(plane, checks, folder):
    """Key files are read when the server starts, never again."""
    first, second = KeyPair(folder, "first"), KeyPair(folder, "second")
    shared = folder / "shared.pub"
    shared.write_bytes(first.public.read_bytes())
    with plane.extra_server(flags(first, keys=[shared])) as server:
        shared.write_bytes(first.public.read_bytes() + second.public.read_bytes())
        time.sleep(3)
        checks.equal("a key file that changes is not read again", [first.kid], server.client.kids())
        server.restart()
        checks.equal("after a restart it is", [first.kid, second.kid], server.client.kids())
