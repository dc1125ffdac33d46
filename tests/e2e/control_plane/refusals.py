"""What kube-apiserver refuses at start, and what it takes without a word, of the flags about service accounts."""

import re
import subprocess

from harness import KeyPair, binary
from harness.client import parts_of
from harness.pki import openssl

ISSUER = "https://issuer.example.com"
# Of 1.36. A flag more or less is news for `irsa apiserver`.
FLAGS = {
    "api-audiences",
    "service-account-extend-token-expiration",
    "service-account-issuer",
    "service-account-jwks-uri",
    "service-account-key-file",
    "service-account-lookup",
    "service-account-max-token-expiration",
    "service-account-signing-endpoint",
    "service-account-signing-key-file",
}


def check(plane, checks, random):
    folder = plane.folder / "refusals"
    stock = plane.account_key
    p256 = KeyPair(folder, "p256", "prime256v1")

    def signing_key(name, *words):
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(openssl(*words))
        return path

    ed25519 = signing_key("ed25519.key", "genpkey", "-algorithm", "ed25519")
    p224 = signing_key("p224.key", *"ecparam -name secp224r1 -genkey -noout".split())
    locked = signing_key("locked.key", *"genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -aes256 -pass pass:x".split())
    rsa512 = signing_key("rsa512.key", *"genrsa -traditional 512".split())

    def flags(issuers=(ISSUER,), keys=(stock.public,), signing=stock.private, more=()):
        return [
            *[f"--service-account-issuer={each}" for each in issuers],
            *[f"--service-account-key-file={each}" for each in keys],
            *([f"--service-account-signing-key-file={signing}"] if signing else []),
            *more,
        ]

    refused = {
        "no issuer": (flags(issuers=()), "service-account-issuer"),
        "an empty issuer": (flags(issuers=("",)), "service-account-issuer"),
        "one issuer twice": (flags(issuers=(ISSUER, ISSUER)), "service-account-issuer"),
        "an issuer that is no URL": (flags(issuers=("https://[::1",)), "service-account-issuer"),
        "no key file": (flags(keys=()), "service-account-key-file"),
        "no signing key": (flags(signing=None), "service-account-signing-key-file"),
        "a public key to sign with": (flags(signing=stock.public), "valid rsa or ecdsa private key"),
        "Ed25519 to sign with": (flags(signing=ed25519), "unknown private key type"),
        "P-224 to sign with": (flags(signing=p224), "curve"),
        "an encrypted key to sign with": (flags(signing=locked), "valid rsa or ecdsa private key"),
        "two signing keys joined by a comma": (flags(signing=f"{stock.private},{p256.private}"), "no such file"),
        "a JWKS URI of http": (flags(more=["--service-account-jwks-uri=http://a.example.com/k"]), "jwks-uri"),
        "a JWKS URI that is no URL": (flags(more=["--service-account-jwks-uri=https://[::1"]), "jwks-uri"),
        "a longest life of under an hour": (flags(more=["--service-account-max-token-expiration=59m59s"]), "max-token-expiration"),
        "a longest life of 2^32 s and one": (
            flags(more=["--service-account-max-token-expiration=4294967297s"]),
            "max-token-expiration",
        ),
        "an external signer beside a signing key": (
            flags(keys=(), more=["--service-account-signing-endpoint=/run/signer.sock"]),
            "service-account-signing-endpoint",
        ),
        "an issuer of a JWT authenticator": (flags(more=[jwt_authenticator(folder)]), "issuer"),
    }
    for what, (words, said) in refused.items():
        checks.contains(f"{what} is refused", plane.refusal(words).lower(), said)

    check_commas(plane, checks, flags)
    # What no flag check refuses shows at the first token.
    with plane.extra_server(flags(signing=rsa512), ready=False) as server:
        server.wait_ready()
        answer = server.client.request("POST", TOKEN, {"spec": {}})
        checks.equal("RSA 512 starts and cannot sign", 500, answer.status)
    printed = subprocess.run([binary("kube-apiserver"), "--help"], capture_output=True, text=True, check=True).stdout
    found = set(re.findall(r"^ +--(service-account-[a-z-]+|api-audiences) ", printed, re.MULTILINE))
    checks.equal("the flags about service accounts", FLAGS, found)


TOKEN = "/api/v1/namespaces/default/serviceaccounts/default/token"


def jwt_authenticator(folder):
    """A structured authentication configuration whose issuer is the service accounts' own."""
    path = folder / "authentication.yaml"
    path.write_text(f"""apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {{url: "{ISSUER}", audiences: [a]}}
  claimMappings: {{username: {{claim: sub, prefix: ""}}}}
""")
    return f"--authentication-config={path}"


def check_commas(plane, checks, flags):
    """Issuers joined by a comma are one issuer that nobody has: the flag is no list (EKS Anywhere wrote such flags)."""
    joined = "https://a.example.com,https://b.example.com"
    with plane.extra_server(flags(issuers=(joined,))) as server:
        checks.equal("the issuer of the document", joined, server.client.discovery_document().json()["issuer"])
        token = server.client.create_token("default", "default")
        checks.equal("the issuer of a token", joined, parts_of(token)[1]["iss"])
        checks.equal("its audience", [joined], parts_of(token)[1]["aud"])
    audiences = ["--api-audiences=https://a.example.com,https://b.example.com"]
    with plane.extra_server(flags(more=audiences)) as server:
        found = parts_of(server.client.create_token("default", "default"))[1]["aud"]
        checks.equal("audiences are a list", ["https://a.example.com", "https://b.example.com"], found)
