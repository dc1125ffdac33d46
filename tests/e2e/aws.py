"""irsa against S3, IAM and STS that others wrote; see README.md beside this file."""

import base64
import concurrent.futures
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import aws_bootstrap
import jwt
from aws_tokens import SUBJECT, assume, mint, signing_control_plane
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from harness import Authority, Checks, Process, free_ports, irsa, wait_until, working_folder
from harness.seaweed import Seaweed, anonymous

PRIVATE_MARKERS = (b"PRIVATE KEY", b'"d":', b'"p":')


def main():
    with working_folder() as work:
        authority = Authority(work / "pki")
        for name in ("sa", "next", "foreign"):
            irsa.must(0, "keys", "generate", "--out", work / "keys", "--name", name)
        checks = Checks("aws")
        step_by_step, at_once = free_ports(2)
        scenes = [
            (on_seaweed, checks, work, authority, step_by_step),
            (aws_bootstrap.on_seaweed, checks, work, authority, at_once),
            (on_ministack, checks, work),
        ]
        # They share nothing but the keys, and wait most of their time.
        with concurrent.futures.ThreadPoolExecutor(len(scenes)) as pool:
            for scene in [pool.submit(*scene) for scene in scenes]:
                scene.result()
        aws_bootstrap.terraform(checks, work)
        checks.report()


def on_seaweed(checks, work, authority, port):
    """Every step by a command of its own."""
    issuer = f"https://localhost:{port}/oidc-bucket/prod"
    with Seaweed(work, authority, trusted=[(issuer, SUBJECT)], port=port) as store:
        environment = {**store.environment, "IRSA_CA_FILE": str(store.ca), "IRSA_LOG": "warn"}
        publishing(checks, work, store, issuer, environment)
        racing(checks, work, environment)
        provider_and_sts(checks, work, store, issuer, environment)
        real_token(checks, work, store, issuer, environment)
        replica(checks, work, store, issuer, environment)
        nothing_private(checks, work, store, environment)


def publish(work, environment, code, *more, to="s3://oidc-bucket/prod"):
    return irsa.must(code, "publish", "--to", to, *more, environment=environment)


def publishing(checks, work, store, issuer, environment):
    key = work / "keys/sa.pub"
    publish(work, environment, 1, key)
    dry = publish(work, environment, 0, "--create-bucket", "--dry-run", key).text()
    checks.contains("the plan names what is made", dry, "create bucket", "create keys.json", "nothing was written")
    publish(work, environment, 1, key)
    wet = publish(work, environment, 0, "--create-bucket", key).text()
    checks.contains("written and seen from outside", wet, "written and read back through the issuer URL")
    again = publish(work, environment, 0, "--create-bucket", key).text()
    checks.contains("a second run changes nothing", again, "nothing to do")
    status, headers, body = store.get("oidc-bucket/prod/keys.json")
    checks.equal("the JWKS is public", 200, status)
    checks.equal("with its media type", "application/jwk-set+json", headers.get("Content-Type"))
    checks.equal("and cache time", "public, max-age=300", headers.get("Cache-Control"))
    checks.equal("and the bytes of irsa jwks", irsa.must(0, "jwks", key).stdout.strip(), body)
    for path in ("oidc-bucket/prod/other", "oidc-bucket/", "oidc-bucket/?list-type=2"):
        checks.equal(f"nothing else is public: {path}", 403, store.get(path)[0])
    dropped = publish(work, environment, 1, work / "keys/next.pub").errors()
    checks.contains("no key is dropped", dropped, "would drop a key", "--withdraw")
    publish(work, environment, 3, "--check", key, work / "keys/next.pub")
    token = mint(work, "sa", issuer)
    keys = jwt.PyJWKClient(f"{issuer}/keys.json", ssl_context=ssl.create_default_context(cafile=str(store.ca)))
    claims = jwt.decode(
        token, keys.get_signing_key_from_jwt(token).key, algorithms=["RS256"], audience="sts.amazonaws.com", issuer=issuer
    )
    checks.equal("PyJWT verifies through the bucket", SUBJECT, claims["sub"])


def racing(checks, work, environment):
    """Sixteen runs at once, each with a key of its own: none may be lost by being overwritten."""
    count = 16
    for number in range(count):
        irsa.must(0, "keys", "generate", "--out", work / "race", "--name", f"k{number}", "--algorithm", "ES256")
    publish(work, environment, 0, "--access", "policy", work / "keys/sa.pub", to="s3://oidc-bucket/race")

    def one(number):
        keys = (work / "keys/sa.pub", work / f"race/k{number}.pub")
        return irsa.run("publish", "--to", "s3://oidc-bucket/race", *keys, environment=environment).code

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        codes = list(pool.map(one, range(count)))
    # 1: the winner's key is there by then, and would be dropped.
    checks.equal("one of the racing runs wins", 1, codes.count(0))
    checks.true("the others lose and say so", set(codes) <= {0, 1, 4}, codes)
    winner = work / f"race/k{codes.index(0)}.pub"
    publish(work, environment, 0, "--check", work / "keys/sa.pub", winner, to="s3://oidc-bucket/race")


def member(answer, name):
    return answer.split(f"<{name}>")[1].split(f"</{name}>")[0]


def provider_and_sts(checks, work, store, issuer, environment):
    provider = ("iam", "provider", "apply", "--issuer", issuer)
    good = mint(work, "sa", issuer)
    checks.true("without a provider STS refuses", assume(store, good)[0] >= 400)
    irsa.must(3, *provider, "--check", environment=environment)
    made = irsa.must(0, *provider, environment=environment).text()
    checks.contains("the provider is made with a thumbprint of the private CA", made, "create OIDC provider", "sts.amazonaws.com")
    again = irsa.must(0, *provider, environment=environment).text()
    checks.contains("and left alone by a second run", again, "nothing to do")
    shown = irsa.must(0, "iam", "provider", "show", "--issuer", issuer, "-o", "json", environment=environment).text()
    shown = json.loads(shown)
    checks.equal("its URL is the issuer", issuer, shown["url"])
    checks.equal("it has one thumbprint", 1, len(shown["thumbprints"]))

    status, answer = assume(store, good)
    checks.equal("STS takes a minted token", 200, status)
    session = {
        **environment,
        "AWS_ACCESS_KEY_ID": member(answer, "AccessKeyId"),
        "AWS_SECRET_ACCESS_KEY": member(answer, "SecretAccessKey"),
        "AWS_SESSION_TOKEN": member(answer, "SessionToken"),
    }
    publish(work, session, 0, "--check", work / "keys/sa.pub")
    bad = {**session, "AWS_SESSION_TOKEN": "x" + session["AWS_SESSION_TOKEN"]}
    publish(work, bad, 1, "--check", work / "keys/sa.pub")
    refused = {
        "forged": mint(work, "foreign", issuer),
        "of another audience": mint(work, "sa", issuer, audience="other"),
        "of another subject": mint(work, "sa", issuer, subject="demo/other"),
        "with another signature": mint(work, "sa", issuer).rsplit(".", 1)[0] + "." + good.rsplit(".", 1)[1],
        "expired": expired_token(work, issuer),
        "garbage": "a.b.c",
    }
    for name, token in refused.items():
        status, answer = assume(store, token)
        checks.true(f"STS refuses a token: {name}", 400 <= status < 500 and "<AccessKeyId>" not in answer, f"{status} {answer}")

    # A rotation: before publishing the new key is refused, right after it is taken, and the old one still is.
    rotated = mint(work, "next", issuer)
    checks.true("a key that is not published is refused", assume(store, rotated)[0] >= 400)
    publish(work, environment, 0, work / "keys/sa.pub", work / "keys/next.pub")
    checks.equal("the new key is taken after publishing", 200, assume(store, rotated)[0])
    checks.equal("the old one still is", 200, assume(store, good)[0])


def expired_token(work, issuer):
    """Signed with the right key by PyJWT: irsa mints none that have expired."""
    key = (work / "keys/sa.key").read_bytes()
    kid = json.loads(irsa.must(0, "jwks", work / "keys/sa.pub").text())["keys"][0]["kid"]
    now = int(time.time())
    claims = {"iss": issuer, "sub": SUBJECT, "aud": ["sts.amazonaws.com"], "iat": now - 7200, "nbf": now - 7200, "exp": now - 3600}
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid, "typ": None})


def real_token(checks, work, store, issuer, environment):
    with signing_control_plane(checks, work, store, issuer, "published by hand") as plane:
        internal = plane.client.create_token("demo", "app")
        checks.true("nor one for the API server", assume(store, internal)[0] >= 400)
        token = plane.client.create_token("demo", "app", audiences=["sts.amazonaws.com"])
        verified = irsa.run("token", "verify", "--issuer", issuer, "-", stdin=token.encode(), environment=environment)
        checks.equal("irsa token verify agrees", 0, verified.code)


def replica(checks, work, store, issuer, environment):
    port, admin = free_ports(2)
    certificate, key = store.authority.issue("replica", "/CN=localhost")
    words = [
        irsa.path(), "serve", "--from", "s3://oidc-bucket/prod", "--issuer", issuer, "--listen", f"127.0.0.1:{port}",
        "--admin-listen", f"127.0.0.1:{admin}", "--tls-cert", certificate, "--tls-key", key, "--reload-interval", "300ms",
    ]  # fmt: skip
    server = Process("irsa", words, work / "replica.log", {**environment, "PATH": os.environ["PATH"]})
    try:
        url = f"https://localhost:{port}/oidc-bucket/prod/keys.json"

        def served():
            try:
                return anonymous(url, store.ca)[2]
            except OSError:
                return None

        published = store.get("oidc-bucket/prod/keys.json")[2]
        wait_until("the replica to serve what is published", lambda: served() == published, 20, server)
        irsa.must(0, "keys", "generate", "--out", work / "keys", "--name", "third")
        keys = [work / f"keys/{name}.pub" for name in ("sa", "next", "third")]
        publish(work, environment, 0, *keys)
        published = store.get("oidc-bucket/prod/keys.json")[2]
        wait_until("the replica to follow", lambda: served() == published, 20, server)
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
            checks.contains("its metrics tell the age", answer.read().decode(), "irsa_source_age_seconds{")
    finally:
        server.stop()


def nothing_private(checks, work, store, environment):
    """Everything that was ever uploaded, in the store's own files: no private key, whole or in parts."""
    keys = list((work / "keys").glob("*.key")) + list((work / "race").glob("*.key"))
    checks.true("there are keys to look for", len(keys) > 10)
    pem = keys[0].read_bytes()
    own = base64.b64decode(b"".join(line for line in pem.splitlines() if b"-----" not in line))
    checks.true("a private key would be found", any(needle in own for needle in spellings(secret_numbers(keys[0])[0])))
    needles = list(PRIVATE_MARKERS)
    for key in keys:
        for secret in secret_numbers(key):
            needles += spellings(secret)
    searched = 0
    for path in (store.folder / "data").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            searched += len(content)
            found = [needle[:12] for needle in needles if needle in content]
            checks.equal(f"nothing private in {path.name}", [], found)
    checks.true("the store's files hold what was published", searched > 1000, searched)


def secret_numbers(path):
    """The numbers of a private key that its public half does not have: the modulus is published."""
    key = load_pem_private_key(path.read_bytes(), None)
    numbers = key.private_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return [numbers.d, numbers.p, numbers.q]
    return [numbers.private_value]


def spellings(number):
    """Bytes that a file must hold if the number is in it raw, in hex or in base64 at any offset."""
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    found = [raw[:24], raw.hex().encode()[:48], raw.hex().upper().encode()[:48]]
    for offset in range(3):
        # From a whole group of three bytes on; less than a line of PEM, so that some line holds it.
        part = raw[offset : offset + 18]
        found += [base64.b64encode(part), base64.urlsafe_b64encode(part)]
    return found


def on_ministack(checks, work):
    """Block Public Access, Regions and roles, as MiniStack enforces them."""
    (port,) = free_ports(1)
    environment = {
        **os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "HOME": str(work), "TMPDIR": str(work),
    }  # fmt: skip
    program = [sys.executable, "-m", "ministack"]
    server = Process("ministack", program, work / "ministack.log", environment)
    endpoint = f"http://127.0.0.1:{port}"
    aws = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "IRSA_LOG": "warn",
    }  # fmt: skip

    def answers():
        try:
            urllib.request.urlopen(endpoint, timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    try:
        wait_until("MiniStack to answer", answers, 60, server)
        key = work / "keys/sa.pub"
        for region in ("us-east-1", "eu-west-1"):
            regional = {**aws, "AWS_REGION": region}
            to = f"s3://oidc-{region}"
            made = publish(work, regional, 0, "--create-bucket", "--no-read-back", key, to=to).text()
            checks.contains(f"a bucket in {region}", made, "create bucket", "put bucket policy", "written")
            again = publish(work, regional, 0, "--create-bucket", "--no-read-back", key, to=to).text()
            checks.contains(f"a second run in {region} changes nothing", again, "nothing to do")
        aws["AWS_REGION"] = "us-east-1"
        roles(checks, work, aws)
        aws_bootstrap.on_ministack(checks, work, aws)
    finally:
        server.stop()


def roles(checks, work, aws):
    issuer = "https://oidc.example.com/prod"
    irsa.must(0, "iam", "provider", "apply", "--issuer", issuer, "--no-thumbprint", environment=aws)
    clean = irsa.run("iam", "role", "lint", environment=aws)
    checks.equal("nothing to complain about at first", 0, clean.code)
    apply = ("iam", "role", "apply", "demo-app", "--issuer", issuer)
    made = irsa.must(0, *apply, "--service-account", "demo/app", "--max-session", "2h", environment=aws).text()
    checks.contains("the role is made", made, "create role", "trusts system:serviceaccount:demo:app")
    again = irsa.must(0, *apply, "--service-account", "demo/app", environment=aws).text()
    checks.contains("and left alone", again, "nothing to do")
    irsa.must(3, *apply, "--service-account", "demo/b", "--check", environment=aws)
    irsa.must(0, *apply, "--service-account", "demo/b", environment=aws)
    (work / "policy.json").write_text(
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}'
    )
    irsa.must(0, *apply, "--policy-file", work / "policy.json", environment=aws)
    shown = json.loads(irsa.must(0, "iam", "role", "show", "demo-app", "-o", "json", environment=aws).text())
    subjects = shown["trust_policy"]["Statement"][0]["Condition"]["StringEquals"]["oidc.example.com/prod:sub"]
    checks.equal("both service accounts are in one statement", 2, len(subjects))
    checks.true("it has the inline policy", shown["inline_policy"], shown)
    checks.true("it is ours", shown["managed"], shown)
    irsa.must(0, "iam", "role", "lint", "demo-app", environment=aws)
    irsa.must(0, "iam", "provider", "delete", "--issuer", issuer, environment=aws)
    stale = irsa.must(3, "iam", "role", "lint", "demo-app", environment=aws).text()
    checks.contains("a provider that is gone is found", stale, "stale-provider")
    irsa.must(0, "iam", "role", "delete", "demo-app", environment=aws)
    irsa.must(1, "iam", "role", "show", "demo-app", environment=aws)


main()
