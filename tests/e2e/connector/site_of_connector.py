"""irsa, the peer and the control plane together: what every group of checks starts from."""

import base64
import contextlib
import os
import re
import shutil
import subprocess

import aws_peer
from front import Front

from harness import ControlPlane, irsa
from harness.client import wait_until

ADMIN = "arn:aws:iam::111122223333:role/Admin"
DEV = "arn:aws:iam::111122223333:role/Dev"
NAMESPACE = "eks-connector"
# Lines of the log below info, and the multi-line texts of signatures.
LOGGED = re.compile(r"\d{4}-\S+ +(TRACE|DEBUG) |[a-z0-9-]+:|[0-9a-f]{64}$|$|/$|[a-z;-]+$")
BASE = ["--region", aws_peer.REGION, "--name", "prod"]
REGISTER = ["connector", "register", *BASE, "--provider", "other"]
GRANTS = ["--grant", f"{ADMIN}=full", "--grant", f"{DEV}=ns:team-a"]


class Site:
    def __init__(self, plane, peer, front, work):
        self.plane, self.peer, self.front, self.work = plane, peer, front, work
        self.world = peer.world
        self.home = work / "home"
        self.environment = {
            "HOME": str(self.home),
            "AWS_ACCESS_KEY_ID": aws_peer.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": aws_peer.SECRET,
            "AWS_ENDPOINT_URL": peer.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "KUBECONFIG": str(front.kubeconfig),
        }
        self.said = []

    def run(self, code, *arguments, **environment):
        """irsa, which must end with this code. What it says is kept for the search for the code."""
        environment = {**self.environment, "IRSA_LOG": "trace", **environment}
        ended = irsa.run(*arguments, environment=environment)
        self.said.append((arguments, ended.text(), ended.errors()))
        if ended.code != code:
            lines = [line for line in ended.errors().splitlines() if not LOGGED.match(line)]
            words = " ".join(map(str, arguments))
            raise AssertionError(
                f"expected {code}, irsa {words} exits with {ended.code}\n"
                + "\n".join([ended.text(), *lines[-20:]])
                + "\n"
                + "\n".join(self.world.bad)
            )
        return ended

    def register(self, code=0, *more):
        return self.run(code, *REGISTER, *GRANTS, "--apply", "--wait", "--timeout", "30s", *more)

    def deregister(self, code=0, *more):
        return self.run(code, "connector", "deregister", *BASE, *more)

    def killed(self, number, when, *arguments):
        """Runs irsa and kills it at an outside effect; whether it came to that."""
        self.world.next_run((number, when))
        log = (self.work / "killed.log").open("ab")
        words = [irsa.path(), *map(str, arguments)]
        child = subprocess.Popen(words, env={**os.environ, **self.environment}, stdout=log, stderr=log)
        self.world.victim = child.pid
        child.wait(120)
        log.close()
        killed = self.world.killed
        self.world.next_run()
        return killed

    def fresh(self, keep_namespace=False):
        """Nothing in AWS, nothing in the cluster, no journal. To keep the emptied namespace saves seconds."""
        self.world.reset()
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        for kind in ("clusterrole", "clusterrolebinding"):
            names = [name for name in self.plane.kubectl("get", kind, "-o", "name").split() if "/eks-connector" in name]
            if names:
                self.plane.kubectl("delete", *names)
        for namespace in ("team-a", "team-b"):
            self.plane.kubectl("delete", "role,rolebinding", "--all", "-n", namespace)
        if keep_namespace:
            kinds = "statefulset,secret,configmap,serviceaccount,role,rolebinding"
            self.plane.kubectl("delete", kinds, "-l", "app.kubernetes.io/managed-by=irsa", "-n", NAMESPACE)
            return
        self.plane.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
        self.wait_gone()

    def wait_gone(self):
        path = f"/api/v1/namespaces/{NAMESPACE}"
        wait_until("the namespace to go", lambda: self.plane.client.request("GET", path).status == 404, 60)

    def agents(self, cluster):
        """Whether the cluster holds what the agents of this registration need."""
        client = self.plane.client
        secret = client.request("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/eks-connector-activation-config")
        stateful_set = client.request("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/eks-connector")
        if secret.status != 200 or stateful_set.status != 200:
            return False
        code = base64.b64decode(secret.json()["data"]["code"]).decode()
        return code == cluster["code"] and cluster["activationId"] in stateful_set.body.decode()

    def objects(self):
        """Every object that could be the connector's, by name."""
        names = self.plane.kubectl("get", "clusterrole,clusterrolebinding", "-o", "name").split()
        names = [name for name in names if "/eks-connector" in name]
        for namespace in ("team-a", "team-b"):
            names += self.plane.kubectl("get", "role,rolebinding", "-n", namespace, "-o", "name").split()
        return names


@contextlib.contextmanager
def site(work):
    holder = []
    peer = aws_peer.Peer(lambda cluster: holder[0].agents(cluster))
    with ControlPlane(work, controller_manager=True) as plane, peer, Front(plane, peer.world, work) as front:
        here = Site(plane, peer, front, work)
        here.home.mkdir()
        holder.append(here)
        for name in ("team-a", "team-b"):
            plane.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield here
