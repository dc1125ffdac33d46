"""Rotations with short timers: no valid token is refused, and no token of a retired key is accepted."""

import functools
import http.server
import json
import os
import random
import ssl
import subprocess
import threading
import time

from load import Load

from harness import Authority, Checks, KubeadmCluster, free_ports, irsa, working_folder
from harness.client import parts_of

ROTATIONS = int(os.environ.get("ROTATIONS", "3"))
SEED = os.environ.get("IRSA_E2E_SEED", "1")
# A client of this load uses no token longer than that; kube-apiserver itself would let it live for ten minutes.
LIFE = 20
TIMERS = ["--cache", "5s", "--token-ttl", f"{LIFE + 10}s", "--cluster-token-ttl", f"{LIFE + 10}s", "--skew", "1s"]
ROTATION_SECONDS = 600


class FreshLoad(Load):
    """Clients that read a new token in time, as kubelet makes them."""

    def _use_old(self, choice):
        now = time.monotonic()
        old = [token for token in list(self._kept) if 11 < now - token.made < LIFE]
        if old:
            self._use(choice.choice(old), choice.choice(self.nodes))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder, authority):
    """Any web server over TLS: the issuer as relying parties see it."""
    certificate, key = authority.issue("web", "/CN=localhost")
    (port,) = free_ports(1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Quiet, directory=folder))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"https://localhost:{port}/prod"


class Rotation:
    def __init__(self, cluster, work):
        self.cluster = cluster
        self.work = work
        self.authority = Authority(work / "web-ca")
        self.www = work / "www"
        (self.www / "prod").mkdir(parents=True)
        self.issuer = serve(self.www, self.authority)
        self.state = work / "state"
        self.kills = 0
        self.random = random.Random(SEED)

    def words(self, node, *more):
        servers = [word for each in self.cluster.nodes for word in ("--server", each.url)]
        return [
            *("rotate", "--issuer", self.issuer, "--state", self.state, "--to", f"dir:{self.www / 'prod'}"),
            *("--ca-file", self.authority.certificate, "--kubeconfig", node.kubeconfig, "--service-account", "default/default"),
            *("--algorithm", "ES256", *TIMERS, *servers, "--here", node.url, "--manifest", node.manifest),
            *("--controller-manager-manifest", node.controller_manifest, "--root", node.root),
            *("--backup", node.root / "var/lib/irsa/backup", "--rollout-timeout", "60s", *more),
        ]

    def run(self, node, *more):
        return irsa.run(*self.words(node, *more))

    def run_and_perhaps_kill(self, node):
        """One run of a cron job; one in four dies in the middle. The exit code, or None."""
        process = subprocess.Popen(
            [irsa.path(), *map(str, self.words(node))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
        )
        limit = self.random.uniform(0.05, 6) if self.random.random() < 0.25 else 300
        try:
            _, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.kills += 1
            return None
        if process.returncode not in (0, 4):
            raise AssertionError(f"{node.name}: exit {process.returncode}: {errors.decode()}")
        return process.returncode

    def status(self):
        shown = irsa.must(0, "rotate", "status", "--issuer", self.issuer, "--state", self.state, *TIMERS, "-o", "json")
        return json.loads(shown.stdout)

    def kids(self):
        return {key["kid"]: key["state"] for key in self.status()["keys"]}

    def one(self, checks, number):
        """Asks for a rotation and runs until one fresh key is left."""
        nodes = self.cluster.nodes
        (old,) = self.kids()
        canary = nodes[0].client.create_token("default", "default")
        asked = self.run(nodes[0], "--now")
        checks.true(f"rotation {number} begins", asked.code in (0, 4), asked)
        end = time.monotonic() + ROTATION_SECONDS
        while set(self.kids()) == {old} or len(self.kids()) > 1:
            if time.monotonic() > end:
                raise TimeoutError(f"rotation {number}: {self.status()}")
            for node in nodes:
                self.run_and_perhaps_kill(node)
            time.sleep(0.5)
        (new,) = self.kids()
        for node in nodes:
            checks.equal(f"rotation {number}: {node.name} trusts the new key alone", [new], node.client.kids())
            signed = parts_of(node.client.create_token("default", "default"))[0]["kid"]
            checks.equal(f"rotation {number}: {node.name} signs with it", new, signed)
            if parts_of(canary)[0]["kid"] == old:
                accepted = node.client.review_token(canary).get("authenticated", False)
                checks.true(f"rotation {number}: {node.name} refuses the retired key", not accepted)
        document = json.loads((self.www / "prod/keys.json").read_text())
        checks.equal(f"rotation {number}: the JWKS", [new], [key["kid"] for key in document["keys"]])
        left = sorted(path.name for path in self.state.iterdir())
        checks.equal(f"rotation {number}: no key is left behind", sorted(["ring.json", f"{new}.key", f"{new}.pub"]), left)


def main():
    print(f"seed {SEED}, {ROTATIONS} rotations", flush=True)
    checks = Checks("rotation")
    with working_folder() as work, KubeadmCluster(work) as cluster:
        rotation = Rotation(cluster, work)
        for _ in range(2):
            for node in cluster.nodes:
                first = rotation.run(node)
                checks.true(f"a first run on {node.name}", first.code == 0, first)
        with FreshLoad(cluster.nodes, SEED) as load:
            load.wait_for_uses(100)
            for number in range(1, ROTATIONS + 1):
                started = time.monotonic()
                rotation.one(checks, number)
                print(f"rotation {number}: {time.monotonic() - started:.0f} s, {rotation.kills} runs killed so far", flush=True)
            load.wait_for_uses(100)
            load.require_working()
        for refusal in load.refusals[:20]:
            print(refusal)
        checks.equal("refused valid tokens", 0, len(load.refusals))
        checks.true("tokens were used", load.uses() > 1000 or ROTATIONS == 0, load.uses())
        print(f"{load.uses()} uses of tokens, {len(load.refusals)} refused, unavailable {dict(load.unavailable)}")
    checks.report()


main()
