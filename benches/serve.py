#!/usr/bin/env python3
"""The same two documents from irsa, from a bare hyper responder and from nginx, each pinned to the same CPU.

Hosts change their speed under load, so a single ratio proves nothing: short runs in turns, requests per second of
*server CPU time*, median and range of the ratios of adjacent runs. wrk runs on the other CPU; its share of that CPU is
printed, because a load generator at its limit would hide the faster server.
"""

import argparse
import pathlib
import re
import socket
import subprocess
import tempfile
import time

import measure
from measure import IRSA, RELEASE, cpu_seconds, median, need, pss_kib, ratios, show_ratio, stop, until

SERVER_CPU, LOAD_CPU = "0", "1"
HEADERS = """
      add_header Cache-Control "public, max-age=300";
      add_header Access-Control-Allow-Origin "*";
      add_header X-Content-Type-Options nosniff;"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A server pinned to one CPU."""

    def __init__(self, name, command, port, scheme):
        self.name, self.port, self.scheme = name, port, scheme
        self.process = subprocess.Popen(
            ["taskset", "-c", SERVER_CPU, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(f"{name} on port {port}", lambda: listening(port))

    def url(self, path):
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def load(self, seconds, path, headers):
        """Requests per second of server CPU, and the share of its CPU that the load generator used."""
        command = ["taskset", "-c", LOAD_CPU, "wrk", "-t1", "-c32", f"-d{seconds}s", self.url(path)]
        for header in headers:
            command += ["-H", header]
        before, start = cpu_seconds(self.process.pid), time.monotonic()
        wrk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(seconds - 0.1)
        load = cpu_seconds(wrk.pid) / (time.monotonic() - start)
        output = wrk.communicate()[0]
        used = cpu_seconds(self.process.pid) - before
        requests = int(re.search(r"(\d+) requests in", output).group(1))
        if "Socket errors" in output:
            print(f"  {self.name}: {output}")
        return requests / used, load


def nginx(directory, port, tls):
    """nginx as one would tune it for two small files."""
    documents = directory / "public"
    listen = f"listen 127.0.0.1:{port} ssl http2;" if tls else f"listen 127.0.0.1:{port};"
    certificate = f"ssl_certificate {directory}/tls.crt; ssl_certificate_key {directory}/tls.key;" if tls else ""
    config = directory / f"nginx-{port}.conf"
    config.write_text(f"""
daemon off; user root; worker_processes 1; pid {directory}/nginx-{port}.pid; error_log /dev/null crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; tcp_nopush on; keepalive_requests 1000000000; server_tokens off;
  open_file_cache max=1000 inactive=300s; open_file_cache_valid 300s; open_file_cache_min_uses 1; etag on;
  server {{
    {listen} {certificate}
    root {documents};
    location / {{ default_type application/jwk-set+json; {HEADERS}
    }}
  }}
}}""")
    return Server("nginx", ["nginx", "-p", directory, "-c", config], port, "https" if tls else "http")


def irsa(directory, port, tls, config=None):
    flags = ["--tls-cert", directory / "tls.crt", "--tls-key", directory / "tls.key"] if tls else []
    source = ["--config", config] if config else ["--issuer", "https://oidc.example.com", "--keys", directory / "keys"]
    command = [IRSA, "serve", *source, "--listen", f"127.0.0.1:{port}", "--log", "error", *flags]
    return Server("irsa", command, port, "https" if tls else "http")


def bare(port):
    return Server("bare hyper", [RELEASE / "examples" / "bare_hyper", f"127.0.0.1:{port}"], port, "http")


def compare(title, servers, arguments, path="/keys.json", headers=None):
    """Interleaved runs; the ratio of every server to nginx."""
    headers = headers or {}
    results = {server.name: [] for server in servers}
    loads = []
    for turn in range(arguments.pairs):
        # rotated, so that none is always the first after a pause
        start = turn % len(servers)
        for server in servers[start:] + servers[:start]:
            rate, load = server.load(arguments.seconds, path, headers.get(server.name, []))
            results[server.name].append(rate)
            loads.append(load)
    print(f"{title}: {arguments.pairs} interleaved runs of {arguments.seconds} s")
    for server in servers:
        rates = results[server.name]
        line = f"  {server.name:<11} {median(rates):>9.0f} per CPU second (median)"
        if server.name != "nginx":
            line += f"; {show_ratio(*ratios(rates, results['nginx']))} times nginx"
        print(line)
    print(f"  load generator: {100 * median(loads):.0f} % of its CPU (median), {100 * max(loads):.0f} % at most")


def entity_tag(server):
    """The tag of the JWKS, for the 304 runs."""
    answer = subprocess.run(["curl", "-ksI", server.url("/keys.json")], capture_output=True, text=True).stdout
    found = re.search(r"(?im)^etag: (.*)$", answer)
    return [f"If-None-Match: {found.group(1).strip()}"] if found else []


def plain(directory, arguments):
    servers = [irsa(directory, free_port(), False), bare(free_port()), nginx(directory, free_port(), False)]
    try:
        compare("plain HTTP, 200", servers, arguments)
        tags = {server.name: entity_tag(server) for server in servers}
        compare("plain HTTP, 304", [s for s in servers if tags[s.name]], arguments, headers=tags)
        memory(servers)
    finally:
        for server in servers:
            stop(server.process)


def tls(directory, arguments):
    servers = [irsa(directory, free_port(), True), nginx(directory, free_port(), True)]
    try:
        compare("TLS 1.3, 200 on kept connections", servers, arguments)
        close = {server.name: ["Connection: close"] for server in servers}
        compare("TLS 1.3, a handshake for each request", servers, arguments, headers=close)
        memory(servers)
    finally:
        for server in servers:
            stop(server.process)


def memory(servers):
    sizes = {server.name: pss_kib(server.process.pid) for server in servers}
    line = ", ".join(f"{name} {size} KiB" for name, size in sizes.items())
    print(f"  memory (PSS, all processes): {line}; irsa is {sizes['irsa'] / sizes['nginx']:.2f} of nginx")


def many(directory, arguments):
    """One issuer against ten thousand, each with documents of its own."""
    count = arguments.issuers
    config = directory / "many.yaml"
    entries = (f"  - issuer: https://oidc.example.com/{n}\n    keys: [keys]\n" for n in range(count))
    config.write_text("issuers:\n" + "".join(entries))
    one = irsa(directory, free_port(), False)
    all_of_them = irsa(directory, free_port(), False, config)
    all_of_them.name = f"{count} issuers"
    one.name = "nginx"  # the base of the ratio
    until("every issuer", lambda: entity_tag_of(all_of_them, f"/{count - 1}/keys.json"))
    try:
        results = {one.name: [], all_of_them.name: []}
        for turn in range(arguments.pairs):
            for server in (one, all_of_them) if turn % 2 == 0 else (all_of_them, one):
                path = "/keys.json" if server is one else f"/{count // 2}/keys.json"
                results[server.name].append(server.load(arguments.seconds, path, [])[0])
        ratio = ratios(results[all_of_them.name], results[one.name])
        print(f"{count} issuers: {show_ratio(*ratio)} times the speed of one issuer (aim: at least 0.90)")
        documents = sum(
            len(subprocess.run(["curl", "-s", all_of_them.url(f"/0/{name}")], capture_output=True).stdout)
            for name in ("keys.json", ".well-known/openid-configuration")
        )
        extra = (pss_kib(all_of_them.process.pid) - pss_kib(one.process.pid)) * 1024 / count - documents
        print(f"  memory for each beyond its documents ({documents} bytes): {extra:.0f} bytes (aim: under 4096)")
    finally:
        stop(one.process)
        stop(all_of_them.process)


def entity_tag_of(server, path):
    answer = subprocess.run(["curl", "-sI", server.url(path)], capture_output=True, text=True).stdout
    return " 200 " in answer


def prepare(directory):
    for name in ("current", "next"):
        generate = [IRSA, "keys", "generate", "--out", directory / "keys", "--name", name]
        subprocess.run(generate, check=True, stdout=subprocess.DEVNULL)
    publish = ["publish", "--issuer", "https://oidc.example.com", "--to", f"dir:{directory}/public", directory / "keys"]
    subprocess.run([IRSA, *publish], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            directory / "tls.key",
            "-out",
            directory / "tls.crt",
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=12, help="interleaved runs of each server")
    parser.add_argument("--seconds", type=int, default=2, help="length of one run")
    parser.add_argument("--issuers", type=int, default=10_000)
    parser.add_argument("--only", choices=["plain", "tls", "many"])
    arguments = parser.parse_args()
    need(IRSA, "nginx", "wrk", "openssl", "curl", "taskset")
    parts = {"plain": plain, "tls": tls, "many": many}
    print(measure.machine())
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        prepare(directory)
        for part, run in parts.items():
            if arguments.only in (None, part):
                run(directory, arguments)


if __name__ == "__main__":
    main()
