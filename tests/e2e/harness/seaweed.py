"""SeaweedFS: S3, IAM OIDC providers and an STS that checks tokens, over TLS on loopback."""

import base64
import json
import os
import pathlib
import secrets
import shutil
import ssl
import sys
import urllib.error
import urllib.request

from .client import wait_until
from .process import Process, free_ports

ACCESS_KEY = "rootak"


class Seaweed:
    """A context manager. Inside:

    `endpoint`     https URL of S3, IAM and STS
    `environment`  the variables with which the AWS SDK and irsa reach it as the owner
    `ca`           the CA file to trust it with
    `role_arn`     the role that `trust` of the issuers may assume

    Roles come from its configuration file: `trusted` are (issuer URL, subject) pairs of the one role `kube`.
    `authority` is a `pki.Authority`. Anonymous requests are subject to bucket policies, as on AWS.
    """

    role_arn = "arn:aws:iam::000000000000:role/kube"

    def __init__(self, work, authority, trusted=(), folder="seaweed", port=None):
        self.folder = pathlib.Path(work) / folder
        self.authority = authority
        self.port = port or free_ports(1)[0]
        self.endpoint = f"https://localhost:{self.port}"
        self._trusted = list(trusted)
        self._secret_key = secrets.token_hex(16)
        self.process = None

    @property
    def ca(self):
        return self.authority.certificate

    @property
    def environment(self):
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": self._secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            # neither the instance's credentials nor anybody's files
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def __enter__(self):
        self.folder.mkdir(parents=True)
        self._configure()
        # Two of one authority may start at once: one that read the other's half of a pair would never answer.
        certificate, key = self.authority.issue(f"seaweed-{self.port}", "/CN=localhost")
        # It verifies issuers, itself among them, with this CA alone.
        environment = {**os.environ, "SSL_CERT_FILE": str(self.ca)}
        data = self.folder / "data"
        data.mkdir()
        names = "master.port master.port.grpc volume.port volume.port.grpc filer.port filer.port.grpc s3.port s3.port.grpc"
        ports = dict(zip(names.split(), free_ports(len(names.split())), strict=True))
        command = [
            weed(), f"-logdir={self.folder}", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=30", "-filer", "-s3",
            # Two servers with fixed ports that no test needs.
            "-s3.port.iceberg=0", "-s3.port.lance=0",
            f"-s3.port.https={self.port}",
            f"-s3.cert.file={certificate}", f"-s3.key.file={key}", f"-s3.config={self.folder / 's3.json'}",
            f"-s3.iam.config={self.folder / 'iam.json'}", "-s3.iam.readOnly=false", "-s3.allowDeleteBucketNotEmpty=false",
            *(f"-{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        self.process = Process("seaweed", command, self.folder / "seaweed.log", environment)
        try:
            wait_until("SeaweedFS to serve", self._serves, 60, self.process)
        except BaseException:
            self.process.stop()
            raise
        return self

    def __exit__(self, *_):
        self.process.stop()

    def get(self, path, headers=None):
        """(status, headers, body) of an anonymous GET."""
        return anonymous(f"{self.endpoint}/{path.lstrip('/')}", self.ca, headers)

    def _serves(self):
        try:
            return self.get("/")[0] in (200, 403)
        except (OSError, urllib.error.URLError):
            return False

    def _configure(self):
        owner = {
            "name": "root",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": self._secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        trust = [
            {
                "Effect": "Allow",
                "Principal": {"Federated": issuer},
                "Action": ["sts:AssumeRoleWithWebIdentity"],
                "Condition": {"StringEquals": {"oidc:sub": subject}},
            }
            for issuer, subject in self._trusted
        ]
        everything = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*", "arn:aws:s3:::*/*"]}
        iam = {
            "sts": {
                "tokenDuration": "1h",
                "maxSessionLength": "12h",
                "issuer": "seaweedfs-sts",
                "signingKey": base64.b64encode(secrets.token_bytes(32)).decode(),
            },
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "policies": [{"name": "S3All", "document": {"Version": "2012-10-17", "Statement": [everything]}}],
            "roles": [
                {
                    "roleName": "kube",
                    "roleArn": self.role_arn,
                    "trustPolicy": {"Version": "2012-10-17", "Statement": trust},
                    "attachedPolicies": ["S3All"],
                }
            ],
        }
        for name, content in (("s3.json", {"identities": [owner]}), ("iam.json", iam)):
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(json.dumps(content))


def weed():
    """The server program, from the Python environment that runs this."""
    beside = pathlib.Path(sys.executable).with_name("weed")
    found = beside if beside.exists() else shutil.which("weed")
    if not found:
        sys.exit("weed is not there: run this with the packages of tests/e2e/aws/requirements.txt")
    return found


def anonymous(url, ca, headers=None):
    """(status, headers, body) of a GET without credentials."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(ca)), timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()
