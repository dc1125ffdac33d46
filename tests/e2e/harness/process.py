"""Processes that a test starts: logs kept, stopped by pid, none left behind."""

import contextlib
import functools
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LOG_LINES_ON_FAILURE = 25
LOGS_ON_FAILURE = 8
# klog's informational lines, hundreds at each shutdown, and etcd's farewell.
NOISE = re.compile(r"I\d{4} |.*(server closed|Server closed|closed network connection)")


class Refusal(Exception):
    """A program that ended by itself where it should have run on; the message ends with its last lines."""


class Process:
    """One running program. Its output goes to a log file; it dies with the thread that started it."""

    def __init__(self, name, command, log, environment=None):
        self.name = name
        self.log = pathlib.Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._output = self.log.open("ab")
        # A test that is killed cannot stop its servers: the kernel does.
        command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self.pid = self._popen.pid

    def exit_code(self):
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def running(self):
        return self.exit_code() is None

    def require_running(self):
        if not self.running():
            raise Refusal(f"{self.name} ended with {self.exit_code()}:\n{self.tail()}")

    def wait(self, timeout):
        """Its exit code, or None when it runs on after so many seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def ask_to_stop(self):
        """SIGTERM, without waiting."""
        if self.running():
            self._popen.send_signal(signal.SIGTERM)

    def stop(self, grace=20):
        """SIGTERM, and SIGKILL after `grace` seconds. Gives the exit code."""
        if self.running():
            self.ask_to_stop()
            try:
                self._popen.wait(grace)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        code = self._popen.wait()
        self._output.close()
        return code

    def tail(self, lines=LOG_LINES_ON_FAILURE):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@functools.cache
def binary(name):
    """The path of a control plane program: from KUBEBUILDER_ASSETS, or built from its Go module."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and os.access(pathlib.Path(assets, name), os.X_OK):
        return pathlib.Path(assets, name)
    script = HERE.parent / "control_plane" / "binaries.sh"
    built = subprocess.run([script, name], stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode != 0:
        sys.exit(f"{name} cannot be had")
    return pathlib.Path(built.stdout.strip(), name)


# Ports that were handed out: whoever got one may not listen on it yet.
_given = set()
# Those that the system itself gives away begin at 32768: a client may get one of them before the server does.
PORTS = "20000-32767"


def port_slices(count):
    """Values of IRSA_E2E_PORTS for so many processes side by side: none gets a port that another one was given."""
    first, last = _port_range()
    size = (last - first + 1) // count
    return [f"{first + number * size}-{first + (number + 1) * size - 1}" for number in range(count)]


def _port_range():
    first, _, last = os.environ.get("IRSA_E2E_PORTS", PORTS).partition("-")
    return int(first), int(last)


def free_ports(count):
    """Ports of 127.0.0.1 that nothing listens on; no port is given twice."""
    found = []
    while len(found) < count:
        port = random.SystemRandom().randint(*_port_range())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            found.append(port)
    return found


@contextlib.contextmanager
def working_folder(keep_on_failure=True):
    """A new folder for keys, data and logs, removed at the end. On failure the ends of the newest logs are printed.

    SIGTERM and SIGINT unwind the stack, so that whatever was started inside is stopped.
    """

    def interrupted(number, _frame):
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    path = pathlib.Path(tempfile.mkdtemp(prefix="irsa-e2e-"))
    try:
        yield path
    except Exception:
        _print_logs(path)
        if keep_on_failure and os.environ.get("IRSA_E2E_KEEP"):
            print(f"kept {path}", file=sys.stderr)
            raise
        shutil.rmtree(path, ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    shutil.rmtree(path, ignore_errors=True)


def _print_logs(path):
    time.sleep(0.1)
    logs = sorted(path.rglob("*.log"), key=lambda log: log.stat().st_mtime)
    for log in logs[-LOGS_ON_FAILURE:]:
        lines = [line for line in log.read_text(errors="replace").splitlines() if not NOISE.match(line)]
        lines = lines[-LOG_LINES_ON_FAILURE:]
        print(f"---- the last {len(lines)} lines of {log.relative_to(path)}", file=sys.stderr)
        print("\n".join(line[:300] for line in lines), file=sys.stderr)
