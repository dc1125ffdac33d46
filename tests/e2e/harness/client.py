"""A small client of the Kubernetes API: http.client and ssl, nothing else."""

import base64
import http.client
import json
import ssl
import threading
import time
import urllib.parse

import yaml

# The JWKS endpoint answers 406 to a client that accepts only application/json.
ACCEPT = "application/json, */*"


class ApiError(Exception):
    """An answer that is not 2xx."""

    def __init__(self, method, path, status, body):
        self.status = status
        self.body = body
        super().__init__(f"{method} {path}: {status} {body[:800].decode(errors='replace')}")

    def message(self):
        """The message of the Status object, or the body."""
        try:
            return json.loads(self.body)["message"]
        except (ValueError, KeyError):
            return self.body.decode(errors="replace")


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class Client:
    """One API server, one user. Safe for use by many threads: each has a connection of its own."""

    def __init__(self, url, ca_file, token=None, certificate=None, key=None, timeout=30):
        self.url = url
        self.ca_file = ca_file
        self._address = urllib.parse.urlsplit(url).netloc
        self._context = ssl.create_default_context(cafile=str(ca_file))
        if certificate:
            self._context.load_cert_chain(certificate, key)
        self._token = token
        self._timeout = timeout
        self._local = threading.local()
        self._resources = {}

    def as_user(self, token):
        """The same server for the bearer of another token."""
        return Client(self.url, self.ca_file, token=token, timeout=self._timeout)

    def anonymous(self):
        """The same server for nobody: who asks is said by each request's `token`, over one connection."""
        return Client(self.url, self.ca_file, timeout=self._timeout)

    def request(self, method, path, body=None, content_type="application/json", accept=ACCEPT, token=None):
        """The answer, whatever its status. Raises OSError or HTTPException when there is none."""
        headers = {"Accept": accept} if accept else {}
        token = token or self._token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = content_type
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
        kept = getattr(self._local, "connection", None)
        connection = kept or http.client.HTTPSConnection(self._address, context=self._context, timeout=self._timeout)
        self._local.connection = None
        try:
            connection.request(method, path, body, headers)
            received = connection.getresponse()
            answer = Answer(received.status, received.headers, received.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            # A kept connection may have been closed by a server that was restarted since: only a new one tells. What is
            # asked here may be asked twice: tokens, reviews, server-side apply.
            if kept:
                return self.request(method, path, body, content_type, accept, token)
            raise
        self._local.connection = connection
        return answer

    def call(self, method, path, body=None, content_type="application/json"):
        """The answer, which must be 2xx."""
        answer = self.request(method, path, body, content_type)
        if not 200 <= answer.status < 300:
            raise ApiError(method, path, answer.status, answer.body)
        return answer

    def get(self, path):
        return self.call("GET", path).json()

    def ready(self):
        try:
            return self.request("GET", "/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def discovery_document(self):
        return self.call("GET", "/.well-known/openid-configuration")

    def jwks(self):
        return self.call("GET", "/openid/v1/jwks")

    def kids(self):
        return [key["kid"] for key in self.jwks().json()["keys"]]

    def create_token(self, namespace, name, audiences=(), seconds=3600, pod=None):
        """TokenRequest; `pod` is a pod object that the token is bound to. Gives the token."""
        return self.token_request(namespace, name, audiences, seconds, pod).json()["status"]["token"]

    def token_request(self, namespace, name, audiences=(), seconds=3600, pod=None):
        spec = {"audiences": list(audiences), "expirationSeconds": seconds}
        if pod:
            spec["boundObjectRef"] = {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": pod["metadata"]["name"],
                "uid": pod["metadata"]["uid"],
            }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", body)

    def review_token(self, token, audiences=()):
        """The status of a TokenReview: authenticated, user, audiences, error."""
        spec = {"token": token}
        if audiences:
            spec["audiences"] = list(audiences)
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return self.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body).json()["status"]

    def apply(self, objects):
        """Server-side apply of an object, a list of objects, or YAML text with any number of documents."""
        if isinstance(objects, str):
            objects = [each for each in yaml.safe_load_all(objects) if each]
        if isinstance(objects, dict):
            objects = [objects]
        applied = []
        for each in objects:
            path = f"{self.path(each)}?fieldManager=irsa-e2e&force=true"
            applied.append(self.call("PATCH", path, each, "application/apply-patch+yaml").json())
        return applied if len(applied) != 1 else applied[0]

    def path(self, each):
        """The path of an object, from what the server says about its kind."""
        version, kind = each["apiVersion"], each["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._resources:
            listed = self.get(root)["resources"]
            self._resources[version] = {resource["kind"]: resource for resource in listed if "/" not in resource["name"]}
        resource = self._resources[version][kind]
        metadata = each["metadata"]
        if resource["namespaced"]:
            root += f"/namespaces/{metadata.get('namespace', 'default')}"
        return f"{root}/{resource['name']}/{metadata['name']}"


def wait_until(what, condition, seconds=30, process=None, pause=0.1):
    """The first true value of `condition()`; raises after so many seconds, or when `process` has ended."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if process:
            process.require_running()
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(pause)


def parts_of(token):
    """(header, claims) of a JWT, unverified."""
    header, claims, _signature = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims))
