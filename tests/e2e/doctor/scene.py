"""A set-up in which everything fits, on peers that others wrote but for STS: a broken one changes one thing of it."""

import contextlib
import json
import os
import sys
import time

import botocore.session
import jwt
from hosting import Chained, Host, Page
from sts_double import ACCOUNT, Sts

from harness import Process, free_ports, irsa, wait_until

SUBJECT = "system:serviceaccount:demo:app"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/demo-app"
AUDIENCE = "sts.amazonaws.com"
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
  namespace: kube-system
spec:
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.36.2
    command:
    - kube-apiserver
    - --service-account-issuer={issuer}
    - --service-account-key-file=/etc/kubernetes/pki/sa.pub
    - --service-account-signing-key-file=/etc/kubernetes/pki/sa.key
"""


class Scene:
    """A context manager: MiniStack's IAM, the double of STS, a web host with the documents, keys, a token."""

    def __init__(self, work):
        self.work = work
        self.authority = Chained(work / "pki")
        self.port, self.iam_port = free_ports(2)
        self.issuer = f"https://localhost:{self.port}/prod"
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self):
        self.certificate = self.authority.issue("host", "/CN=localhost")
        for name in ("sa", "next"):
            irsa.must(0, "keys", "generate", "--out", self.work / "keys", "--name", name)
        environment = {
            **os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.iam_port), "HOME": str(self.work),
            "TMPDIR": str(self.work),
        }  # fmt: skip
        server = Process("ministack", [sys.executable, "-m", "ministack"], self.work / "ministack.log", environment)
        self.stack.callback(server.stop)
        session = botocore.session.Session()
        session.set_credentials("test", "test")
        endpoint = f"http://127.0.0.1:{self.iam_port}"
        self.iam = session.create_client("iam", region_name="us-east-1", endpoint_url=endpoint)
        wait_until("MiniStack to answer", self.answers, 60, server)
        self.sts = self.stack.enter_context(Sts(self.iam, self.authority.certificate))
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_STS": self.sts.url, "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_MAX_ATTEMPTS": "1",
            "IRSA_CA_FILE": str(self.authority.certificate), "IRSA_LOG": "warn",
        }  # fmt: skip

    def answers(self):
        try:
            self.iam.list_roles()
        except Exception:  # noqa: BLE001 whatever botocore makes of a server that is not there yet
            return False
        return True

    @contextlib.contextmanager
    def healthy(self):
        """Everything fits inside; all of it is gone at the end."""
        with self.hosted(*self.certificate) as host:
            self.provider_as()
            self.role_as(SUBJECT)
            (self.work / "token").write_text(self.token())
            (self.work / "kube-apiserver.yaml").write_text(MANIFEST.format(issuer=self.issuer))
            try:
                yield host
            finally:
                self.no_provider()
                self.no_role()

    @contextlib.contextmanager
    def hosted(self, certificate, key):
        with Host(self.port, certificate, key) as host:
            self.serve(host)
            yield host

    def serve(self, host, keys=("sa",), issuer=None):
        issuer = issuer or self.issuer
        files = [self.work / f"keys/{name}.pub" for name in keys]
        discovery = irsa.must(0, "discovery", "--issuer", self.issuer, *files).stdout.strip()
        discovery = json.dumps({**json.loads(discovery), "issuer": issuer}).encode()
        host.pages = {
            "/prod/.well-known/openid-configuration": page(discovery),
            "/prod/keys.json": page(irsa.must(0, "jwks", *files).stdout.strip()),
        }

    def provider_as(self, *options):
        self.no_provider()
        irsa.must(0, "iam", "provider", "apply", "--issuer", self.issuer, *options, environment=self.environment)

    def raw_provider(self, url, thumbprints, client_ids=(AUDIENCE,)):
        self.no_provider()
        self.iam.create_open_id_connect_provider(Url=url, ClientIDList=list(client_ids), ThumbprintList=list(thumbprints))

    def thumbprints(self):
        entry = self.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"][0]
        found = self.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=entry["Arn"])
        return found["ThumbprintList"]

    def no_provider(self):
        for entry in self.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
            self.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=entry["Arn"])

    def role_as(self, subject, aud_key=None, operator="StringEquals"):
        """The role with this subject; made by irsa where it would make such a one."""
        self.no_role()
        name = self.issuer.removeprefix("https://")
        condition = {"StringEquals": {f"{aud_key or name}:aud": AUDIENCE}}
        condition.setdefault(operator, {})[f"{name}:sub"] = subject
        statement = {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{name}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": condition,
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.create_role(RoleName="demo-app", AssumeRolePolicyDocument=document)

    def no_role(self):
        with contextlib.suppress(self.iam.exceptions.NoSuchEntityException):
            self.iam.delete_role(RoleName="demo-app")

    def token(self, key="sa", audience=AUDIENCE, **claims):
        """As kube-apiserver signs it; PyJWT signs what irsa refuses to."""
        now = int(time.time())
        kid = json.loads(irsa.must(0, "jwks", self.work / f"keys/{key}.pub").text())["keys"][0]["kid"]
        everything = {
            "iss": self.issuer, "sub": SUBJECT, "aud": [audience], "iat": now, "nbf": now, "exp": now + 3600, **claims,
        }  # fmt: skip
        everything = {name: value for name, value in everything.items() if value is not None}
        private = (self.work / f"keys/{key}.key").read_bytes()
        return jwt.encode(everything, private, algorithm="RS256", headers={"kid": kid, "typ": None})

    def doctor(self, *more, environment=None):
        words = (
            "doctor", "--issuer", self.issuer, "--token-file", self.work / "token", "--role-arn", ROLE, "--apiserver-flags",
            self.work / "kube-apiserver.yaml", "-o", "json", *more,
        )  # fmt: skip
        return irsa.run(*words, environment=environment or self.environment)


def page(body, **more):
    return Page(body, **{"Content_Type": "application/json", "Cache_Control": "public, max-age=300", **more})


def bad(report):
    """What is named: (verdict, name) of each warning and failure."""
    return [(check["verdict"], check["id"]) for check in report["checks"] if check["verdict"] in ("warning", "failure")]


def verdicts(report, name):
    return [check["verdict"] for check in report["checks"] if check["id"] == name]
