#!/usr/bin/env python3
"""Latency of `irsa webhook serve` at 2,000 reviews a second on one core, with 50,000 service accounts.

    benches/webhook.py [--rate 2000] [--seconds 10] [--accounts 50000] [--rounds 5] [--soak SECONDS] [--check] [--irsa BINARY]

The API server is a stand-in that lists the accounts in pages and then is silent; the reviews are those that a real one
sent (tests/golden/webhook). wrk keeps the rate by waiting between the requests of each connection. Every round also asks
/healthz at the same rate, with the same body, over the same TLS: the difference is the review, the rest is the machine. There
is no peer to compare with: amazon-eks-pod-identity-webhook is not to be had as a Go module.

The soak goes on with such rounds, and compares latency, processor time and memory of its last third with its first; five
minutes are enough to see. The last lines say of each bar whether it holds; with --check the exit code is 1 when one does not.

How it is judged, so that a busy machine is not taken for a slow webhook, nor the other way round:

* The webhook and wrk run in the kernel's real-time class where that is allowed (root), ahead of whatever else is running:
  beside three busy programs on two processors p99 is then as alone (0.5 ms), and thirty times that without.
* Latency counts in the better quarter of the rounds: what the host of a virtual machine takes away does not last for all.
* Where even /healthz is slow, p99 may be three times that of /healthz. The median of a review may then still be only one
  millisecond more than that of /healthz, or half as much again: a review that waits for something shows there.
* Processor time is compared with that of /healthz, of the same rounds: whatever slows the processor slows both.
* Memory is absolute: no other program has a part in it.
"""

import argparse
import base64
import collections
import http.server
import json
import pathlib
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from measure import IRSA, ROOT, cpu_seconds, machine, need, pss_kib, stop

ROLE = "arn:aws:iam::111122223333:role/reader"
CONNECTIONS = 16
# Of the rounds of a long soak, in seconds.
SOAK_ROUND = 10
LARGE = "large.json"
# Whoever is killed cannot stop what runs ahead of everything else: the kernel does.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


class ApiServer(http.server.BaseHTTPRequestHandler):
    """Lists `accounts` service accounts in pages; a watch stays open and says nothing."""

    protocol_version = "HTTP/1.1"
    accounts = 0

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if query.get("watch") in ("1", "true"):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            time.sleep(3600)
            return
        start = int(query.get("continue") or 0)
        end = min(start + int(query.get("limit") or self.accounts), self.accounts)
        items = [account(number) for number in range(start, end)]
        metadata = {"resourceVersion": "1"} | ({"continue": str(end)} if end < self.accounts else {})
        page = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": items,
        }
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def account(number):
    """Half of them have a role. The first is the one that the reviews ask for."""
    metadata = {
        "name": "app" if number == 0 else f"service-account-{number}",
        "namespace": "demo" if number == 0 else f"team-{number % 500}",
        "uid": f"00000000-0000-0000-0000-{number:012}",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "helm", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {}}}],
    }
    if number % 2 == 0:
        metadata["annotations"] = {"eks.amazonaws.com/role-arn": ROLE if number == 0 else f"{ROLE}-{number}"}
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}


SCRIPT = """
wrk.method = "%(method)s"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("%(body)s", "rb")
wrk.body = file:read("*a")
local pause = %(pause)f
function init(args) math.randomseed(os.time()) end
function delay() return math.floor(math.random() * 2 * pause) end
"""


# What wrk saw in one go: latencies in milliseconds, processor time of the webhook in microseconds for each request.
Window = collections.namedtuple("Window", "rate p50 p99 cpu")
# One after the other; `resident` is the memory after them, in MiB.
Round = collections.namedtuple("Round", "plain review resident")


class Webhook:
    """`irsa webhook serve` on the first processor, and wrk on the second."""

    def __init__(self, options, folder, api_port):
        self.folder = folder
        self.ahead = ahead()
        port, self.metrics_port = free_ports()
        self.url = f"https://127.0.0.1:{port}"
        command = [*self.ahead, "taskset", "-c", "0", options.irsa, "webhook", "serve", "--in-cluster=false"]
        command += [f"--listen=127.0.0.1:{port}", f"--metrics-listen=127.0.0.1:{self.metrics_port}", "--events=false"]
        command += [f"--kubeconfig={kubeconfig(folder, api_port)}", *certificate(folder)]
        self.process = subprocess.Popen([*ENDS_WITH_US, *command], stderr=(folder / "log").open("w"))

    def page(self, path):
        """The text of a page on the metrics port; None unless its status is 200."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=1) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def wait(self, accounts):
        """Until it is ready, with all of them."""
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit(f"the webhook ended:\n{(self.folder / 'log').read_text()}")
            if self.page("/readyz") is not None:
                break
            time.sleep(0.1)
        else:
            sys.exit(f"the webhook was not ready within a minute:\n{(self.folder / 'log').read_text()}")
        loaded = re.search(r"^irsa_webhook_service_accounts (\d+)", self.page("/metrics"), re.MULTILINE).group(1)
        if int(loaded) != accounts:
            sys.exit(f"the webhook knows {loaded} service accounts of {accounts}")

    def injects(self, body):
        """Ends when a review is not answered with the role: nothing would be measured."""
        request = urllib.request.Request(f"{self.url}/mutate", body.read_bytes(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=20) as answer:
            response = json.loads(answer.read())["response"]
        if ROLE not in base64.b64decode(response.get("patch", "")).decode():
            sys.exit(f"a review was not answered with the role: {response}")

    def round(self, body, rate, seconds, plain_seconds=None):
        # It does not read two megabytes that nobody asked for: wrk would count errors.
        plain = self._wrk("/healthz", None if body.name == LARGE else body, rate, plain_seconds or seconds)
        review = self._wrk("/mutate", body, rate, seconds)
        return Round(plain, review, resident_mib(self.process.pid))

    def _wrk(self, path, body, rate, seconds):
        script = self.folder / "load.lua"
        pause = 1000.0 * CONNECTIONS / rate
        method = "GET" if path == "/healthz" else "POST"
        script.write_text(SCRIPT % {"method": method, "body": body or "/dev/null", "pause": pause})
        command = [*ENDS_WITH_US, *self.ahead, "taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
        command += ["--latency", "-s", script, self.url + path]
        before = cpu_seconds(self.process.pid)
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
        spent = cpu_seconds(self.process.pid) - before
        if "Non-2xx" in text or "Socket errors" in text:
            sys.exit(f"refused or lost requests: nothing was measured\n{text}")
        count = int(re.search(r"(\d+) requests in", text).group(1))
        per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
        return Window(per_second, percentile(text, 50), percentile(text, 99), spent / max(count, 1) * 1e6)


def percentile(text, number):
    value, unit = re.search(rf"{number}%\s+([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def ahead():
    """What puts a program into the kernel's real-time class; nothing where that is not allowed."""
    words = ["chrt", "--fifo", "10"]
    return words if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0 else []


def large(folder):
    """A review of a pod of two megabytes."""
    review = json.loads((ROOT / "tests/golden/webhook/create-v1.json").read_text())
    env = review["request"]["object"]["spec"]["containers"][0].setdefault("env", [])
    env += [{"name": f"VARIABLE_{number}", "value": "x" * 64} for number in range(20_000)]
    path = folder / LARGE
    path.write_text(json.dumps(review))
    return path


def certificate(folder):
    key = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    files = ["-subj", "/CN=webhook", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
    subprocess.run([*key, *files], check=True, capture_output=True)
    return [f"--tls-cert={folder / 'tls.crt'}", f"--tls-key={folder / 'tls.key'}"]


def kubeconfig(folder, api_port):
    path = folder / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{api_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [cluster]}
    path.write_text(json.dumps(config | {"contexts": [context], "users": [{"name": "u", "user": {}}]}))
    return path


def free_ports():
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def resident_mib(pid):
    """What the kernel holds in memory for the process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--accounts", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--soak", type=int, default=0, metavar="SECONDS")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--irsa", type=pathlib.Path, default=IRSA)
    options = parser.parse_args()
    need("wrk", "openssl", "taskset", "setpriv", "chrt", options.irsa)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ApiServer.accounts = options.accounts
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        webhook = Webhook(options, pathlib.Path(name), server.server_address[1])
        try:
            bars = measure(options, webhook)
        finally:
            stop(webhook.process)
    holds = verdict(bars)
    if options.check and not holds:
        sys.exit(1)


def measure(options, webhook):
    webhook.wait(options.accounts)
    place = "in the real-time class" if webhook.ahead else "in no class of its own"
    print(f"{machine()}, {place}; {options.accounts} service accounts, {options.rate} requests a second, one core")
    pid = webhook.process.pid
    print(f"memory after loading: {resident_mib(pid):.1f} MiB resident, {pss_kib(pid) / 1024:.1f} MiB proportional")
    small, big = ROOT / "tests/golden/webhook/create-v1.json", large(webhook.folder)
    for body in (small, big):
        webhook.injects(body)
    rounds = [webhook.round(small, options.rate, options.seconds) for _ in range(options.rounds)]
    report("a pod", rounds)
    bars = latency(options.rate, rounds)
    bars.append(("memory under 64 MiB under this load", *under(64, rounds[-1].resident)))
    rate, count = max(options.rate // 200, 1), (options.rounds + 1) // 2
    rounds = [webhook.round(big, rate, options.seconds) for _ in range(count)]
    report("a pod of 2 MB", rounds)
    p50 = better([each.review.p50 for each in rounds])
    bar = 50 + 3 * better([each.plain.p99 for each in rounds])
    bars.append((f"p50 of a pod of 2 MB under {bar:.0f} ms", f"{p50:.2f} ms", p50 < bar))
    # Some of two megabytes each are in memory at once, besides what was loaded.
    bars.append(("memory under 128 MiB with pods of 2 MB", *under(128, max(each.resident for each in rounds))))
    return bars + soak(options, webhook, small) if options.soak else bars


def under(bar, value):
    return f"{value:.1f} MiB", value < bar


def better(values):
    """The bound of the better quarter, where less is better."""
    return sorted(values)[len(values) // 4]


def latency(asked, rounds):
    """The bars of the reviews that come at the rate."""
    plain, review = [each.plain for each in rounds], [each.review for each in rounds]
    rates = [-better([-each.rate for each in side]) for side in (plain, review)]
    least = 0.95 * asked if rates[0] >= 0.95 * asked else 0.8 * rates[0]
    bars = [(f"at least {least:.0f} reviews a second", f"{rates[1]:.0f}", rates[1] >= least)]
    machine_p99, p99 = (better([each.p99 for each in side]) for side in (plain, review))
    bar = max(2.0, 3 * machine_p99)
    bars.append((f"p99 under {bar:.3g} ms at {asked} reviews a second", f"{p99:.2f} ms", p99 < bar))
    machine_p50, p50 = (better([each.p50 for each in side]) for side in (plain, review))
    bar = machine_p50 + max(1.0, 0.5 * machine_p50)
    bars.append((f"p50 under {bar:.2f} ms, with /healthz at {machine_p50:.2f} ms", f"{p50:.2f} ms", p50 < bar))
    ratio = statistics.median(each.review.cpu / each.plain.cpu for each in rounds)
    bars.append(("processor time at most 4 times that of /healthz", f"{ratio:.2f} times", ratio <= 4))
    return bars


def soak(options, webhook, body):
    """Rounds, mostly of reviews; whether the last third is like the first."""
    seconds = min(SOAK_ROUND, max(options.soak // 10, 2))
    plain_seconds = max(seconds // 3, 1)
    rounds = []
    for _ in range(max(options.soak // (seconds + plain_seconds), 3)):
        rounds.append(webhook.round(body, options.rate, seconds, plain_seconds))
    third = len(rounds) // 3
    early, late = rounds[:third], rounds[-third:]
    spent = len(rounds) * (seconds + plain_seconds)
    bars = []

    def flat(name, unit, first, last, most, spread=0.0):
        print(f"soak of {spent} s: {name} {first:.2f} {unit} in the first third, {last:.2f} {unit} in the last")
        bar = f"soak: {name} at most {most} times" + (f" and {spread:.2f} {unit}" if spread else "")
        bars.append((bar, f"{last / first:.2f} times", last <= most * first + spread))

    # Latency may also grow by as much as that of /healthz is spread.
    spread = better([each.plain.p99 for each in late])
    for name, most in (("p50", 1.25), ("p99", 1.5)):
        first, last = (better([getattr(each.review, name) for each in part]) for part in (early, late))
        flat(name, "ms", first, last, most, spread)
    first, last = (sum(each.review.cpu for each in part) / sum(each.plain.cpu for each in part) for part in (early, late))
    flat("processor time", "of /healthz", first, last, 1.5)
    first, last = (statistics.median(each.resident for each in part) for part in (early, late))
    flat("memory", "MiB", first, last, 1.05)
    return bars


def report(label, rounds):
    def spread(values):
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    print(f"{label}: {spread([each.review.rate for each in rounds])} reviews a second")
    p50, p99 = spread([each.review.p50 for each in rounds]), spread([each.review.p99 for each in rounds])
    print(f"  p50 {p50} ms, p99 {p99} ms, {spread([each.review.cpu for each in rounds])} us of a processor")
    print(f"  /healthz p99 {spread([each.plain.p99 for each in rounds])} ms;", end=" ")
    print(f"ratio of the p99s {spread([each.review.p99 / each.plain.p99 for each in rounds])}", flush=True)


def verdict(bars):
    for name, value, holds in bars:
        print(f"{'holds ' if holds else 'MISSED'}  {name}: {value}")
    return all(holds for _, _, holds in bars)


if __name__ == "__main__":
    main()
