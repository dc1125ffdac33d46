"""The JWKS and the discovery document that a kube-apiserver serves for key files, and irsa's for the same: equal bytes.

The blocks come from the oracle's pool (every key kind in every encoding, whole and odd ones), so that a start of a server
tries hundreds of them at once; random sets of files come from its corpus.
"""

import base64
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess

from harness import KeyPair, Refusal, irsa

HERE = pathlib.Path(__file__).resolve().parent
ISSUER = "https://issuer.example.com/clusters/one"
JWKS_URI = "https://keys.example.com/one.json"
PATHS = ("/openid/v1/jwks", "/.well-known/openid-configuration")
# Other reasons to end, as a port that was taken meanwhile, are no answer.
ABOUT_KEY_FILES = re.compile(r"valid RSA or ECDSA public keys|\.(pem|pub): no such file")
# More at once than cores: a server that starts also waits.
SIDE_BY_SIDE = 3
RANDOM_SETS = int(os.environ.get("IRSA_E2E_STARTS", "32"))
# Each alone on a server: what the discovery document says of algorithms must hold for one key too.
ALONE = [
    *[f"rsa{bits} {form}" for bits in (2048, 3072, 4096) for form in ("pkix", "pkcs1", "pkcs8", "certificate")],
    *[f"p{bits} {form}" for bits in (256, 384, 521) for form in ("pkix", "sec1", "certificate", "certificate with extensions")],
]
# Skipped without a word beside a good key; alone they keep the server from starting.
SKIPPED_ALONE = [
    "ed25519 pkix",
    "ed25519 pkcs8",
    "ed25519 certificate",
    "p256 pkcs8",
    "rsa2048 pkcs1 public",
    "rsa2048 pkix PSS",
    "p256 pkix compressed",
    "encrypted pkcs8",
    "junk",
    "certificate request",
]


class Configuration:
    """Flags of one server. `expected` is served, nothing (404), refused, or None where the server alone decides."""

    def __init__(self, name, files, expected, issuer=ISSUER, jwks_uri=JWKS_URI, flags=(), irsa_flags=()):
        self.name = name
        self.files = list(files)
        self.expected = expected
        self.issuer = issuer
        self.jwks_uri = jwks_uri
        self.flags = list(flags)
        self.irsa_flags = list(irsa_flags)


def check(plane, checks, random):
    folder = plane.folder / "documents"
    folder.mkdir()
    ask_oracle(folder)
    configurations = [*of_blocks(folder, random), *of_files(folder), *of_issuers(folder), *random_sets(folder)]
    outcomes = {"served": 0, "nothing": 0, "refused": 0}
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for outcome in pool.map(lambda each: compare(plane, checks, each), configurations):
            outcomes[outcome] += 1
    print(f"{len(configurations)} servers: {outcomes}")
    for outcome, count in outcomes.items():
        checks.true(f"some configurations end as {outcome}", count > 0)


def ask_oracle(folder):
    """Its pool in `folder`/pool, and random sets in `folder`/corpus; it takes ten seconds for each."""
    seed = os.environ.get("IRSA_E2E_SEED", "1")
    # Not the sets that the part `documents` tries without a server.
    corpus = ["corpus", "--seed", f"7{seed}", "--count", str(RANDOM_SETS), "--out", folder / "corpus"]
    commands = [["blocks", "--out", folder / "pool"], corpus]
    asked = [subprocess.Popen([HERE.parent / "oracle.sh", *map(str, words)]) for words in commands]
    for process in asked:
        if process.wait() != 0:
            raise RuntimeError(f"{process.args} fails")


def compare(plane, checks, configuration):
    """What the server does with the configuration; irsa must do the same."""
    what = configuration.name
    flags = [
        f"--service-account-issuer={configuration.issuer}",
        f"--service-account-signing-key-file={plane.account_key.private}",
        *[f"--service-account-key-file={name}" for name in configuration.files],
        *([f"--service-account-jwks-uri={configuration.jwks_uri}"] if configuration.jwks_uri else []),
        *configuration.flags,
    ]
    outcome, jwks, discovery = serve(plane, flags)
    if configuration.expected:
        checks.equal(f"{what}: kube-apiserver", configuration.expected, outcome)
    # Without the flag it is made of the server's own address, which irsa cannot know.
    jwks_uri = configuration.jwks_uri or json.loads(discovery)["jwks_uri"]
    ours = {
        "jwks": (jwks, ["jwks", "--as-apiserver"]),
        "discovery": (discovery, ["discovery", "--as-apiserver", f"--issuer={configuration.issuer}", f"--jwks-uri={jwks_uri}"]),
    }
    for document, (theirs, words) in ours.items():
        if document == "discovery":
            words = [*words, *configuration.irsa_flags]
        if outcome == "served":
            checks.equal(f"{what}: irsa {document}", theirs + b"\n", irsa.must(0, *words, *configuration.files).stdout)
        elif document == "discovery" or not configuration.name.startswith("issuer "):
            ended = irsa.run(*words, *configuration.files)
            checks.true(f"{what}: irsa {document} refuses", ended.code in (1, 2) and ended.stdout == b"", ended)
    return outcome


def serve(plane, flags):
    """(outcome, JWKS, discovery document) of a new server."""
    try:
        with plane.extra_server(flags, ready=False) as server:
            answers = [server.client.request("GET", path) for path in PATHS]
            if any(answer.status != 200 for answer in answers):
                # While it starts, a path that it does not know is answered with 503.
                server.wait_ready()
                answers = [server.client.request("GET", path) for path in PATHS]
            statuses = [answer.status for answer in answers]
            if statuses == [404, 404]:
                return "nothing", b"", b"{}"
            if statuses != [200, 200]:
                raise AssertionError(f"the documents of {' '.join(flags)} are answered with {statuses}")
            return "served", answers[0].body, answers[1].body
    except Refusal as refusal:
        if not ABOUT_KEY_FILES.search(str(refusal)):
            raise
        return "refused", b"", b"{}"


def of_blocks(folder, random):
    """All of the oracle's pool, in a few servers."""
    pool = folder / "pool"
    blocks = [json.loads(line) for line in (pool / "blocks.jsonl").read_text().splitlines()]
    text = {block["file"]: (pool / block["file"]).read_text() for block in blocks}
    good = [block for block in blocks if "jwks" in block["documents"]]
    skipped = [block for block in blocks if "start_error" in block["documents"]]
    unservable = [block for block in blocks if "serve_error" in block["documents"]]
    named = {block["what"]: block for block in blocks}
    one = named["p256 pkix"]

    def written(name, content):
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content.encode())
        return path

    yield Configuration(f"{len(good)} good blocks, a file each", [pool / block["file"] for block in good], "served")
    together = "".join(text[block["file"]] for block in good)
    yield Configuration("all good blocks in one file", [written("good.pem", together)], "served")
    yield Configuration("all good blocks in one file, CRLF", [written("crlf.pem", together.replace("\n", "\r\n"))], "served")
    pairs = [written(f"pair-{block['file']}", text[block["file"]] + text[one["file"]]) for block in skipped]
    yield Configuration(f"{len(skipped)} blocks that are skipped, each before a good one", pairs, "served")
    ahead = "".join(text[block["file"]] for block in skipped)
    yield Configuration(
        "all skipped blocks and a good one in one file", [written("ahead.pem", ahead + text[one["file"]])], "served"
    )
    yield Configuration("all skipped blocks in one file", [written("skipped.pem", ahead)], "refused")
    for block in random.sample(unservable, 2):
        yield Configuration(f"{block['what']} alone", [pool / block["file"]], "nothing")
        yield Configuration(f"{block['what']} after a good key", [pool / one["file"], pool / block["file"]], "nothing")
    for what in ALONE:
        yield Configuration(f"{what} alone", [pool / named[what]["file"]], "served")
    for what in [*SKIPPED_ALONE, *[block["what"] for block in random.sample(skipped, 8)]]:
        yield Configuration(f"{what} alone", [pool / named[what]["file"]], "refused")


def of_files(folder):
    """Several files, repetitions, labels and text between the blocks, with keys that openssl made."""
    keys = {algorithm: KeyPair(folder, algorithm, algorithm) for algorithm in ("rsa2048", "prime256v1", "secp384r1", "secp521r1")}
    rsa, p256, p384, p521 = keys.values()

    def written(name, content):
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    def public(key):
        return key.public.read_text()

    yield Configuration("one file twice", [rsa.public, rsa.public], "served")
    yield Configuration("a key twice in a file", [written("twice.pem", public(rsa) * 2)], "served")
    yield Configuration("private and public half", [rsa.private, rsa.public, p256.private, p256.public], "served")
    yield Configuration(
        "order of flags and blocks", [written("two.pem", public(p521) + public(rsa)), p384.public, p256.public], "served"
    )
    yield Configuration("ES384 and RS256", [p384.public, rsa.public], "served")
    yield Configuration("another label", [written("label.pem", public(p256).replace("PUBLIC KEY", "ANY THING"))], "served")
    yield Configuration(
        "text between the blocks", [written("text.pem", f"# the old key\n{public(p256)}junk\n\n{public(rsa)}end")], "served"
    )
    yield Configuration("no final newline", [written("cut.pem", public(p256).rstrip("\n"))], "served")
    yield Configuration("a byte order mark", [written("bom.pem", "\ufeff" + public(p256))], None)
    yield Configuration("an empty file beside a good one", [p256.public, written("empty.pem", "")], "refused")
    yield Configuration(
        "an OpenSSH key", [written("ssh.pub", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== me@example.com\n")], "refused"
    )
    yield Configuration("a file that is not there", [folder / "absent.pem"], "refused")
    yield Configuration("two files joined by a comma", [f"{rsa.public},{p256.public}"], "refused")


def of_issuers(folder):
    """Issuer URLs and JWKS URIs. A name that begins with "issuer" says that the JWKS alone would be good."""
    key = folder / "rsa2048.pub"
    for issuer in (
        "https://issuer.example.com",
        "https://10.0.0.1:6443/a",
        "https://[2001:db8::1]:8443",
        "https://issuer.example.com/a&b",
        "https://issuer.example.com/A%20b~c",
        "https://s3.eu-central-1.amazonaws.com/bucket/prod_1",
    ):
        yield Configuration(f"issuer {issuer}", [key], "served", issuer=issuer)
    slash = "https://issuer.example.com/prod/"
    yield Configuration("issuer with a final slash", [key], "served", issuer=slash, irsa_flags=["--allow-trailing-slash"])
    for issuer in ("http://issuer.example.com", "https://issuer.example.com?a=b", "https://issuer.example.com#a", "kubernetes"):
        yield Configuration(f"issuer {issuer}", [key], "nothing", issuer=issuer)
    yield Configuration("JWKS URI of the server's own address", [key], "served", jwks_uri=None)
    host = ["--external-hostname=api.example.com"]
    yield Configuration("JWKS URI of the external host name", [key], "served", jwks_uri=None, flags=host)


def random_sets(folder):
    """Random sets of files from the oracle's corpus."""
    corpus = folder / "corpus"
    for line in (corpus / "cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        files = []
        for number, content in enumerate(case["files"]):
            path = corpus / f"{case['id']}-{number}.pem"
            path.touch(mode=0o600)
            path.write_bytes(base64.b64decode(content))
            files.append(path)
        name = f"random set {case['id']} ({'; '.join(case['what'])[:300]})"
        yield Configuration(name, files, None, issuer=case["issuer"], jwks_uri=case["jwks_uri"])
