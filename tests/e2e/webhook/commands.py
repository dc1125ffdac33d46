"""What a person types: install, status, audit, review, verify, uninstall."""

import json

from replicas import CONFIGURATION, NAME, NAMESPACE, ROLE, SECRET, account, create, pod

from harness import Authority, KeyPair, Process, free_ports, irsa, wait_until

POLICY = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies/{NAME}"


class Issuer:
    """Keys that sign tokens, and `irsa serve` that publishes them where relying parties look."""

    def __init__(self, work):
        self._work = work
        self.authority = Authority(work / "issuer")
        self._certificate, self._key = self.authority.issue("issuer", "/CN=localhost")
        self.key = KeyPair(work / "issuer", "sa")
        (self.port,) = free_ports(1)
        self.name = f"localhost:{self.port}"
        self.url = f"https://{self.name}"
        self.process = None

    def flags(self):
        """Those of kube-apiserver."""
        return [
            f"--service-account-issuer={self.url}",
            f"--service-account-key-file={self.key.public}",
            f"--service-account-signing-key-file={self.key.private}",
        ]

    def publish(self, public):
        """Only this key, from now on."""
        self.stop()
        command = [irsa.path(), "serve", "--issuer", self.url, "--keys", public, "--listen", f"127.0.0.1:{self.port}"]
        command += ["--tls-cert", self._certificate, "--tls-key", self._key]
        self.process = Process("issuer", command, self._work / "issuer.log")
        wait_until("the issuer", lambda: "serving on" in self.process.log.read_text(), 20, self.process)

    def stop(self):
        if self.process:
            self.process.stop()
            self.process.log.unlink()
            self.process = None


def verify(checks, plane, issuer, work):
    """`irsa verify` from the annotation to the signature, as it holds and as it breaks."""
    words = ["verify", "--service-account", "default/reader", "--pod", "injected"]
    words += ["--kubeconfig", plane.kubeconfig, "--ca-file", issuer.authority.certificate]
    issuer.publish(issuer.key.public)
    try:
        good = irsa.must(0, *words)
        checks.contains("verify: the role", good.text(), f"ok   service account  default/reader has role {ROLE}")
        checks.contains("verify: the pod", good.text(), "ok   pod", "injected has the role and the token")
        checks.contains("verify: the issuer", good.text(), "ok   issuer", f"{issuer.url} publishes 1 key(s)")
        checks.contains("verify: the token", good.text(), "ok   token", f"signed by {issuer.key.kid}")
        found = json.loads(irsa.must(0, *words, "-o", "json").text())
        subject = "system:serviceaccount:default:reader"
        conditions = {"localhost:sub": subject, "localhost:aud": "sts.amazonaws.com"}
        checks.equal("verify: what the trust policy must say", conditions, found["trustPolicyConditions"])
        checks.equal("verify: accepted", (True, True), (found["accepted"], all(each["holds"] for each in found["checks"])))
        other = irsa.must(1, *words[:2], "default/bare", *words[5:]).text()
        checks.contains("verify: no role", other, "FAIL service account", "kubectl -n default annotate serviceaccount bare")
        shown = [good.text(), good.errors()]
        issuer.publish(KeyPair(work / "issuer", "stranger").public)
        bad = irsa.must(1, *words)
        checks.contains("verify: a key that is not published", bad.text(), "ok   issuer", "FAIL token", issuer.key.kid, "help:")
        issuer.stop()
        away = irsa.must(1, *words)
        checks.contains("verify: an issuer that nobody serves", away.text(), "FAIL issuer", "help:")
        shown += [bad.text(), bad.errors(), away.text(), away.errors()]
        checks.true("verify shows no token", not any("eyJ" in each for each in shown))
    finally:
        issuer.stop()


def commands(checks, plane, work):
    """What a person types: install, status, audit, review, uninstall."""
    client = plane.client
    cluster = ("--kubeconfig", plane.kubeconfig)
    image = ("--image", "registry.example.com/irsa:test")
    somebody_elses_bundle(checks, client, cluster, image)
    client.call("DELETE", CONFIGURATION)
    client.call("DELETE", SECRET)
    dry = irsa.must(0, "webhook", "install", *image, *cluster, "--dry-run").text()
    checks.contains("a dry run says what would be done", dry, "create Deployment kube-system/", "nothing was written")
    checks.equal("and does nothing", 404, client.request("GET", CONFIGURATION).status)
    irsa.must(3, "webhook", "install", *image, *cluster, "--check")
    irsa.must(0, "webhook", "install", *image, *cluster, "--no-wait")
    again = irsa.must(0, "webhook", "install", *image, *cluster, "--no-wait").text()
    checks.contains("a second run changes nothing", again, "nothing to do")
    irsa.must(0, "webhook", "install", *image, *cluster, "--check")
    allowed = (*image, *cluster, "--no-wait", "--allow-from", "10.0.0.0/28", "--allow-from", "192.0.2.7")
    checks.contains("a policy on request", irsa.must(0, "webhook", "install", *allowed).text(), "create NetworkPolicy")
    cidrs = [each["ipBlock"]["cidr"] for each in client.get(POLICY)["spec"]["ingress"][0]["from"]]
    checks.equal("it names whom it was told", ["10.0.0.0/28", "192.0.2.7/32"], cidrs)
    checks.contains("once", irsa.must(0, "webhook", "install", *allowed).text(), "nothing to do")
    (found,) = (each for each in client.get(CONFIGURATION)["webhooks"] if each["failurePolicy"] == "Fail")
    checks.equal("the Service is called", "/mutate/required", found["clientConfig"]["service"]["path"])
    waited = irsa.must(4, "webhook", "install", *image, *cluster, "--timeout", "1s").errors()
    checks.contains("no kubelet, no replica: said, and safe to run again", waited, "no replica is available")
    ended = irsa.must(3, "webhook", "status", *cluster, "--check").text()
    checks.contains("status says so too", ended, "no replica is available", "no replica ever ran")
    audited(checks, client, cluster, work)
    uninstalled(checks, client, cluster)


def somebody_elses_bundle(checks, client, cluster, image):
    """A registration whose caBundle cert-manager writes: nothing is written before that is settled."""
    mark = "cert-manager.io/inject-ca-from"
    annotate(client, {mark: "kube-system/webhook"})
    before = client.get(CONFIGURATION)["metadata"]["resourceVersion"]
    for words in ([], ["--dry-run"], ["--check"]):
        refused = irsa.must(1, "webhook", "install", *image, *cluster, "--no-wait", *words).errors()
        checks.contains("the injector is named, and the next step", refused, mark, "kubectl annotate", f"{mark}-")
    status = irsa.must(0, "webhook", "status", *cluster).text()
    checks.contains("status names it too", status, mark)
    deployment = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
    checks.equal("no Deployment was written", 404, client.request("GET", deployment).status)
    checks.equal("nor anything else", before, client.get(CONFIGURATION)["metadata"]["resourceVersion"])
    annotate(client, {mark: None})


def annotate(client, annotations):
    body = {"metadata": {"annotations": annotations}}
    client.call("PATCH", CONFIGURATION, body, content_type="application/merge-patch+json")


def audited(checks, client, cluster, work):
    # With nobody there pods are made without role, and found.
    client.apply(account("late", role_arn=ROLE))
    checks.equal("a pod without its role", 201, create(client, pod("lost", "late")).status)
    listed = irsa.must(3, "webhook", "audit", *cluster, "--check", "-o", "json").text()
    rows = {each["pod"]: each for each in json.loads(listed)}
    checks.contains("the audit finds a pod without its role", rows["lost"]["problem"], "not injected: main")
    checks.true("and not one that has it", "injected" not in rows, rows.keys())
    checks.contains("and one whose volume is in the way", rows["foreign"]["problem"], "aws-iam-token")

    manifest = work / "pod.json"
    manifest.write_text(json.dumps(pod("p", "late")))
    text = irsa.must(0, "webhook", "review", *cluster, manifest).text()
    checks.contains("a review asks the cluster", text, ROLE)
    client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "by-map", "namespace": "default"}})
    entries = json.dumps({"default/by-*": {"RoleARN": ROLE}})
    place = {"name": NAME, "namespace": NAMESPACE}
    client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": {"config": entries}})
    create(client, pod("by-map", "by-map"))
    manifest.write_text(json.dumps(pod("p", "by-map")))
    from_map = (*cluster, "--config-map", NAMESPACE)
    checks.contains("a review asks the ConfigMap", irsa.must(0, "webhook", "review", *from_map, manifest).text(), ROLE, "by-*")
    checks.contains("if it is told to", irsa.must(0, "webhook", "review", *cluster, manifest).text(), "nothing is injected")
    checks.contains("an audit too", irsa.must(0, "webhook", "audit", *from_map).text(), "default/by-map")
    text = irsa.must(1, "verify", "--service-account", "default/late", *cluster).text()
    checks.contains("verify sees the pod's fault", text, "FAIL pod", "not injected")
    checks.true("and shows no token", "eyJ" not in text)


def uninstalled(checks, client, cluster):
    irsa.must(0, "webhook", "uninstall", *cluster)
    checks.equal("it is gone", 404, client.request("GET", CONFIGURATION).status)
    checks.equal("and its policy", 404, client.request("GET", POLICY).status)
    checks.contains("a second run finds nothing", irsa.must(0, "webhook", "uninstall", *cluster).text(), "nothing to do")
    client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAMESPACE}})
    refused = irsa.must(1, "webhook", "uninstall", *cluster).errors()
    checks.contains("what irsa did not install stays", refused, "was not installed by irsa")
