"""The mini kubelet itself: a stand-in that forgave what the real one punishes would prove nothing.

The pod is etcd, which starts in a moment.
"""

import yaml

from harness import MiniKubelet, free_ports, wait_until
from harness.process import binary


def check(work, checks):
    binary("etcd")
    root = work / "kubelet"
    with MiniKubelet(root, "kubelet", backoff=0.2, longest_backoff=0.4, longest_grace=2) as kubelet:
        place(kubelet, "pod.yaml", pod())
        expect(kubelet, "started", 1)
        checks.true("a new file is a pod", kubelet.process("etcd").running())
        checks.true("its data went where the volume is", wait_until("data", lambda: (root / "var/lib/etcd/member").is_dir(), 5))

        place(kubelet, ".hidden.yaml", pod(label="hidden"))
        place(kubelet, "pod.yaml", "# a comment\n" + pod())
        settle(kubelet)
        checks.equal("a hidden file and a comment change nothing", 1, kubelet.count("started"))

        place(kubelet, "pod.yaml", pod(label="changed"))
        expect(kubelet, "started", 2)
        order = [event.what for event in kubelet.events]
        checks.equal("the old one is stopped before the new one starts", ["started", "stopped", "started"], order)

        place(kubelet, "pod.yaml.bak", pod(label="backup"))
        expect(kubelet, "started", 3)
        checks.equal("a backup beside the manifest takes its place", "backup", running_label(kubelet))
        (kubelet.manifests / "pod.yaml.bak").unlink()
        expect(kubelet, "started", 4)

        place(kubelet, "pod.yaml", pod(label="changed")[:-20] + "\n  - : [")
        expect(kubelet, "stopped", 4)
        checks.equal("a file that is half written stops the pod", None, kubelet.process("etcd"))

        (root / "etc/etcd.yaml").write_text("{}")
        place(kubelet, "pod.yaml", pod(more=["--config-file=/etc/etcd.yaml"]))
        expect(kubelet, "crashed", 2)
        checks.contains("a file that no volume mounts does not exist", log(root), "etc/etcd.yaml: no such file")
        checks.true("a container that crashes is started again", kubelet.count("started") >= 6, kubelet.events)

        place(kubelet, "pod.yaml", pod(kind="File"))
        expect(kubelet, "refused", 2)
        checks.contains("a volume that is not there", repr(kubelet.events[-1]), "is not a file")
    checks.equal("at the end nothing runs", None, kubelet.process("etcd"))


def place(kubelet, name, text):
    draft = kubelet.root / name
    draft.write_text(text)
    draft.rename(kubelet.manifests / name)


def expect(kubelet, what, count):
    wait_until(f"{count} x {what}, found {kubelet.events}", lambda: kubelet.count(what) >= count, 15, pause=0.02)


def settle(kubelet):
    """Until the directory has certainly been read."""
    seen = kubelet.rounds
    wait_until("the next rounds", lambda: kubelet.rounds >= seen + 3, 10, pause=0.02)


def running_label(kubelet):
    return kubelet.pod("etcd")["metadata"]["labels"]["is"]


PORTS = free_ports(2)


def log(root):
    return (root / "var/log/etcd-etcd.log").read_text()


def pod(label="first", kind="DirectoryOrCreate", more=()):
    client, peer = (f"http://127.0.0.1:{port}" for port in PORTS)
    command = ["etcd", *more, "--data-dir=/var/lib/etcd", f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
    command += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"]
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "etcd", "labels": {"is": label}},
        "spec": {
            "volumes": [{"name": "data", "hostPath": {"path": "/var/lib/etcd", "type": kind}}],
            "containers": [{"name": "etcd", "command": command, "volumeMounts": [{"name": "data", "mountPath": "/var/lib/etcd"}]}],
        },
    }
    return yaml.safe_dump(made, sort_keys=False)
