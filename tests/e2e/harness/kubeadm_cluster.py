"""Control-plane nodes as kubeadm makes them: its own manifests and certificates, run by one mini kubelet per node."""

import base64
import concurrent.futures
import os
import pathlib
import shutil
import subprocess

import yaml

from .client import Client, wait_until
from .control_plane import start_etcd
from .mini_kubelet import MiniKubelet
from .process import binary, free_ports

# kubeadm refuses loopback addresses: this one (RFC 5737) stands for the node's until the files are written.
PLACEHOLDER = "192.0.2.1"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
START_SECONDS = 90
TOKEN_PATH = "/api/v1/namespaces/default/serviceaccounts/default/token"
TOKEN_REQUEST = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}


class Node:
    """`root` stands for the node's file system; `manifest` and `controller_manifest` are its static pods."""

    def __init__(self, folder, name, port, controller_port):
        self.name = name
        self.port = port
        self.controller_port = controller_port
        self.root = folder / name
        self.url = f"https://127.0.0.1:{port}"
        self.kubelet = MiniKubelet(self.root, name)
        self.manifest = self.kubelet.manifests / "kube-apiserver.yaml"
        self.controller_manifest = self.kubelet.manifests / "kube-controller-manager.yaml"
        self.kubeconfig = self.root / "etc/kubernetes/super-admin.conf"
        self.pki = self.root / "etc/kubernetes/pki"
        self.client = None

    def connect(self):
        """The administrator, with the client certificate that kubeadm issued."""
        user = yaml.safe_load(self.kubeconfig.read_text())["users"][0]["user"]
        files = []
        for kind in ("client-certificate", "client-key"):
            path = self.root / f"admin.{kind}"
            path.touch(mode=0o600)
            path.write_bytes(base64.b64decode(user[f"{kind}-data"]))
            files.append(path)
        self.client = Client(self.url, self.pki / "ca.crt", certificate=files[0], key=files[1])

    def command(self):
        """The command line of the kube-apiserver manifest as it stands."""
        pod = yaml.safe_load(self.manifest.read_text())
        container = pod["spec"]["containers"][0]
        return [*container.get("command", []), *container.get("args", [])]

    def flag_values(self, flag):
        """All values of one flag in the kube-apiserver manifest, in order."""
        return [word.partition("=")[2] for word in self.command() if word.startswith(f"--{flag}=")]

    def wait_ready(self, seconds=START_SECONDS):
        wait_until(f"kube-apiserver on {self.name}", self.client.ready, seconds)

    def gives_tokens(self):
        """Each API server sees the ServiceAccount through a cache of its own."""
        return self.client.request("POST", TOKEN_PATH, TOKEN_REQUEST).status == 201


class KubeadmCluster:
    """A context manager: `nodes`, each with an API server and, if wanted, a controller-manager from kubeadm's manifests."""

    def __init__(self, work, nodes=3, controller_manager=True):
        self.folder = pathlib.Path(work) / "cluster"
        self.folder.mkdir(parents=True)
        ports = free_ports(2 * nodes)
        self.nodes = [Node(self.folder, f"node-{i + 1}", ports[2 * i], ports[2 * i + 1]) for i in range(nodes)]
        self._wants_controllers = controller_manager
        self.etcd = None

    def __enter__(self):
        started = []
        try:
            self.etcd, url = start_etcd(self.folder)
            for node in self.nodes:
                self._write_files(node, url)
            for node in self.nodes:
                node.kubelet.__enter__()
                started.append(node)
            for node in self.nodes:
                node.wait_ready()
            if self._wants_controllers:
                for node in self.nodes:
                    wait_until(f"tokens of default/default on {node.name}", node.gives_tokens, START_SECONDS)
            else:
                self.nodes[0].client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
        except BaseException:
            self._stop(started)
            raise
        return self

    def __exit__(self, *_):
        self._stop(self.nodes)

    def _stop(self, nodes):
        with concurrent.futures.ThreadPoolExecutor(max(1, len(nodes))) as pool:
            list(pool.map(lambda node: node.kubelet.__exit__(), nodes))
        if self.etcd:
            self.etcd.stop()

    def _write_files(self, node, etcd_url):
        """As `kubeadm init` on the first node; the others get its certificates, as `kubeadm join` copies the CAs and sa.*."""
        node.kubelet.manifests.mkdir(parents=True)
        first = self.nodes[0]
        if node is first:
            self._kubeadm(node, etcd_url, node.pki, "certs", "all")
        else:
            shutil.copytree(first.pki, node.pki)
        for name in ("super-admin", "controller-manager"):
            folder = self.folder / "kubeconfig" / node.name
            self._kubeadm(node, etcd_url, node.pki, "kubeconfig", name, "--kubeconfig-dir", folder)
            self._place(folder / f"{name}.conf", node.root / "etc/kubernetes" / f"{name}.conf")
        config = self.folder / f"{node.name}.kubeadm.yaml"
        config.write_text(yaml.safe_dump_all(configuration(node.name, node.port, node.controller_port, etcd_url)))
        drafts = self.folder / "manifests" / node.name
        render(config, drafts)
        self._place(drafts / node.manifest.name, node.manifest)
        if self._wants_controllers:
            self._place(drafts / node.controller_manifest.name, node.controller_manifest)
        node.connect()

    def _place(self, draft, target):
        text = draft.read_text().replace(PLACEHOLDER, "127.0.0.1")
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(text)

    def _kubeadm(self, node, etcd_url, certificates, *phase):
        config = self.folder / f"{node.name}.certificates.yaml"
        made = configuration(node.name, node.port, node.controller_port, etcd_url, certificates)
        config.write_text(yaml.safe_dump_all(made))
        _run("init", "phase", *phase, "--config", config)


def render(config, folder):
    """Has kubeadm write the control plane's manifests for a configuration file into a folder; nothing else is touched."""
    folder.mkdir(parents=True)
    environment = {**os.environ, "KUBEADM_INIT_DRYRUN_DIR": str(folder)}
    _run("init", "phase", "control-plane", "all", "--dry-run", "--config", config, environment=environment)


def _run(*words, environment=None):
    command = [binary("kubeadm"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"kubeadm {' '.join(map(str, words))}: {done.stderr}")


def configuration(name, port, controller_port, etcd_url, certificates=None):
    """The two documents of a kubeadm configuration file; `certificates` is a folder instead of /etc/kubernetes/pki."""
    cluster = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        # Without a release kubeadm asks the internet for the newest.
        "kubernetesVersion": _release(),
        "etcd": {"external": {"endpoints": [etcd_url], "caFile": "", "certFile": "", "keyFile": ""}},
        "apiServer": {
            "certSANs": ["127.0.0.1", "localhost"],
            "extraArgs": [
                {"name": "bind-address", "value": "127.0.0.1"},
                {"name": "endpoint-reconciler-type", "value": "none"},
            ],
        },
        "controllerManager": {"extraArgs": [{"name": "secure-port", "value": str(controller_port)}]},
    }
    if certificates:
        cluster["certificatesDir"] = str(certificates)
    start = {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "localAPIEndpoint": {"advertiseAddress": PLACEHOLDER, "bindPort": port},
        # Never spoken to; without it kubeadm looks for one.
        "nodeRegistration": {"name": name, "criSocket": "unix:///run/none.sock"},
    }
    return [start, cluster]


def _release():
    printed = subprocess.run([binary("kubeadm"), "version", "-o", "short"], capture_output=True, text=True, check=True)
    return printed.stdout.strip()
