"""A real kube-apiserver: its issuer, its keys, a service account, tokens of its own making."""

import json

from scene import ROLE, bad

from harness import ControlPlane, irsa

ANNOTATION = "eks.amazonaws.com/role-arn"


def live(checks, work, scene):
    flags = [f"--service-account-issuer={scene.issuer}", *key_flags(work)]
    with scene.healthy(), ControlPlane(work, service_account=flags) as plane:
        account = prepare(plane)

        def doctor():
            words = (
                "doctor", "--issuer", scene.issuer, "--live", "--server", plane.server.url, "--kubeconfig", plane.kubeconfig,
                "--service-account", "demo/app", "--role-arn", ROLE, "--ask-sts", "-o", "json",
            )  # fmt: skip
            ended = irsa.run(*words, environment=scene.environment)
            return ended.code, json.loads(ended.text())

        code, report = doctor()
        checks.equal("a healthy cluster: nothing is named", [], bad(report))
        checks.equal("a healthy cluster exits with 0", 0, code)
        for name in ("apiserver-issuer", "apiserver-keys", "service-account", "token-key", "trust", "webhook", "sts"):
            found = [check["verdict"] for check in report["checks"] if check["id"] == name]
            checks.equal(f"a healthy cluster: {name}", ["ok"], found)

        other = ROLE.replace("demo-app", "another")
        annotate(plane, account, {ANNOTATION: other})
        checks.equal("another role in the annotation", [("failure", "service-account")], bad(doctor()[1]))
        annotate(plane, account, {})
        checks.equal("no annotation", [("failure", "service-account")], bad(doctor()[1]))
        annotate(plane, account, {ANNOTATION: ROLE, "iam.amazonaws.com/role": "old"})
        checks.equal("an annotation of kube2iam", [("warning", "annotations")], bad(doctor()[1]))
        annotate(plane, account, {ANNOTATION: ROLE})
        annotated(checks, plane, scene)
        plane.kubectl("delete", "mutatingwebhookconfiguration", "pod-identity-webhook")
        checks.equal("no webhook", [("warning", "webhook")], bad(doctor()[1]))

        ours = f"--service-account-issuer={scene.issuer}"
        plane.server.restart([f"{flag}/" if flag == ours else flag for flag in plane.server.flags])
        prepare(plane)
        code, report = doctor()
        checks.equal("an API server that signs with a slash", [("failure", "apiserver-issuer")], bad(report))
        said = next(check["message"] for check in report["checks"] if check["id"] == "sts")
        checks.contains("and what STS says to its tokens", said, "No OpenIDConnect provider found")


def annotated(checks, plane, scene):
    """`irsa iam role apply --annotate`: role, service account and annotation by one command."""

    def apply(role, account, *more):
        words = (
            "iam", "role", "apply", role, "--issuer", scene.issuer, "--service-account", account, "--annotate", "--kubeconfig",
            plane.kubeconfig, *more, "-o", "json",
        )  # fmt: skip
        return irsa.run(*words, environment=scene.environment)

    def written(account):
        namespace, name = account.split("/")
        found = plane.kubectl("-n", namespace, "get", "serviceaccount", name, "-o", "json", "--ignore-not-found")
        return json.loads(found)["metadata"].get("annotations", {}) if found.strip() else None

    def has_role(role):
        try:
            scene.iam.get_role(RoleName=role)
        except scene.iam.exceptions.NoSuchEntityException:
            return False
        return True

    arn = ROLE.replace("demo-app", "annotated")
    for words, code in [(("--dry-run",), 0), (("--check",), 3)]:
        checks.equal(f"apply --annotate {words[0]}: the code", code, apply("annotated", "demo/new", *words).code)
        checks.equal("it makes no role", False, has_role("annotated"))
        checks.equal("and no service account", None, written("demo/new"))
    ended = apply("annotated", "absent/new")
    checks.contains("a namespace that is not there", ended.errors(), "kubectl create namespace absent")
    checks.equal("leaves no role behind", (1, False), (ended.code, has_role("annotated")))
    ended = apply("annotated", "demo/app")
    checks.contains("an account of another role is named", ended.errors(), "--reassign")
    checks.equal("and keeps it, and no role is made", ({ANNOTATION: ROLE}, False), (written("demo/app"), has_role("annotated")))

    ended = apply("annotated", "demo/new")
    checks.equal("apply --annotate makes all", (0, True), (ended.code, json.loads(ended.text())["applied"]))
    checks.equal("with the ARN of the role", {ANNOTATION: arn}, written("demo/new"))
    checks.equal("as IAM has it", arn, scene.iam.get_role(RoleName="annotated")["Role"]["Arn"])
    again = json.loads(apply("annotated", "demo/new").text())
    checks.equal("a second run changes nothing", (False, []), (again["applied"], again["changes"]))
    checks.equal("as --check says", 0, apply("annotated", "demo/new", "--check").code)
    checks.equal("an account is reassigned when told", 0, apply("annotated", "demo/app", "--reassign").code)
    checks.equal("whoever wrote it before", {ANNOTATION: arn}, written("demo/app"))
    other = {**scene.environment, "IRSA_ISSUER": "https://another.example"}
    words = (
        "iam",
        "role",
        "apply",
        "annotated",
        "--service-account",
        "demo/new",
        "--annotate",
        "--dry-run",
        "--kubeconfig",
        plane.kubeconfig,
    )
    ended = irsa.run(*words, environment=other)
    checks.contains("a cluster of another issuer is warned of", ended.errors(), f'signs for "{scene.issuer}"')
    scene.iam.delete_role(RoleName="annotated")
    plane.kubectl("-n", "demo", "annotate", "--overwrite", "serviceaccount", "app", f"{ANNOTATION}={ROLE}")


def key_flags(work):
    return [
        f"--service-account-key-file={work / 'keys/sa.pub'}",
        f"--service-account-signing-key-file={work / 'keys/sa.key'}",
    ]


def prepare(plane):
    """A service account with its role, and a registration that calls nobody: pods are not made here."""
    plane.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app", "namespace": "demo"}}
    annotate(plane, account, {ANNOTATION: ROLE})
    plane.client.apply(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "pod-identity-webhook"},
            "webhooks": [
                {
                    "name": "pod-identity-webhook.example.com",
                    "clientConfig": {"url": "https://127.0.0.1:1/mutate"},
                    "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "failurePolicy": "Ignore",
                }
            ],
        }
    )
    return account


def annotate(plane, account, annotations):
    plane.kubectl("-n", "demo", "delete", "serviceaccount", "app", "--ignore-not-found")
    metadata = {**account["metadata"], "annotations": annotations}
    plane.client.apply({**account, "metadata": metadata})
