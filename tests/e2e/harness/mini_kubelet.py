"""The part of the kubelet that runs static pods, so that what a patcher writes is what kube-apiserver runs.

As the real one (pkg/kubelet/config/file.go): every file of the directory whose name does not begin with a dot is read; a
pod's identity is a hash of the parsed pod and its file name; a changed pod is stopped before the new one starts; a file
that cannot be parsed counts as absent, so its pod is stopped; of two files that name the same pod the last one in the
order of their names wins. Containers see only what the pod mounts: a path in the arguments that lies under no mount
points at nothing. It has no images: the command's name is looked up among the control plane programs. It has no probes.
"""

import hashlib
import json
import os
import pathlib
import threading
import time

import yaml

from .process import Process, binary

CHECK_SECONDS = 0.1
GRACE_SECONDS = 30
# What the programs may keep before they collect it is this machine's to say; all else of an environment is the pod's.
MEMORY = {name: os.environ[name] for name in ("GOGC", "GOMEMLIMIT") if name in os.environ}


class PodError(Exception):
    """A manifest that cannot be run, and why."""


class Event:
    """Something that the kubelet did: `what` is started, stopped, crashed or refused."""

    def __init__(self, pod, what, detail=""):
        self.at = time.monotonic()
        self.pod = pod
        self.what = what
        self.detail = detail

    def __repr__(self):
        return f"{self.pod} {self.what}{' ' if self.detail else ''}{self.detail}"


class MiniKubelet:
    """A context manager that watches `root`/etc/kubernetes/manifests; `root` stands for the node's file system.

    A host path of a manifest that already lies under `root` is taken as it is: a tool that runs on this machine writes
    such paths. `backoff` is the wait before a crashed container is started again; it doubles, up to `longest_backoff`
    (the real kubelet: 10 s up to 5 minutes). A container has `longest_grace` seconds to stop at most: an API server would
    wait ten seconds for the watches of its own node's controller-manager.
    """

    def __init__(self, root, name="node", backoff=1.0, longest_backoff=10.0, longest_grace=1.0):
        self.root = pathlib.Path(root)
        self.name = name
        self.manifests = self.root / "etc/kubernetes/manifests"
        self.backoff = backoff
        self.longest_backoff = longest_backoff
        self.longest_grace = longest_grace
        self.events = []
        self.rounds = 0
        # Name -> path of what runs instead of a control plane program: to break one.
        self.programs = {}
        self._pods = {}
        self._refused = {}
        # File name -> (its content, what that was parsed to).
        self._parsed = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kubelet {name}")

    def __enter__(self):
        self.manifests.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()

    def host_path(self, path):
        """Where a path of the node is on this machine."""
        path = pathlib.Path(path)
        return path if path.is_relative_to(self.root) else self.root / path.relative_to("/")

    def count(self, what, pod=None):
        """How many events of one kind there were, of one pod or all."""
        return sum(1 for event in list(self.events) if event.what == what and pod in (None, event.pod))

    def pod(self, name):
        """The pod of this name as it runs, or None."""
        running = self._pods.get(name)
        return running and running.pod

    def process(self, pod):
        """The first container's process of a running pod, or None."""
        running = self._pods.get(pod)
        return running.processes[0] if running and running.processes else None

    def _run(self):
        # Processes die with the thread that started them, so one thread starts and stops them all.
        try:
            while not self._stopping.wait(CHECK_SECONDS):
                self._sync(self._read())
                self.rounds += 1
        finally:
            # All at once, controllers too: an API server waits for those that watch it.
            for running in self._pods.values():
                for process in running.processes:
                    process.ask_to_stop()
            self._sync({})

    def _record(self, pod, what, detail=""):
        self.events.append(Event(pod, what, detail))

    def _read(self):
        """Pod name -> (hash, pod) of all files, the last one of a name winning."""
        found = {}
        seen = {}
        for path in sorted(self.manifests.glob("[!.]*")):
            if not path.is_file():
                continue
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            # Ten times a second the same text: it is parsed once.
            known, parsed = self._parsed.get(path.name, (None, None))
            if content != known:
                parsed = _parse(path.name, content)
            seen[path.name] = (content, parsed)
            if isinstance(parsed, str):
                self._refuse(path.name, parsed)
                continue
            self._refused.pop(path.name, None)
            key, identity, pod = parsed
            found[key] = (identity, pod)
        self._parsed = seen
        return {key[1]: value for key, value in found.items()}

    def _refuse(self, name, why):
        if self._refused.get(name) != why:
            self._refused[name] = why
            self._record(name, "refused", why)

    def _sync(self, wanted):
        for name, running in list(self._pods.items()):
            if name not in wanted or wanted[name][0] != running.identity:
                running.stop()
                self._record(name, "stopped", running.identity[:8])
                del self._pods[name]
        for name, (identity, pod) in wanted.items():
            if name not in self._pods:
                self._pods[name] = _RunningPod(self, name, identity, pod)
            self._pods[name].keep_running()


def _parse(name, content):
    """(key, identity, pod) of a manifest, or why it is none."""
    try:
        pod = yaml.safe_load(content.decode())
        key = (pod["metadata"].get("namespace", "default"), pod["metadata"]["name"])
        if pod["kind"] != "Pod" or pod["apiVersion"] != "v1" or not pod["spec"]["containers"]:
            raise PodError("not a v1 Pod with containers")
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError, PodError) as error:
        return f"cannot be read: {type(error).__name__} {error}"
    identity = hashlib.sha256(json.dumps(pod, sort_keys=True, default=str).encode() + name.encode()).hexdigest()
    return key, identity, pod


class _RunningPod:
    def __init__(self, kubelet, name, identity, pod):
        self.kubelet = kubelet
        self.name = name
        self.identity = identity
        self.pod = pod
        self.processes = []
        self._next_start = 0.0
        self._backoff = kubelet.backoff

    def keep_running(self):
        if self.processes and all(process.running() for process in self.processes):
            return
        if self.processes:
            codes = [process.exit_code() for process in self.processes]
            self.stop()
            self.kubelet._record(self.name, "crashed", f"exit codes {codes}")
            self._next_start = time.monotonic() + self._backoff
            self._backoff = min(self._backoff * 2, self.kubelet.longest_backoff)
        if time.monotonic() < self._next_start:
            return
        try:
            prepared = [self._prepare(container) for container in self.pod["spec"]["containers"]]
        except PodError as error:
            self.kubelet._refuse(self.name, str(error))
            self._next_start = time.monotonic() + self._backoff
            return
        for container, command, environment in prepared:
            log = self.kubelet.root / "var/log" / f"{self.name}-{container}.log"
            self.processes.append(Process(f"{self.kubelet.name}/{container}", command, log, environment))
        self.kubelet._record(self.name, "started", self.identity[:8])

    def stop(self):
        grace = min(self.pod["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS), self.kubelet.longest_grace)
        for process in self.processes:
            process.stop(grace)
        self.processes = []

    def _prepare(self, container):
        """(container name, command, environment) with the container's paths turned into this machine's."""
        mounts = self._mounts(container)
        words = [str(word) for word in [*container.get("command", []), *container.get("args", [])]]
        if not words:
            raise PodError(f"container {container['name']} names no command, and there are no images here")
        name = pathlib.PurePath(words[0]).name
        program = self.kubelet.programs.get(name) or binary(name)
        environment = MEMORY | {each["name"]: str(each.get("value", "")) for each in container.get("env", [])}
        return container["name"], [program, *(self._mapped(word, mounts) for word in words[1:])], environment

    def _mounts(self, container):
        """Mount path -> host path; the longest mount path first."""
        volumes = {volume["name"]: volume for volume in self.pod["spec"].get("volumes", [])}
        mounts = []
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"])
            if not volume or "hostPath" not in volume:
                raise PodError(f'the mount "{mount["name"]}" has no hostPath volume')
            host = self.kubelet.host_path(volume["hostPath"]["path"])
            _require(host, volume["hostPath"].get("type", ""))
            if mount.get("subPath"):
                host = host / mount["subPath"]
            mounts.append((pathlib.PurePosixPath(mount["mountPath"]), host))
        return sorted(mounts, key=lambda each: len(each[0].parts), reverse=True)

    def _mapped(self, word, mounts):
        flag, equals, value = word.partition("=")
        if not equals:
            flag, value = "", word
        if not value.startswith("/"):
            return word
        inside = pathlib.PurePosixPath(value)
        for mount, host in mounts:
            if inside.is_relative_to(mount):
                return f"{flag}{equals}{host / inside.relative_to(mount)}"
        return f"{flag}{equals}{self.kubelet.root / 'not-mounted' / inside.relative_to('/')}"


def _require(host, kind):
    """What the kubelet checks of a hostPath volume before it starts the pod."""
    if kind == "DirectoryOrCreate":
        host.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        host.touch(exist_ok=True)
    elif kind == "Directory" and not host.is_dir():
        raise PodError(f"hostPath type check failed: {host} is not a directory")
    elif kind == "File" and not host.is_file():
        raise PodError(f"hostPath type check failed: {host} is not a file")
    elif not kind and not host.exists():
        # The container runtime makes a directory.
        host.mkdir(parents=True)
