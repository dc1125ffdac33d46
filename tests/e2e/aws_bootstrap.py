"""irsa bootstrap and teardown against S3, IAM, STS and CloudFront that others wrote; called by aws.py."""

import json
import os
import pathlib
import signal
import subprocess
import time

import hcl2
from aws_tokens import SUBJECT, assume, mint, signing_control_plane

from harness import irsa
from harness.seaweed import Seaweed

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"


def on_seaweed(checks, work, authority, port):
    """The whole loop: from nothing, killed again and again, to a token of a kube-apiserver that STS accepts."""
    folder = work / "bootstrap"
    folder.mkdir()
    issuer = f"https://localhost:{port}/oidc-bucket/prod"
    config = folder / "irsa.yaml"
    # Roles come from SeaweedFS's own configuration: it has no CreateRole.
    config.write_text("cluster:\n  name: prod\n  keys:\n    generate: keys\n  publish:\n    to: s3://oidc-bucket/prod\n")
    with Seaweed(folder, authority, trusted=[(issuer, SUBJECT)], port=port) as store:
        environment = {
            **store.environment, "IRSA_CA_FILE": str(store.ca), "IRSA_LOG": "warn", "IRSA_CONFIG": str(config),
        }  # fmt: skip
        irsa.must(3, "bootstrap", "--check", environment=environment)
        killed = killed_at_random(environment)
        checks.true("some runs were killed at work", killed >= 5, killed)
        done = irsa.must(0, "bootstrap", "--yes", environment=environment).text()
        checks.contains("the next one ends", done, "nothing is left to do for cluster prod")
        again = irsa.must(0, "bootstrap", "--yes", environment=environment).text()
        checks.equal("a second run says so in one line", 1, len(again.splitlines()))
        irsa.must(0, "bootstrap", "--check", environment=environment)
        keys = sorted(path.name for path in (folder / "keys").iterdir())
        checks.equal("one key was made", ["sa.key", "sa.pub"], keys)
        published = json.loads(store.get("oidc-bucket/prod/keys.json")[2])["keys"]
        checks.equal("and published", 1, len(published))
        with signing_control_plane(checks, folder, store, issuer, "set up by bootstrap") as plane:
            on_control_plane(checks, folder, plane, issuer, environment)
        forged = mint(work, "foreign", issuer)
        checks.true("a forged token is refused", assume(store, forged)[0] >= 400)
        irsa.must(2, "teardown", environment=environment)
        irsa.must(0, "teardown", "--confirm", issuer, environment=environment)
        checks.true("after teardown STS refuses", assume(store, mint(folder, "sa", issuer))[0] >= 400)
        checks.true("and the documents are gone", store.get("oidc-bucket/prod/keys.json")[0] in (403, 404))
        checks.contains(
            "a second one finds nothing",
            irsa.must(0, "teardown", "--confirm", issuer, environment=environment).text(),
            "nothing to do",
        )
        irsa.must(0, "bootstrap", "--yes", environment=environment)
        checks.equal("set up again, the same key is accepted", 200, assume(store, mint(folder, "sa", issuer))[0])


def killed_at_random(environment):
    """Runs that are killed after longer and longer times; how many were still at work."""
    killed = 0
    for pause in [0.04 * step for step in range(1, 20)]:
        full = {"PATH": os.environ["PATH"], **environment}
        run = subprocess.Popen([irsa.path(), "bootstrap", "--yes"], env=full, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            killed += 1
        run.wait()
    return killed


def on_control_plane(checks, folder, plane, issuer, environment):
    """The last two stages of the same chain: a control plane's file, and the webhook in a real API server."""
    manifest = folder / "kube-apiserver.yaml"
    before = (GOLDEN / "kubeadm/stock-apiserver-1-36/before.yaml").read_text()
    manifest.write_text(before)
    config = pathlib.Path(environment["IRSA_CONFIG"])
    alone = config.read_text()
    config.write_text(
        alone + "  apiserver:\n    files: [kube-apiserver.yaml]\n    backup: backup\n"
        "  webhook:\n    image: registry.example.com/irsa:0.1.0\n    namespace: irsa\n"
    )
    plane.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "irsa"}})
    inside = {**environment, "KUBECONFIG": str(plane.kubeconfig)}
    dry = irsa.must(0, "bootstrap", "--dry-run", environment=inside).text()
    checks.contains("the plan shows the flags and the objects", dry, f"+    - --service-account-issuer={issuer}", "Deployment")
    checks.equal("and changes nothing", before, manifest.read_text())
    irsa.must(3, "bootstrap", "--check", environment=inside)
    irsa.must(0, "bootstrap", "--yes", environment=inside)
    checks.contains(
        "the file names the issuer besides the one in force", manifest.read_text(), f"--service-account-issuer={issuer}"
    )
    found = plane.client.get("/apis/apps/v1/namespaces/irsa/deployments")["items"]
    images = [item["spec"]["template"]["spec"]["containers"][0]["image"] for item in found]
    checks.equal("the webhook is there", ["registry.example.com/irsa:0.1.0"], images)
    again = irsa.must(0, "bootstrap", "--yes", environment=inside).text()
    checks.equal("a second run over all stages says so in one line", 1, len(again.splitlines()))
    irsa.must(0, "apiserver", "revert", manifest, "--backup", folder / "backup", environment=inside)
    checks.equal("the file can be put back", before, manifest.read_text())
    config.write_text(alone)


def on_ministack(checks, work, aws):
    """Roles and a distribution, from nothing and back."""
    folder = work / "bootstrap-cdn"
    folder.mkdir()
    config = folder / "irsa.yaml"
    config.write_text(
        "cluster:\n  name: cdn\n  keys:\n    generate: keys\n    algorithm: ES256\n  publish:\n    to: s3://oidc-cdn/prod\n"
        # nobody answers at cloudfront.net here
        "    access: cloudfront\n    read_back: false\n  roles:\n    - name: cdn-app\n      service_accounts: [demo/app]\n"
        "      policy_arns: [arn:aws:iam::aws:policy/ReadOnlyAccess]\n"
    )
    environment = {**aws, "IRSA_CONFIG": str(config)}
    dry = irsa.must(0, "bootstrap", "--dry-run", environment=environment).text()
    checks.contains("the plan says what comes later", dry, "create origin access control", "details when what it depends on")
    irsa.must(3, "bootstrap", "--check", environment=environment)
    run = irsa.must(0, "bootstrap", "--yes", "-o", "json", environment=environment).text()
    events = [json.loads(line) for line in run.splitlines()]
    end = events[-1]
    checks.true("the issuer is the distribution's", ".cloudfront.net/prod" in end["issuer"], end)
    changes = [event["change"].splitlines()[0] for event in events if event["event"] == "done"]
    order = ["create origin access control", "create CloudFront distribution", "put bucket policy", "create role"]
    places = [next(at for at, change in enumerate(changes) if text in change) for text in order]
    checks.equal("in the safe order", sorted(places), places)
    again = irsa.must(0, "bootstrap", "--yes", environment=environment).text()
    checks.equal("a second run says so in one line", 1, len(again.splitlines()))
    publish = ("publish", "--to", "s3://oidc-cdn/prod", "--access", "cloudfront", "--no-read-back", folder / "keys/sa.pub")
    alone = irsa.must(0, *publish, environment=aws).text()
    checks.contains("irsa publish finds the same distribution", alone, "nothing to do")
    down = ("teardown", "--confirm", end["issuer"], "--release-bucket-name", "--settle", "1s")
    gone = irsa.must(0, *down, environment=environment).text()
    checks.contains(
        "all of it is taken down",
        gone,
        "delete CloudFront distribution",
        "delete origin access control",
        "delete role",
        "delete bucket",
    )
    irsa.must(1, "iam", "role", "show", "cdn-app", environment=aws)
    dry = irsa.must(0, "bootstrap", "--dry-run", environment=environment).text()
    checks.contains("nothing is left", dry, "create bucket", "create origin access control")


def terraform(checks, work):
    """The forms for Terraform read by a parser of its language."""
    issuer = "https://oidc.example.com/prod"
    (work / "inline.json").write_text('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}')
    role = (
        "iam", "role", "apply", "demo-app", "--issuer", issuer, "--account-id", "123456789012", "--region", "eu-west-1",
        "--service-account", "demo/app", "--policy-arn", "arn:aws:iam::aws:policy/ReadOnlyAccess", "--policy-file",
        work / "inline.json", "--tag", 'note=a "quoted" ${value} %{x}', "--max-session", "2h",
    )  # fmt: skip
    provider = ("iam", "provider", "apply", "--issuer", issuer, "--thumbprint", "a" * 40)
    for words, kinds in (
        (role, {"aws_iam_role", "aws_iam_role_policy_attachment", "aws_iam_role_policy"}),
        (provider, {"aws_iam_openid_connect_provider"}),
    ):
        text = irsa.must(0, *words, "--format", "terraform").text()
        parsed = hcl2.loads(text)
        found = {kind.strip('"') for block in parsed["resource"] for kind in block if not kind.startswith("__")}
        checks.equal(f"Terraform of {words[1]}", kinds, found)
        if words is role:
            checks.true("no value becomes an expression", "$${value}" in text and "%%{x}" in text, text)
