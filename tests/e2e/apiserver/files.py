"""`irsa apiserver check FILE`: a stock node is healthy, each broken one is named."""

import json
import shutil

from edit import replace_flags
from nodes import ISSUER, PKI, STOCK_ISSUER, new_key, place_key

from harness import irsa
from harness.pki import openssl


def check(cluster, checks, seed, work):
    node = cluster.nodes[0]
    key = new_key(work, "check")
    place_key(node, key, "check")
    ec = new_key(work, "check-ec", "prime256v1")
    place_key(node, ec, "check-ec")
    # Read as a signing key, passed over as a verification key.
    pkcs8 = node.pki / "check-pkcs8.key"
    pkcs8.touch(mode=0o600)
    pkcs8.write_bytes(openssl("pkcs8", "-topk8", "-nocrypt", "-in", ec.private))
    mixed = node.pki / "check-mixed.pub"
    mixed.touch(mode=0o600)
    mixed.write_bytes(key.public.read_bytes() + pkcs8.read_bytes())
    folder = work / "check"
    folder.mkdir()

    def run(api_server=None, controller=None, wanted=()):
        """Checks copies of the node's manifests with some flags replaced."""
        copies = []
        for manifest, flags in ((node.manifest, api_server), (node.controller_manifest, controller)):
            target = folder / "manifests" / manifest.name
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(manifest, target)
            if flags:
                replace_flags(target, flags)
            copies.append(target)
        ended = irsa.run("apiserver", "check", "-o", "json", "--root", node.root, *wanted, *copies)
        return ended.code, [each["message"] for each in json.loads(ended.text())["findings"] if each["severity"] == "problem"]

    checks.equal("a stock node is healthy", (0, []), run())
    wanted = ["--issuer", ISSUER, "--key-file", f"{PKI}/check.pub", "--signing-key-file", f"{PKI}/check.key"]
    code, problems = run(wanted=wanted)
    checks.equal("it is not what is wanted", 3, code)
    checks.contains("what is missing is named", "\n".join(problems), ISSUER, f"{PKI}/check.pub", f"{PKI}/check.key")
    adopted = {
        "service-account-issuer": [ISSUER, STOCK_ISSUER],
        "service-account-key-file": [f"{PKI}/sa.pub", f"{PKI}/check.pub"],
        "service-account-signing-key-file": [f"{PKI}/check.key"],
        "api-audiences": [f"{STOCK_ISSUER},{ISSUER}"],
    }
    private = {"service-account-private-key-file": [f"{PKI}/check.key"]}
    checks.equal("an adopted node is", (0, []), run(adopted, private, wanted))

    broken = {
        "issuers joined by a comma": ({"service-account-issuer": [f"{STOCK_ISSUER},{ISSUER}"]}, None, "comma"),
        "a signing key in no key file": ({"service-account-signing-key-file": [f"{PKI}/check.key"]}, None, "check.key"),
        "the STS audience": ({"api-audiences": [f"{STOCK_ISSUER},sts.amazonaws.com"]}, None, "sts.amazonaws.com"),
        "a block that is skipped": (
            {"service-account-key-file": [f"{PKI}/sa.pub", f"{PKI}/check-mixed.pub"]},
            None,
            "check-mixed.pub",
        ),
        "a controller-manager on another key": (None, private, "check.key"),
        "a JWKS URI of http": (
            {"service-account-jwks-uri": ["http://oidc.example.com/keys.json"]},
            None,
            "http://oidc.example.com",
        ),
        "a key file that no volume mounts": (
            {"service-account-key-file": [f"{PKI}/sa.pub", "/srv/keys/a.pub"]},
            None,
            "/srv/keys/a.pub",
        ),
    }
    for what, (api_server, controller, said) in broken.items():
        code, problems = run(api_server, controller)
        checks.equal(f"{what}: exit code", 3, code)
        # One mistake, one finding: a list of its consequences would hide it.
        checks.equal(f"{what}: findings", 1, len(problems)) or print("\n".join(problems))
        checks.contains(f"{what}: named", "\n".join(problems), said)
