"""Three control-plane nodes, their documents, and `irsa rotate` on each node as a cron job would run it."""

import datetime
import http.client
import json
import os
import pathlib
import random
import subprocess
import time

import botocore.session
from relying import Lazy, Sts

from harness import Process, free_ports, irsa, wait_until
from harness.client import parts_of
from harness.seaweed import anonymous

ALGORITHM = "ES256"
# As long as a relying party keeps its copy here.
CACHE = 5
# A token of these clients lives as long as they use it, and a little more.
TOKEN = 17
TIMERS = ["--cache", f"{CACHE}s", "--token-ttl", f"{TOKEN}s", "--cluster-token-ttl", f"{TOKEN}s", "--skew", "1s"]
# What is served may be kept for as long as that, and no longer.
MAX_AGE = ["--max-age", f"{CACHE}s"]
# What a write that is under way may need; S3 itself takes a signed request for fifteen minutes.
LEASE = "8s"
ROTATION_SECONDS = 900
# After so many that lived the next run dies soon: no site is without one.
SPARED_RUNS = 24
# A kubelet would wait for longer; clients whose server is killed only see more of what they must bear anyway.
GRACE_SECONDS = 0.3
# Where the key ring and the private keys are, by the name of a site.
RINGS = {
    "directory": lambda work: ("--state", work / "state"),
    "secret": lambda work: ("--state", "secret:kube-system/irsa-rotation"),
    "bucket": lambda work: ("--state", "s3://oidc-bucket/rings", "--private-keys", "secret:kube-system/irsa-keys"),
}
TURN = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/irsa-rollout"
SECRETS = "/api/v1/namespaces/kube-system/secrets"


class Site:
    """A context manager: the documents of `issuer` in the bucket of `store`, and behind a replica."""

    def __init__(self, kind, cluster, work, store, issuer, seed):
        self.kind = kind
        self.cluster = cluster
        self.work = pathlib.Path(work)
        self.store = store
        self.issuer = issuer
        self.target = "s3://oidc-bucket/prod"
        self.ring = RINGS[kind](self.work)
        self.environment = {**store.environment, "IRSA_CA_FILE": str(store.ca), "IRSA_LOG": "warn"}
        self.kills = 0
        self._killed_at = 0
        # The nodes whose last run was killed: it may have left its turn to restart something.
        self.dead = set()
        self.runs = 0
        self.random = random.Random(seed)
        self._replica = None

    def __enter__(self):
        for node in self.cluster.nodes:
            node.kubelet.longest_grace = GRACE_SECONDS
        first = self.cluster.nodes[0]
        self.made = {flag: first.flag_values(flag) for flag in ("service-account-key-file", "service-account-signing-key-file")}
        sa = first.pki / "sa.pub"
        self.irsa(0, "publish", "--to", self.target, "--issuer", self.issuer, "--create-bucket", *MAX_AGE, sa)
        self.irsa(0, "iam", "provider", "apply", "--issuer", self.issuer)
        (port,) = free_ports(1)
        certificate, key = self.store.authority.issue("replica", "/CN=localhost")
        words = [
            *(irsa.path(), "serve", "--from", self.target, "--issuer", self.issuer, "--listen", f"127.0.0.1:{port}"),
            *("--tls-cert", certificate, "--tls-key", key, "--reload-interval", "500ms", *MAX_AGE),
        ]
        environment = {**self.environment, "PATH": os.environ["PATH"]}
        self._replica = Process("irsa serve", words, self.work / "replica.log", environment)
        self.jwks = f"{self.issuer}/keys.json"
        self.served = f"https://localhost:{port}/oidc-bucket/prod/keys.json"
        wait_until("the replica to serve", lambda: self._answers(self.served), 30, self._replica)
        keep = CACHE - 0.1
        self.parties = [
            Lazy("lazy at the bucket", self.jwks, self.issuer, self.store.ca, keep),
            Lazy("lazy at the replica", self.served, self.issuer, self.store.ca, keep),
        ]
        self.sts = Sts(self.store)
        return self

    def __exit__(self, *_):
        self._replica.stop()

    def _answers(self, url):
        try:
            return anonymous(url, self.store.ca)[0] == 200
        except OSError:
            return False

    def irsa(self, code, *words):
        return irsa.must(code, *words, environment=self.environment)

    def words(self, node, *more):
        servers = [word for each in self.cluster.nodes for word in ("--server", each.url)]
        return [
            *("rotate", "--issuer", self.issuer, *self.ring, "--to", self.target, "--served", self.served),
            *("--kubeconfig", node.kubeconfig, "--service-account", "default/default", "--lease", LEASE),
            *("--algorithm", ALGORITHM, *TIMERS, *MAX_AGE, *servers, "--here", node.url, "--manifest", node.manifest),
            *("--controller-manager-manifest", node.controller_manifest, "--root", node.root),
            *("--backup", node.root / "var/lib/irsa/backup", "--rollout-timeout", "5m", *more),
        ]

    def run(self, node, *more):
        return irsa.run(*self.words(node, *more), environment=self.environment)

    def run_and_perhaps_kill(self, node):
        """One run of a cron job; one in four may die in the middle. What it says, or None."""
        self.runs += 1
        process = subprocess.Popen(
            [irsa.path(), *map(str, self.words(node, "-o", "json"))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **self.environment},
        )
        limit = self.random.uniform(0.05, 8) if self.random.random() < 0.25 else 400
        if self.runs - self._killed_at > SPARED_RUNS:
            limit = self.random.uniform(0.02, 0.2)
        try:
            said, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.kills += 1
            self._killed_at = self.runs
            self.dead.add(node)
            return None
        except BaseException:
            # The site is stopped: nothing of it stays.
            process.kill()
            raise
        if process.returncode not in (0, 4):
            raise AssertionError(f"{node.name}: exit {process.returncode}: {errors.decode()}")
        if said:
            self.dead.discard(node)
        if said and not self.dead and self._answered(node, TURN) == 200:
            raise AssertionError(f"{node.name}: a run has ended, and the turn of a dead one still keeps the others waiting")
        return json.loads(said) if said else None

    def _answered(self, node, path):
        try:
            return node.client.request("GET", path).status
        except (OSError, http.client.HTTPException):
            return None

    def status(self):
        words = ("rotate", "status", "--issuer", self.issuer, *self.ring[:2], *TIMERS, "-o", "json")
        if self.kind == "secret":
            words += ("--kubeconfig", self.cluster.nodes[0].kubeconfig)
        return json.loads(self.irsa(0, *words).text())

    def kids(self):
        return {key["kid"]: key["state"] for key in self.status()["keys"]}

    def published(self):
        return [key["kid"] for key in json.loads(self.store.get("oidc-bucket/prod/keys.json")[2])["keys"]]

    def first_runs(self, checks):
        """They make the ring from what they see, and each node reports."""
        for _ in range(2):
            for node in self.cluster.nodes:
                first = self.run(node)
                checks.true(f"a first run on {node.name}", first.code in (0, 4), first)

    def ask(self, checks, what):
        """Asks for a rotation: the run that lost a race is asked again."""
        end = time.monotonic() + 120
        while True:
            asked = self.run(self.cluster.nodes[0], "--now")
            if asked.code == 0 or time.monotonic() > end:
                break
            time.sleep(1)
        checks.true(f"{what} begins", asked.code == 0, asked)

    def until_one_key(self, old, what, step=None):
        """Runs on every node in turn until one fresh key is left; who is told to wait until then does."""
        end = time.monotonic() + ROTATION_SECONDS
        step = step or self.run_and_perhaps_kill
        while set(self.kids()) == {old} or len(self.kids()) > 1:
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: {self.status()}")
            said = [step(node) for node in self.cluster.nodes]
            if all(each is not None and not each["done"] for each in said):
                time.sleep(pause(said))
        (new,) = self.kids()
        return new

    def check_end(self, checks, what, old, new, canary):
        """Every server and party has the new key alone, and refuses a token of the old one that has not expired."""
        for node in self.cluster.nodes:
            checks.equal(f"{what}: {node.name} trusts the new key alone", [new], node.client.kids())
            signed = parts_of(node.client.create_token("default", "default"))[0]["kid"]
            checks.equal(f"{what}: {node.name} signs with it", new, signed)
            accepted = node.client.review_token(canary["API"]).get("authenticated", False)
            checks.true(f"{what}: {node.name} refuses the retired key", not accepted)
            left = sorted(path.name for path in (node.root / "etc/kubernetes/irsa").iterdir())
            checks.equal(f"{what}: no copy is left on {node.name}", sorted([f"{new}.key", f"{new}.pub", "lock"]), left)
        for party in self.parties:
            checks.true(f"{what}: {party.name} refuses it", party.verdict(canary["STS"]) is not None)
        self.sts.forget(canary["STS"])
        why = self.sts.verdict(canary["STS"])
        checks.true(f"{what}: the STS refuses it", why is not None, why)
        checks.equal(f"{what}: the JWKS", [new], self.published())
        checks.equal(f"{what}: no key is left behind", [f"{new}.key"], self.private_keys())
        if self.kind == "directory":
            left = sorted(path.name for path in (self.work / "state").iterdir())
            wanted = sorted(["issuer", "place", "ring.json", "lock", f"{new}.key", f"{new}.pub"])
            checks.equal(f"{what}: nothing else is", wanted, left)

    def private_keys(self):
        """The names of those that rest."""
        if self.kind == "directory":
            return sorted(path.name for path in (self.work / "state").glob("*.key"))
        name = {"secret": "irsa-rotation-keys", "bucket": "irsa-keys"}[self.kind]
        return sorted(self.cluster.nodes[0].client.get(f"{SECRETS}/{name}").get("data", {}))

    def object(self, path):
        """What its owner reads in the bucket."""
        client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.store.endpoint,
            verify=str(self.store.ca),
            region_name=self.environment["AWS_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )
        return client.get_object(Bucket="oidc-bucket", Key=path)["Body"].read()

    def canary(self, checks, what):
        """A token of each kind that lives for an hour, as long as its key is trusted."""
        client = self.cluster.nodes[0].client
        made = {
            "API": client.create_token("default", "default"),
            "STS": client.create_token("default", "default", ["sts.amazonaws.com"]),
        }
        # Until the first rotation the API servers sign with the issuer that they were made with.
        if parts_of(made["STS"])[1]["iss"] == self.issuer:
            for party in [*self.parties, self.sts]:
                checks.equal(f"{what}: {party.name} accepts the canary", None, party.verdict(made["STS"]))
        return made


def pause(said):
    """Until the first clock of these runs, if one is near."""
    now = datetime.datetime.now(datetime.UTC)
    clocks = [wait["until"] for each in said for wait in each["waiting"] if wait["until"]]
    left = [(datetime.datetime.fromisoformat(clock) - now).total_seconds() for clock in clocks]
    return min((max(0.1, each) for each in left if each < 60), default=0.2)
