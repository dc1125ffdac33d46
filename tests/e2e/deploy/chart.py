"""The chart: linted, rendered, compared with the golden files, and judged by a real API server."""

import difflib
import json
import os
import pathlib
import subprocess

import yaml

from harness import ControlPlane, working_folder

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/irsa"
GOLDEN = ROOT / "tests/golden/helm"
NAMESPACE = "irsa-system"
# Kinds of the Prometheus operator, which a bare API server does not know.
OPERATOR = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}


def run(checks):
    cases = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
    checks.true("there are cases", len(cases) > 3)
    rendered = {}
    for case in cases:
        values = CHART / "ci" / f"{case}-values.yaml"
        done = helm("lint", "--strict", CHART, "--values", values)
        checks.equal(f"{case}: helm lint", 0, done.returncode)
        if done.returncode:
            print(done.stdout, done.stderr)
        done = template("--values", values)
        checks.equal(f"{case}: helm template", 0, done.returncode)
        if done.returncode:
            print(done.stderr)
            continue
        rendered[case] = done.stdout
        golden(checks, case, done.stdout)
    refusals(checks)
    with working_folder() as work, ControlPlane(work) as plane:
        operator_kinds(plane.client)
        labels = {"pod-security.kubernetes.io/warn": "restricted"}
        plane.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
        for case, text in rendered.items():
            judged(checks, plane, work, case, text)
        # Those who do without Helm.
        for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml")):
            judged(checks, plane, work, path.stem, path.read_text())


def helm(*words):
    return subprocess.run([os.environ["IRSA_HELM"], *map(str, words)], capture_output=True, text=True, check=False)


def template(*words):
    return helm("template", "irsa", CHART, "--namespace", NAMESPACE, "--kube-version", "1.33.0", *words)


def golden(checks, case, text):
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("IRSA_UPDATE_GOLDENS"):
        path.write_text(text)
    kept = path.read_text() if path.exists() else ""
    lines = difflib.unified_diff(kept.splitlines(), text.splitlines(), str(path.name), "now", lineterm="")
    shown = "\n".join(list(lines)[:60]) + "\nIRSA_UPDATE_GOLDENS=1 tests/e2e/run deploy"
    checks.true(f"{case}: renders what tests/golden/helm has", kept == text, shown)


def judged(checks, plane, work, case, text):
    """Server-side dry run: the API server's own validation and admission, strict about unknown fields. It warns of pods
    that the Pod Security Standard "restricted" would refuse: all but those of the rotation keep it."""
    objects = [each for each in yaml.safe_load_all(text) if each]
    checks.true(f"{case}: there are objects", objects)
    for number, each in enumerate(objects):
        name = f"{each['kind']} {each['metadata']['name']}"
        file = work / f"{case}-{number}.json"
        file.write_text(json.dumps(each))
        words = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", str(file)]
        said = kubectl(plane, *words, "--warnings-as-errors")
        if each["kind"] == "CronJob":
            # Folders of the host. It shows as well that the others would be warned of.
            if each["metadata"]["namespace"] == NAMESPACE:
                checks.contains(f"{case}: {name} is not for a restricted namespace", said, "would violate PodSecurity")
            said = kubectl(plane, *words)
        checks.contains(f"{case}: the API server takes {name}", said, "serverside-applied (server dry run)")


def kubectl(plane, *words):
    try:
        return plane.kubectl(*words)
    except RuntimeError as error:
        return str(error)


def refusals(checks):
    """Values that are wrong are refused before anything is rendered, and the message names them."""
    image = "image.repository=registry.example.com/irsa"
    alone = ["--set", image, "--set", "webhook.enabled=false"]
    served = [*alone, "--set", "issuer.behindProxy=true", "--set", "issuer.issuers[0].issuer=https://h"]
    key = "issuer.issuers[0].keys.sa\\.pub"
    private = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    public = openssl("pkey", "-pubout", text=private)
    for what, words, named in [
        ("no image", ["--set", "issuer.enabled=false"], "repository"),
        ("an unknown value", [*alone, "--set", "issuer.replcas=3"], "replcas"),
        ("a number of replicas in words", [*served, "--set-string", "issuer.replicas=three"], "replicas"),
        ("an issuer over http", [*alone, "--set", "issuer.issuers[0].issuer=http://h"], "issuer"),
        ("an issuer with a query", [*alone, "--set", "issuer.issuers[0].issuer=https://h?x=1"], "issuer"),
        ("no issuer", [*alone, "--set", "issuer.behindProxy=true"], "issuer.issuers is empty"),
        ("an issuer without keys", served, "has no keys"),
        ("neither TLS nor a proxy", [*alone, "--set", "issuer.issuers[0].issuer=https://h"], "issuer.tls.secretName"),
        ("a key that is not PEM", [*served, "--set-string", f"{key}=nonsense"], "keys"),
        ("a private key", [*served, "--set-string", f"{key}={private}"], "private key"),
        ("keys and a store", [*served, "--set", "issuer.from=s3://b", "--set-string", f"{key}={public}"], "leave one of them out"),
        ("an Ingress with TLS to the pods", [*alone, "--set", "issuer.tls.secretName=t,issuer.ingress.enabled=true",
                                            "--set", "issuer.issuers[0].issuer=https://h"], "behindProxy"),
        ("a flag that is no flag", [*alone, "--set", "issuer.enabled=false,webhook.flags[0]=nonsense"], "flags"),
        ("a rotation without nodes", [*alone, "--set", "issuer.enabled=false,rotation.enabled=true,rotation.issuer=https://h"],
         "rotation.nodes is empty"),
        ("a key ring that each node has for itself", ["--values", CHART / "ci/rotation-values.yaml",
                                                       "--set", "rotation.state=/var/lib/irsa/keys"],
         "all nodes need the same key ring"),
        ("an unknown timer", [*alone, "--set", "issuer.enabled=false,rotation.timers.hours=3"], "timers"),
        ("bootstrap without configuration", [*alone, "--set", "issuer.enabled=false,bootstrap.enabled=true"],
         "bootstrap.config is empty"),
    ]:  # fmt: skip
        done = template(*words)
        refused = done.returncode != 0 and named in done.stderr
        checks.true(f"{what} is refused, and named", refused, f"{done.returncode}\n{done.stderr}\n{done.stdout[:300]}")
    done = template(*served, "--set-string", f"{key}={public}")
    checks.equal("what the refused ones were one step away from is rendered", 0, done.returncode)


def openssl(*words, text=None):
    """What openssl makes of it: a key pair of this run, used for nothing else."""
    return subprocess.run(["openssl", *words], input=text, capture_output=True, text=True, check=True).stdout


def operator_kinds(client):
    for kind, plural in OPERATOR.items():
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
        spec = {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]}
        metadata = {"name": f"{plural}.monitoring.coreos.com"}
        api = "apiextensions.k8s.io/v1"
        client.apply({"apiVersion": api, "kind": "CustomResourceDefinition", "metadata": metadata, "spec": spec})
