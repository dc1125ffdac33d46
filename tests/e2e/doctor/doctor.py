"""Set-ups that are broken in one place each: STS refuses with its text, and doctor names that place and nothing else."""

import concurrent.futures
import contextlib
import json
import sys
import time

from cluster import live
from hosting import Page
from scene import MANIFEST, SUBJECT, Scene, bad, page, verdicts
from stores import stores

from harness import Checks, irsa, working_folder

NO_PROVIDER = "No OpenIDConnect provider found in your account for"
AUDIENCE = "Incorrect token audience"
NO_KEY = "Couldn't retrieve verification key from your identity provider"
THUMBPRINT = "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"
CLAIM = "Missing a required claim: exp"
NOT_A_TOKEN = "The ID Token provided is not a valid JWT"
EXPIRED = "Token expired: current date/time"
UNREACHABLE = "(IDP) that was asked to verify the incoming identity token could not be reached"
DENIED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"


def flags_with_a_slash(scene, _host):
    slash = scene.issuer + "/"
    (scene.work / "kube-apiserver.yaml").write_text(MANIFEST.format(issuer=slash))
    (scene.work / "token").write_text(scene.token(iss=slash))


def issuers_joined_with_a_comma(scene, _host):
    joined = f"https://kubernetes.default.svc.cluster.local,{scene.issuer}"
    (scene.work / "kube-apiserver.yaml").write_text(MANIFEST.format(issuer=joined))
    (scene.work / "token").write_text(scene.token(iss=joined))


def no_provider(scene, _host):
    scene.no_provider()


def provider_with_a_slash(scene, _host):
    scene.raw_provider(scene.issuer + "/", scene.thumbprints())


def provider_in_other_case(scene, _host):
    scene.raw_provider(scene.issuer.replace("/prod", "/Prod"), scene.thumbprints())


def provider_for_another_audience(scene, _host):
    scene.raw_provider(scene.issuer, scene.thumbprints(), ["openshift"])
    # The role names what the provider takes: only the token's audience is wrong.
    name = scene.issuer.removeprefix("https://")
    policy = scene.iam.get_role(RoleName="demo-app")["Role"]["AssumeRolePolicyDocument"]
    policy["Statement"][0]["Condition"]["StringEquals"][f"{name}:aud"] = "openshift"
    scene.iam.update_assume_role_policy(RoleName="demo-app", PolicyDocument=json.dumps(policy))


def token_for_the_api_server(scene, _host):
    (scene.work / "token").write_text(scene.token(audience=scene.issuer))


def key_that_is_not_published(scene, _host):
    (scene.work / "token").write_text(scene.token(key="next"))


def key_for_encryption(scene, host):
    scene.serve(host, keys=("sa", "next"))
    keys = json.loads(host.pages["/prod/keys.json"].body)
    keys["keys"][0]["use"] = "enc"
    host.pages["/prod/keys.json"] = page(json.dumps(keys).encode())


def forged_token(scene, _host):
    good, other = scene.token(), scene.token(sub="system:serviceaccount:demo:x")
    (scene.work / "token").write_text(good.rsplit(".", 1)[0] + "." + other.rsplit(".", 1)[1])


def no_discovery_document(_scene, host):
    del host.pages["/prod/.well-known/openid-configuration"]


def redirected_discovery(_scene, host):
    host.pages["/prod/.well-known/openid-configuration"] = Page(status=301, Location="https://www.example.com/")


def page_instead_of_a_document(_scene, host):
    host.pages["/prod/.well-known/openid-configuration"] = page(b"<html>", Content_Type="text/html")


def discovery_of_another_issuer(scene, host):
    scene.serve(host, issuer="https://other.example.com")


def keys_over_plain_http(_scene, host):
    path = "/prod/.well-known/openid-configuration"
    document = json.loads(host.pages[path].body)
    document["jwks_uri"] = document["jwks_uri"].replace("https://", "http://")
    host.pages[path] = page(json.dumps(document).encode())


def no_keys(_scene, host):
    host.pages["/prod/keys.json"] = Page(b"no", 404)


def empty_jwks(_scene, host):
    host.pages["/prod/keys.json"] = page(b'{"keys":[]}')


def private_key_published(_scene, host):
    keys = json.loads(host.pages["/prod/keys.json"].body)
    keys["keys"].append({"kty": "oct", "k": "c2VjcmV0"})
    host.pages["/prod/keys.json"] = page(json.dumps(keys).encode())


def wrong_thumbprint(scene, _host):
    scene.raw_provider(scene.issuer, ["0" * 40])


def host_that_hangs(_scene, host):
    host.pages["/prod/keys.json"].delay = 7


def old_token(scene, _host):
    now = int(time.time())
    (scene.work / "token").write_text(scene.token(iat=now - 7200, nbf=now - 7200, exp=now - 3600))


def token_that_never_expires(scene, _host):
    (scene.work / "token").write_text(scene.token(exp=None))


def no_token(scene, _host):
    (scene.work / "token").write_text("not.a.token")


def role_of_another_account(scene, _host):
    scene.role_as("system:serviceaccount:demo:other")


def star_in_string_equals(scene, _host):
    scene.role_as("system:serviceaccount:demo:*")


def slash_in_a_condition_key(scene, _host):
    scene.role_as(SUBJECT, aud_key=scene.issuer.removeprefix("https://") + "/")


def no_role(scene, _host):
    scene.no_role()


# The set-up, what STS says, the check that names the cause, the exit code.
BROKEN = [
    (flags_with_a_slash, NO_PROVIDER, "flags-issuer", 1),
    (issuers_joined_with_a_comma, NO_PROVIDER, "flags-issuer", 1),
    (no_provider, NO_PROVIDER, "provider", 1),
    (provider_with_a_slash, NO_PROVIDER, "provider", 1),
    (provider_in_other_case, NO_PROVIDER, "provider", 1),
    (provider_for_another_audience, AUDIENCE, "token-audience", 1),
    (token_for_the_api_server, AUDIENCE, "token-audience", 1),
    (key_that_is_not_published, NO_KEY, "token-key", 1),
    (key_for_encryption, NO_KEY, "token-key", 1),
    (forged_token, NO_KEY, "token-key", 1),
    (no_discovery_document, NO_KEY, "discovery", 1),
    (redirected_discovery, NO_KEY, "discovery", 1),
    (page_instead_of_a_document, NO_KEY, "discovery", 1),
    (discovery_of_another_issuer, NO_KEY, "discovery-issuer", 1),
    (keys_over_plain_http, NO_KEY, "jwks-uri", 1),
    (no_keys, NO_KEY, "jwks", 1),
    (empty_jwks, NO_KEY, "jwks", 1),
    (wrong_thumbprint, THUMBPRINT, "thumbprint", 1),
    (host_that_hangs, UNREACHABLE, "jwks", 4),
    (old_token, EXPIRED, "token-time", 1),
    (token_that_never_expires, CLAIM, "token", 1),
    (no_token, NOT_A_TOKEN, "token", 1),
    (role_of_another_account, DENIED, "trust", 1),
    (star_in_string_equals, DENIED, "trust", 1),
    (slash_in_a_condition_key, DENIED, "trust", 1),
    (no_role, DENIED, "role", 1),
]
# Set-ups in which STS accepts the token, and something is to be said all the same.
DOUBTFUL = [
    (lambda scene, host: scene.serve(host, issuer=scene.issuer + "/"), "discovery-issuer"),
    (lambda scene, host: scene.role_as("system:serviceaccount:*", operator="StringLike"), "trust-policy"),
    (lambda scene, host: host.pages["/prod/keys.json"].headers.update({"Cache-Control": "no-store"}), "cache"),
]


def main():
    with working_folder() as work, Scene(work) as scene:
        checks = Checks("doctor")
        if sys.argv[1:] == ["stores"]:
            stores(checks, work, scene)
            return checks.report()
        # The store has an issuer and a provider of its own, and nobody waits for it.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            beside = pool.submit(stores, checks, work, scene)
            healthy(checks, scene)
            broken(checks, scene)
            certificates(checks, scene)
            gone(checks, scene)
            private(checks, scene)
            beside.result()
        live(checks, work, scene)
        checks.report(f"over {len(BROKEN)} broken set-ups and more")


def broken(checks, scene):
    for breakage, said, name, code in BROKEN:
        with scene.healthy() as host:
            breakage(scene, host)
            one(checks, scene, breakage.__name__.replace("_", " "), said, name, code)
    for change, name in DOUBTFUL:
        with scene.healthy() as host:
            change(scene, host)
            ended = scene.doctor("--ask-sts")
            report = json.loads(ended.text())
            checks.equal(f"a doubt is named: {name}", [("warning", name)], bad(report))
            checks.equal(f"{name}: STS accepts", ["ok"], verdicts(report, "sts"))
            checks.equal(f"{name}: a warning is no failure", 0, ended.code)


def healthy(checks, scene):
    with scene.healthy():
        ended = scene.doctor("--ask-sts")
        report = json.loads(ended.text())
        checks.equal("a healthy set-up: nothing is named", [], bad(report))
        checks.equal("a healthy set-up exits with 0", 0, ended.code)
        checks.equal("STS accepts its token", ["ok"], verdicts(report, "sts"))
        for name in ("issuer-url", "flags-issuer", "discovery", "jwks", "thumbprint", "provider", "client-ids", "trust"):
            checks.equal(f"a healthy set-up: {name}", ["ok"], verdicts(report, name))
        text = irsa.run("doctor", "--issuer", scene.issuer, "--no-aws").text()
        checks.contains("the issuer alone is looked at too", text, "not seen:", "--token-file", "--role-arn")


def one(checks, scene, what, said, name, code):
    ended = scene.doctor("--ask-sts")
    report = json.loads(ended.text())
    checks.equal(f"{what}: named, and nothing else", [("failure", name)], bad(report))
    answers = [check for check in report["checks"] if check["id"] == "sts"]
    checks.contains(f"{what}: STS refuses with its text", answers[0]["message"], said, f"because of {name}")
    checks.equal(f"{what}: the exit code", code, ended.code)
    cause = next((check for check in report["checks"] if check["id"] == name and check["verdict"] == "failure"), {})
    checks.true(f"{what}: says what to do", cause.get("help"), cause)
    if cause.get("sts") and answers[0]["sts"]:
        checks.equal(f"{what}: the text of STS is foretold", answers[0]["sts"], cause["sts"])


def certificates(checks, scene):
    for what, keywords, name in [
        ("a certificate for another name", {"names": ("other.example.com",), "addresses": ("127.0.0.2",)}, "certificate"),
    ]:
        with scene.healthy() as host:
            certificate, key = scene.authority.issue("odd", "/CN=odd", **keywords)
            host.send_certificate(certificate, key)
            one(checks, scene, what, NO_KEY, name, 1)
    with scene.healthy():
        leaf = leaf_thumbprint(scene)
        scene.raw_provider(scene.issuer, [leaf])
        one(checks, scene, "the thumbprint of the leaf", THUMBPRINT, "thumbprint", 1)


def leaf_thumbprint(scene):
    words = ("thumbprint", f"localhost:{scene.port}", "-o", "json")
    return json.loads(irsa.must(0, *words).text())["chain"][0]["thumbprint"]


def gone(checks, scene):
    """The host goes, and the provider stays."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(scene.healthy())
        host.stop()
        one(checks, scene, "a host that is down", UNREACHABLE, "discovery", 4)


def private(checks, scene):
    """A private key in the JWKS: AWS does not mind, and everybody else must."""
    with scene.healthy() as host:
        private_key_published(scene, host)
        ended = scene.doctor()
        report = json.loads(ended.text())
        checks.equal("a private key in public is named, and nothing else", [("failure", "jwks")], bad(report))


main()
