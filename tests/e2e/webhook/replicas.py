"""Replicas of the webhook as processes, and the objects that register them."""

import contextlib
import itertools
import os
import socket
import threading
import time
import urllib.error
import urllib.request

import yaml

from harness import irsa
from harness.process import Process, free_ports

NAMESPACE = "kube-system"
NAME = "pod-identity-webhook"
CONFIGURATION = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{NAME}"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}"
ROLE = "arn:aws:iam::111122223333:role/reader"
# Stands in every pod, in values only, and in an annotation of every service account.
SECRET_OF_PODS = "s3cr3t-0f-a-p0d"


class Replica:
    """One `irsa webhook serve` on loopback, as talkative as it can be; `all` remembers every one that ever ran."""

    all = []

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
            *flags,
        ]
        environment = {"PATH": os.environ["PATH"], "IRSA_LOG": "trace"}
        self.process = Process(name, command, work / f"{name}.log", environment=environment)
        self.pages = {}
        Replica.all.append(self)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def page(self, path):
        """Status and text of a page on the metrics port; (0, "") while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=5) as answer:
                found = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            found = error.code, error.read().decode()
        except OSError:
            return 0, ""
        self.pages[path] = found[1]
        return found

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


class Balancer:
    """Does what kube-proxy does for a Service: each new connection goes to a replica that was ready a moment ago."""

    def __init__(self, replicas):
        self._replicas = replicas
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ready = list(replicas)
        threading.Thread(target=self._watch, daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()

    def _watch(self):
        while True:
            self._ready = [each for each in self._replicas if each.page("/readyz")[0] == 200]
            time.sleep(0.1)

    def _accept(self):
        for number in itertools.count():
            client, _ = self._listener.accept()
            ready = self._ready
            if not ready:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", ready[number % len(ready)].port))
            except OSError:
                client.close()
                continue
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source, sink):
        try:
            while received := source.recv(65536):
                sink.sendall(received)
        except OSError:
            pass
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def manifest(kinds=None):
    """The objects that `irsa webhook manifest` prints."""
    text = irsa.must(0, "webhook", "manifest", "--image", "registry.example.com/irsa:test", "--namespace", NAMESPACE).text()
    return [each for each in yaml.safe_load_all(text) if kinds is None or each["kind"] in kinds]


def registration(url):
    """The printed configuration, with a URL of loopback in the place of the Service."""
    (configuration,) = manifest(["MutatingWebhookConfiguration"])
    for entry in configuration["webhooks"]:
        entry["clientConfig"]["url"] = url + entry["clientConfig"].pop("service")["path"]
    return configuration


def account(name, namespace="default", **annotations):
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {f"eks.amazonaws.com/{key.replace('_', '-')}": value for key, value in annotations.items()}
            | {"example.com/note": SECRET_OF_PODS},
        },
    }


def pod(name, service_account, namespace="default", labels=None, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels or {},
            "annotations": {"example.com/last-applied": SECRET_OF_PODS},
        },
        "spec": {
            "serviceAccountName": service_account,
            "containers": [
                {
                    "name": "main",
                    "image": "app",
                    "args": [f"--password={SECRET_OF_PODS}"],
                    "env": [{"name": "PASSWORD", "value": SECRET_OF_PODS}],
                }
            ],
            **spec,
        },
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
