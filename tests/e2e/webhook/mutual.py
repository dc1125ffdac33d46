"""API servers that show a certificate, and a webhook that answers nobody else."""

import http.client
import ssl

import yaml
from replicas import ROLE, Replica, create, eventually, pod, registration, role_of

from harness import Authority


class Clients:
    """A CA for clients of the webhook, and what makes kube-apiserver show a certificate of it."""

    def __init__(self, work):
        folder = work / "clients"
        self.authority = Authority(folder, "clients of webhooks")
        certificate, key = self.authority.issue("kube-apiserver", "/CN=kube-apiserver")
        kubeconfig = folder / "webhooks.kubeconfig"
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        kubeconfig.write_text(
            yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "users": [{"name": "*", "user": user}]}, sort_keys=False)
        )
        self.admission = folder / "admission.yaml"
        webhooks = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "WebhookAdmissionConfiguration",
            "kubeConfigFile": str(kubeconfig),
        }
        plugin = {"name": "MutatingAdmissionWebhook", "configuration": webhooks}
        self.admission.write_text(
            yaml.safe_dump(
                {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": [plugin]},
                sort_keys=False,
            )
        )

    def flags(self):
        """Those of kube-apiserver."""
        return [f"--admission-control-config-file={self.admission}"]


def mutual(checks, plane, clients, work, flags):
    file = work / "client-ca.crt"
    file.write_bytes(clients.authority.certificate.read_bytes())
    replica = Replica(plane, work, "mutual", (f"--client-ca={file}", *flags))
    try:
        plane.client.apply(registration(replica.url))
        eventually("the replica that knows its clients", replica.ready)
        for number, server in enumerate(plane.servers):
            answer = create(server.client, pod(f"mutual-{number}", "reader"))
            checks.equal(f"server {number} is known, and its pod injected", ROLE, role_of(answer.json()))
        checks.equal("whoever shows no certificate is refused", 403, status(replica, "/mutate"))
        checks.equal("and kubelet's probe is not", 200, status(replica, "/readyz"))

        # Another CA, and the first one again: connections that the API servers keep are of no use to whoever is out.
        def role():
            return role_of(create(plane.client, pod("reload", "reader"), dry_run=True).json())

        file.write_bytes(Authority(work / "other-clients", "others").certificate.read_bytes())
        eventually("the API server to be refused", lambda: role() is None, 10)
        file.write_bytes(clients.authority.certificate.read_bytes())
        eventually("the API server to be known again", lambda: role() == ROLE, 10)
        checks.contains("it is said", replica.log(), "another CA of clients")
    finally:
        replica.process.stop()


def status(replica, path):
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", replica.port, context=context, timeout=10)
    try:
        connection.request("POST" if path == "/mutate" else "GET", path, "{}", {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()
