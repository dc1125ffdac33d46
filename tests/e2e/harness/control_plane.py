"""etcd, API servers and a controller-manager on loopback, with TLS, RBAC and an administrator."""

import contextlib
import itertools
import pathlib
import secrets
import socket
import subprocess

from .api_server import ApiServer, write_kubeconfig
from .client import wait_until
from .keys import KeyPair
from .pki import Authority
from .process import Process, binary, free_ports

STOCK_ISSUER = "https://kubernetes.default.svc.cluster.local"
CONTROLLERS = (
    "serviceaccount-controller,serviceaccount-token-controller,root-ca-certificate-publisher-controller,"
    "namespace-controller,legacy-serviceaccount-token-cleaner-controller,garbage-collector-controller"
)


class ControlPlane:
    """A context manager. Inside:

    `servers`      the ApiServers, one etcd behind them all
    `server`       the first one
    `client`       the administrator (group system:masters) at the first one
    `kubeconfig`   the administrator's kubeconfig file for the first one; each server has one for itself
    `authority`    the CA of all certificates
    `account_key`  the KeyPair that signs service account tokens

    `flags` are added to each server's own. `service_account` replaces the flags about service account keys and
    issuers. Without `controller_manager` the ServiceAccount default/default is made by hand.
    """

    def __init__(self, work, servers=1, controller_manager=False, flags=(), service_account=None, folder="control-plane"):
        self.folder = pathlib.Path(work) / folder
        self._count = servers
        self._wants_controllers = controller_manager
        self._flags = list(flags)
        self._service_account = service_account
        self.servers = []
        self._numbers = itertools.count(1)
        self.etcd = None
        self.controller_manager = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_):
        self._stop()

    @property
    def server(self):
        return self.servers[0]

    @property
    def client(self):
        return self.servers[0].client

    @property
    def kubeconfig(self):
        return self.servers[0].kubeconfig

    def kubectl(self, *arguments, server=None):
        """What `kubectl` prints; raises with its message when it fails."""
        kubeconfig = (server or self.server).kubeconfig
        command = [binary("kubectl"), f"--kubeconfig={kubeconfig}", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def stock_flags(self, port):
        """The flags of a server but those about service accounts."""
        return [
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={port}",
            f"--tls-cert-file={self._certificate[0]}",
            f"--tls-private-key-file={self._certificate[1]}",
            f"--client-ca-file={self.authority.certificate}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            f"--token-auth-file={self._tokens}",
            "--allow-privileged=true",
            *self._flags,
        ]

    def stock_service_account_flags(self):
        return [
            f"--service-account-issuer={STOCK_ISSUER}",
            f"--service-account-key-file={self.account_key.public}",
            f"--service-account-signing-key-file={self.account_key.private}",
        ]

    def add_server(self, service_account=None, flags=()):
        """One more API server on the same etcd, not started yet. Threads may call it side by side."""
        (port,) = free_ports(1)
        chosen = self.stock_service_account_flags() if service_account is None else service_account
        flags = [*self.stock_flags(port), *chosen, *flags]
        name = f"kube-apiserver-{next(self._numbers)}"
        server = ApiServer(name, self.folder, port, self._admin, self.authority, flags)
        self.servers.append(server)
        return server

    @contextlib.contextmanager
    def extra_server(self, service_account=None, flags=(), ready=True):
        """One more API server for a while. Without `ready` it only listens: the documents are served from then on."""
        server = self.add_server(service_account, flags)
        try:
            server.start()
            if ready:
                server.wait_ready()
            else:
                server.wait_listening()
            yield server
            server.log.unlink()
        finally:
            self.servers.remove(server)
            server.kill()

    def refusal(self, service_account=None, flags=()):
        """Why an API server with these flags does not start: the end of its log."""
        server = self.add_server(service_account, flags)
        try:
            why = server.refusal()
            server.log.unlink()
            return why
        finally:
            self.servers.remove(server)

    def start_etcd(self):
        """Only the store and the files; servers are added by `add_server`."""
        self.folder.mkdir(parents=True)
        self.authority = Authority(self.folder / "pki")
        self._certificate = self.authority.issue("server", "/CN=kube-apiserver")
        self.account_key = KeyPair(self.folder / "pki", "sa")
        self._admin = secrets.token_hex(16)
        self._tokens = self.folder / "tokens.csv"
        self._tokens.touch(mode=0o600)
        self._tokens.write_text(f'{self._admin},admin,admin,"system:masters"\n')
        self.etcd, self.etcd_url = start_etcd(self.folder)

    def _start(self):
        self.start_etcd()
        for _ in range(self._count):
            self.add_server(self._service_account).start()
        for server in self.servers:
            server.wait_ready()
        if not self.servers:
            return
        if self._wants_controllers:
            self.start_controller_manager()
            path = "/api/v1/namespaces/default/serviceaccounts/default"
            wait_until(
                "the controller-manager to make the ServiceAccount default/default",
                lambda: self.client.request("GET", path).status == 200,
                60,
                self.controller_manager,
            )
        else:
            self.client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})

    def start_controller_manager(self, server=None, private_key=None):
        """kube-controller-manager with the controllers that service accounts and pods need."""
        server = server or self.server
        (port,) = free_ports(1)
        command = [
            binary("kube-controller-manager"),
            f"--kubeconfig={server.kubeconfig}",
            f"--authentication-kubeconfig={server.kubeconfig}",
            f"--authorization-kubeconfig={server.kubeconfig}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--service-account-private-key-file={private_key or self.account_key.private}",
            f"--root-ca-file={self.authority.certificate}",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            f"--controllers={CONTROLLERS}",
        ]
        self.controller_manager = Process("kube-controller-manager", command, self.folder / "kube-controller-manager.log")

    def stop_controller_manager(self):
        if self.controller_manager:
            self.controller_manager.stop()
            self.controller_manager = None

    def _stop(self):
        self.stop_controller_manager()
        # Each waits for its connections; all at once they take as long as one. etcd goes last: without it they hang.
        for server in self.servers:
            if server.process:
                server.process.ask_to_stop()
        for server in self.servers:
            server.stop()
        if self.etcd:
            self.etcd.stop()

    def kubeconfig_for(self, name, user):
        """A kubeconfig file for another user of the first server; `user` as kubeconfig names credentials."""
        path = self.folder / f"{name}.kubeconfig"
        write_kubeconfig(path, self.server.url, self.authority.certificate, user)
        return path


def start_etcd(folder):
    """(process, URL) of an empty etcd that serves."""
    client_port, peer_port = free_ports(2)
    url, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    command = [
        binary("etcd"),
        *("--name", "default", "--data-dir", folder / "etcd"),
        *("--listen-client-urls", url, "--advertise-client-urls", url),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"default={peer}"),
        # Nothing here outlives the test.
        "--unsafe-no-fsync",
        *("--log-level", "warn"),
    ]
    etcd = Process("etcd", command, folder / "etcd.log")
    wait_until("etcd to listen", lambda: _listens(client_port), 60, etcd)
    return etcd, url


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
