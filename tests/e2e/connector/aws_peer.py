"""EKS, IAM and STS over HTTP on loopback. Every request is judged by the published models before it is answered."""

import base64
import json
import os
import signal
import threading
import time
import traceback
import urllib.parse
import uuid

import models

from harness import loopback

ACCOUNT = "111122223333"
REGION = "eu-central-1"
ACCESS_KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SERVICE_LINKED = "AWSServiceRoleForAmazonEKSConnector"
CANARY = "cAnArYcOdE"
READS = ("Get", "List", "Describe")


class World:
    """What stands in AWS, and what was asked."""

    def __init__(self, agents):
        # agents(cluster) says whether the agents of this registration run.
        self.agents = agents
        self.lock = threading.RLock()
        # Over all runs, for the check of the printed policy.
        self.asked = set()
        self.reset()

    def reset(self):
        self.clusters, self.roles = {}, {}
        self.service_linked_role = False
        self.idempotent = False
        self.registered = 0
        self.next_run()

    def next_run(self, kill=None):
        """`kill`: (which outside effect, before or after it is done)."""
        self.calls, self.bad, self.faults = [], [], {}
        self.effects, self.kill, self.victim, self.killed = 0, kill, None, False

    def effect(self, act):
        """Does one outside effect, and kills the client if it is its turn; None when there is nobody to answer."""
        with self.lock:
            self.effects += 1
            number, when = self.kill or (0, "")
            if self.effects != number:
                return act()
            if when == "after":
                act()
            self.killed = True
        while self.victim is None:
            time.sleep(0.002)
        os.kill(self.victim, signal.SIGKILL)
        return None

    def arn(self, name):
        return f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{name}"


class Refused(Exception):
    def __init__(self, code, text="", status=None):
        self.code, self.text, self.status = code, text or f"{code} of the peer", status


class Peer(loopback.Loopback):
    """A context manager: `url`, `world`."""

    def __init__(self, agents):
        self.world = World(agents)
        super().__init__(type("Handler", (_Handler,), {"world": self.world}))


class _Handler(loopback.Handler):
    world = None

    def _any(self):
        body = self.body()
        url = urllib.parse.urlsplit(self.path)
        try:
            service, operation, parameters = models.operation_of(self.command, url.path, body)
            models.judge(operation, parameters)
            models.check_signature(service, self.command, url.path, url.query, self.headers, body, REGION, ACCESS_KEY, SECRET)
            answer = self._act(service, operation, parameters)
        except Exception as error:
            self.world.bad.append(f"{self.command} {self.path}: {error}\n{traceback.format_exc()}")
            answer = 400, {"Content-Type": "text/plain"}, b"the model refuses this request"
        if answer is None:
            self.close_connection = True
            return
        self.answer(*answer)

    do_GET = do_POST = do_DELETE = do_PUT = _any

    def _act(self, service, operation, parameters):
        world = self.world
        name = f"{service}:{operation.name}"
        world.calls.append((name, parameters))
        world.asked.add(name)
        faults = world.faults.get(name)
        if faults:
            refused = faults.pop(0)
            return models.error(service, operation, refused.code, refused.text, refused.status)

        def act():
            try:
                with world.lock:
                    result = getattr(self, f"_{service}_{operation.name}")(parameters)
                return models.success(service, operation, result or {})
            except Refused as refused:
                return models.error(service, operation, refused.code, refused.text, refused.status)

        return act() if operation.name.startswith(READS) else world.effect(act)

    # EKS

    def _describe(self, name, code=False):
        cluster = self.world.clusters.get(name)
        if not cluster:
            raise Refused("ResourceNotFoundException", f"No cluster found for name: {name}.")
        status = cluster["status"]
        if status == "PENDING" and self.world.agents(cluster):
            status = "ACTIVE"
        config = {key: cluster[key] for key in ("activationId", "provider", "roleArn")}
        config["activationExpiry"] = cluster["createdAt"] + 3 * 86400
        if code:
            config["activationCode"] = cluster["code"]
        shown = {"name": name, "arn": self.world.arn(name), "createdAt": cluster["createdAt"], "status": status}
        return {"cluster": {**shown, "connectorConfig": config, "tags": cluster["tags"]}}

    def _eks_DescribeCluster(self, given):
        return self._describe(given["name"])

    def _eks_DeregisterCluster(self, given):
        shown = self._describe(given["name"])
        del self.world.clusters[given["name"]]
        return shown

    def _eks_RegisterCluster(self, given):
        world, name, config = self.world, given["name"], given["connectorConfig"]
        known = world.clusters.get(name)
        if known:
            if world.idempotent and known["token"] == given["clientRequestToken"]:
                return self._describe(name, code=True)
            raise Refused("ResourceInUseException", "Cluster already exists")
        role = world.roles.get(config["roleArn"].rsplit("/", 1)[1])
        if not role or "ssm.amazonaws.com" not in role["trust"]:
            raise Refused("InvalidRequestException", "Nonexistent role or missing ssm service principal in trust policy")
        if not world.service_linked_role:
            raise Refused("InvalidParameterException", f"Role {SERVICE_LINKED} is not available")
        world.registered += 1
        world.clusters[name] = {
            "status": "PENDING",
            "createdAt": int(time.time()),
            "activationId": str(uuid.uuid4()),
            "code": f"{CANARY}{world.registered:010}",
            "provider": config["provider"],
            "roleArn": config["roleArn"],
            "token": given["clientRequestToken"],
            "tags": given.get("tags", {}),
        }
        return self._describe(name, code=True)

    # IAM and STS

    def _sts_GetCallerIdentity(self, _):
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Operator/me"
        return {"UserId": "AROAEXAMPLE:me", "Account": ACCOUNT, "Arn": arn}

    def _shown_role(self, name, role):
        path = role.get("path", "/")
        return {
            "Path": path,
            "RoleName": name,
            "RoleId": "AROAEXAMPLEEXAMPLE",
            "Arn": f"arn:aws:iam::{ACCOUNT}:role{path}{name}",
            "CreateDate": "2026-11-22T00:00:00Z",
            "AssumeRolePolicyDocument": urllib.parse.quote(role.get("trust", "{}"), safe=""),
            "Tags": [{"Key": key, "Value": value} for key, value in role.get("tags", {}).items()],
        }

    def _role(self, given):
        try:
            return self.world.roles[given["RoleName"]]
        except KeyError:
            raise Refused("NoSuchEntity", "The role cannot be found.") from None

    def _iam_GetRole(self, given):
        name = given["RoleName"]
        if name == SERVICE_LINKED and self.world.service_linked_role:
            return {"Role": self._shown_role(name, {"path": "/aws-service-role/eks-connector.amazonaws.com/"})}
        return {"Role": self._shown_role(name, self._role(given))}

    def _iam_CreateServiceLinkedRole(self, given):
        if given != {"AWSServiceName": "eks-connector.amazonaws.com"}:
            raise AssertionError(given)
        if self.world.service_linked_role:
            raise Refused("InvalidInput", "Service role name has been taken in this account")
        self.world.service_linked_role = True
        return {"Role": self._shown_role(SERVICE_LINKED, {})}

    def _iam_CreateRole(self, given):
        name = given["RoleName"]
        if name in self.world.roles:
            raise Refused("EntityAlreadyExists")
        json.loads(given["AssumeRolePolicyDocument"])
        tags = {tag["Key"]: tag["Value"] for tag in given.get("Tags", [])}
        self.world.roles[name] = {"trust": given["AssumeRolePolicyDocument"], "tags": tags, "inline": {}, "attached": []}
        return {"Role": self._shown_role(name, self.world.roles[name])}

    def _iam_PutRolePolicy(self, given):
        json.loads(given["PolicyDocument"])
        self._role(given)["inline"][given["PolicyName"]] = given["PolicyDocument"]

    def _iam_GetRolePolicy(self, given):
        inline = self._role(given)["inline"]
        if given["PolicyName"] not in inline:
            raise Refused("NoSuchEntity")
        document = urllib.parse.quote(inline[given["PolicyName"]], safe="")
        return {"RoleName": given["RoleName"], "PolicyName": given["PolicyName"], "PolicyDocument": document}

    def _iam_ListRolePolicies(self, given):
        return {"PolicyNames": list(self._role(given)["inline"]), "IsTruncated": False}

    def _iam_ListAttachedRolePolicies(self, given):
        attached = [{"PolicyName": arn.rsplit("/", 1)[1], "PolicyArn": arn} for arn in self._role(given)["attached"]]
        return {"AttachedPolicies": attached, "IsTruncated": False}

    def _iam_DeleteRolePolicy(self, given):
        if self._role(given)["inline"].pop(given["PolicyName"], None) is None:
            raise Refused("NoSuchEntity")

    def _iam_DetachRolePolicy(self, given):
        self._role(given)["attached"].remove(given["PolicyArn"])

    def _iam_DeleteRole(self, given):
        role = self._role(given)
        if role["inline"] or role["attached"]:
            raise Refused("DeleteConflict")
        del self.world.roles[given["RoleName"]]


def encoded(code):
    return base64.b64encode(code.encode()).decode()
