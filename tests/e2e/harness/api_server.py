"""One kube-apiserver process on loopback."""

import http.client
import os

import yaml

from .client import Client, wait_until
from .process import Process, Refusal, binary

READY_SECONDS = 90
STOP_SECONDS = 30


class ApiServer:
    """`url`, `client` (the administrator) and `kubeconfig` (a file) stay the same over restarts."""

    def __init__(self, name, folder, port, token, authority, flags):
        self.name = name
        self.folder = folder
        self.port = port
        self.url = f"https://127.0.0.1:{port}"
        self.flags = list(flags)
        self.log = folder / f"{name}.log"
        self.client = Client(self.url, authority.certificate, token=token)
        self.kubeconfig = folder / f"{name}.kubeconfig"
        write_kubeconfig(self.kubeconfig, self.url, authority.certificate, {"token": token})
        self.process = None

    def start(self):
        self.process = Process(self.name, [binary("kube-apiserver"), *self.flags], self.log)

    def wait_ready(self, seconds=READY_SECONDS):
        wait_until(f"{self.name} to be ready", self.client.ready, seconds, self.process)

    def wait_listening(self, seconds=READY_SECONDS):
        """Until it answers at all; its own paths and the documents are complete from then on."""
        wait_until(f"{self.name} to listen", self._answers, seconds, self.process, pause=0.05)

    def _answers(self):
        try:
            return self.client.request("GET", "/livez/ping").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def kill(self):
        """For a server whose last words do not matter."""
        if self.process:
            self.process.stop(grace=0)
            self.process = None

    def stop(self):
        if self.process:
            self.process.stop(STOP_SECONDS)
            self.process = None

    def restart(self, flags=None):
        """Stops it, starts it with other flags and waits until it serves."""
        self.stop()
        if flags is not None:
            self.flags = list(flags)
        self.start()
        self.wait_ready()

    def refusal(self, seconds=READY_SECONDS):
        """Starts it with flags that it must refuse; gives the end of its log. Fails when it comes up instead."""
        self.start()
        try:
            wait_until(f"{self.name} to listen or to end", self._answers, seconds, self.process, pause=0.05)
        except Refusal:
            return self.process.tail(lines=30)
        finally:
            self.kill()
        raise AssertionError(f"{self.name} accepted {' '.join(self.flags)}")


def write_kubeconfig(path, url, ca_file, user):
    """A kubeconfig with the context `test`; `user` holds its credentials as kubeconfig names them."""
    named = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        yaml.safe_dump(named, file, sort_keys=False)
