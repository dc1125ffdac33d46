"""Relying parties: lazy ones that keep a JWKS as long as they may, and the STS of SeaweedFS."""

import base64
import http.client
import json
import secrets
import ssl
import threading
import time
import urllib.parse
import urllib.request

import jwt

from harness.client import Client, parts_of

STS = "sts.amazonaws.com"


class Lazy:
    """Fetches a JWKS when its copy is as old as it may be, and never because a kid is unknown."""

    def __init__(self, name, url, issuer, ca, seconds):
        self.name = name
        self.url = url
        self._issuer = issuer
        self._context = ssl.create_default_context(cafile=str(ca))
        self._seconds = seconds
        self._lock = threading.Lock()
        self._fetched = 0.0
        self._keys = {}
        self.fetches = 0

    def forget(self):
        """The copy is thrown away: the next question is asked of the issuer."""
        with self._lock:
            self._fetched = 0.0

    def verdict(self, token):
        """None, or why it refuses. The tokens of this load are younger than the lives that it assumes."""
        kid = parts_of(token)[0]["kid"]
        keys, age = self._copy()
        if kid not in keys:
            return f"kid {kid[:8]} is not in a copy of {age:.1f} s"
        try:
            jwt.decode(token, keys[kid], algorithms=["RS256", "ES256"], audience=STS, issuer=self._issuer)
        except jwt.InvalidTokenError as error:
            return str(error)
        return None

    def _copy(self):
        with self._lock:
            now = time.monotonic()
            if now - self._fetched > self._seconds:
                # The age counts from before the question: what is answered may be that old.
                with urllib.request.urlopen(self.url, context=self._context, timeout=10) as answer:
                    found = json.loads(answer.read())
                self._keys = {each["kid"]: jwt.PyJWK(each).key for each in found["keys"]}
                self._fetched = now
                self.fetches += 1
            return self._keys, time.monotonic() - self._fetched


class Sts:
    """SeaweedFS: it verifies the token itself, through the issuer, and hands out credentials for it."""

    name = "sts"

    def __init__(self, store):
        self._store = store
        self._client = Client(store.endpoint, store.ca)

    def forget(self, token):
        """A token of a key that nobody has makes it fetch the JWKS anew, so that it judges by what is published now."""
        header, claims, signature = token.split(".")
        named = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        named["kid"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        forged = base64.urlsafe_b64encode(json.dumps(named).encode()).decode().rstrip("=")
        if self.verdict(f"{forged}.{claims}.{signature}") is None:
            raise AssertionError("the STS accepts a token of a key that nobody has")

    def verdict(self, token):
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._store.role_arn,
            "RoleSessionName": "irsa-e2e",
            "WebIdentityToken": token,
        }
        answer = self._client.request("POST", "/", urllib.parse.urlencode(form), "application/x-www-form-urlencoded", None)
        if answer.status != 200:
            return f"{answer.status} {answer.body[:300].decode(errors='replace')}"
        return None if b"<AccessKeyId>" in answer.body else "no credentials"


class Writes:
    """Counts how often a document is written, by looking at it."""

    def __init__(self, url, ca):
        self._path = urllib.parse.urlsplit(url).path
        self._client = Client(url, ca, timeout=10)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._last = None
        self.count = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()

    def _watch(self):
        while not self._stopping.wait(0.2):
            try:
                answer = self._client.request("HEAD", self._path, accept=None)
            except (OSError, http.client.HTTPException):
                continue
            if answer.status != 200:
                continue
            seen = (answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
            if self._last not in (None, seen):
                self.count += 1
            self._last = seen
