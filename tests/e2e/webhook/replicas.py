"""Replicas of the webhook as processes, and the objects that register them."""

import json
import os
import time
import urllib.request

from harness import irsa
from harness.process import Process, free_ports

NAMESPACE = "kube-system"
NAME = "pod-identity-webhook"
ROLE = "arn:aws:iam::111122223333:role/reader"


class Replica:
    """One `irsa webhook serve` on loopback."""

    def __init__(self, plane, work, name, flags=(), kubeconfig=None):
        self.port, self.metrics_port = free_ports(2)
        command = [
            irsa.path(),
            "webhook",
            "serve",
            f"--listen=127.0.0.1:{self.port}",
            f"--metrics-listen=127.0.0.1:{self.metrics_port}",
            f"--kubeconfig={kubeconfig or plane.kubeconfig}",
            f"--namespace={NAMESPACE}",
            "--tls-name=127.0.0.1",
            "--v=4",
            *flags,
        ]
        self.process = Process(name, command, work / f"{name}.log", environment={"PATH": os.environ["PATH"]})

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def page(self, path):
        """Status and text of a page on the metrics port; (0, "") while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name):
        """The value of one series, written as in the page; 0 when it is not there."""
        for line in self.page("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def ready(self):
        self.process.require_running()
        return self.page("/readyz")[0] == 200

    def log(self):
        return self.process.log.read_text(errors="replace")

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        return 0.0


def manifest(kinds=None):
    """The objects that `irsa webhook manifest` prints."""
    import yaml

    text = irsa.must(0, "webhook", "manifest", "--image", "registry.example.com/irsa:test", "--namespace", NAMESPACE).text()
    return [each for each in yaml.safe_load_all(text) if kinds is None or each["kind"] in kinds]


def registration(replicas, timeout=5):
    """The printed configuration, with URLs of loopback in the place of the Service: one pair of entries for each."""
    (configuration,) = manifest(["MutatingWebhookConfiguration"])
    stock, configuration["webhooks"] = configuration["webhooks"], []
    for number, replica in enumerate(replicas):
        for entry in json.loads(json.dumps(stock)):
            path = entry["clientConfig"].pop("service")["path"]
            entry["clientConfig"]["url"] = replica.url + path
            entry["timeoutSeconds"] = timeout
            if number:
                entry["name"] = f"replica{number}.{entry['name']}"
            configuration["webhooks"].append(entry)
    return configuration


def account(name, namespace="default", **annotations):
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {f"eks.amazonaws.com/{key.replace('_', '-')}": value for key, value in annotations.items()},
        },
    }


def pod(name, service_account, namespace="default", labels=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {"serviceAccountName": service_account, "containers": [{"name": "main", "image": "app"}], **spec},
    }


def create(client, body, dry_run=False):
    namespace = body["metadata"]["namespace"]
    query = "?dryRun=All" if dry_run else ""
    return client.request("POST", f"/api/v1/namespaces/{namespace}/pods{query}", body)


def role_of(pod):
    env = pod["spec"]["containers"][0].get("env", [])
    return next((each["value"] for each in env if each["name"] == "AWS_ROLE_ARN"), None)


def eventually(what, ask, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")
