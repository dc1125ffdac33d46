"""Clients that keep asking every API server for tokens and show them to all of them."""

import collections
import http.client
import itertools
import random
import threading
import time

from harness.client import ApiError, parts_of

STS = "sts.amazonaws.com"
PAUSE_SECONDS = 0.1
# The API servers remember for ten seconds that a token was good: older ones are judged anew.
OLD_SECONDS = 12
KEPT_TOKENS = 3000


class Token:
    def __init__(self, text, node, audience):
        self.text = text
        self.node = node
        self.audience = audience
        self.made = time.monotonic()
        header, claims = parts_of(text)
        self.kid = header["kid"]
        self.issuer = claims["iss"]


class Refusal:
    """A valid token that a server refused."""

    def __init__(self, token, node, why):
        self.token = token
        self.node = node
        self.why = why
        self.age = time.monotonic() - token.made
        self.at = time.monotonic()

    def __str__(self):
        token = self.token
        kind = "STS" if token.audience else "API"
        return (
            f"{self.node.name} refused a token ({kind}, {token.issuer}, kid {token.kid[:8]}) that {token.node.name} made "
            f"{self.age:.1f} s before: {self.why}"
        )


class Load:
    """A context manager. `refusals` are the valid tokens that were refused; `accepted` counts (kid, maker, user)."""

    def __init__(self, nodes, seed):
        self.nodes = nodes
        # Nobody's connections, by node: an administrator's certificate would be believed before the token.
        self._nobody = {node: node.client.anonymous() for node in nodes}
        self.refusals = []
        self.accepted = collections.Counter()
        self.unavailable = collections.Counter()
        self._kept = collections.deque(maxlen=KEPT_TOKENS)
        self._made = itertools.count()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._broken = []
        makers = [threading.Thread(target=self._guard, args=(self._make, node)) for node in nodes]
        users = [threading.Thread(target=self._guard, args=(self._use_old, random.Random(f"{seed} {i}"))) for i in range(2)]
        self._threads = makers + users

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def require_working(self):
        """Raises when the load itself broke: it would see nothing any more."""
        if self._broken:
            raise self._broken[0]

    def uses(self):
        with self._lock:
            return sum(self.accepted.values()) + len(self.refusals)

    def wait_for_uses(self, count, seconds=60):
        """Until so many more uses were judged."""
        wanted = self.uses() + count
        end = time.monotonic() + seconds
        while self.uses() < wanted:
            self.require_working()
            if time.monotonic() > end:
                raise TimeoutError(f"{count} uses of tokens took more than {seconds} s")
            time.sleep(0.1)

    def crossed(self, kid):
        """The pairs of different nodes where one accepted what the other had signed with this key."""
        with self._lock:
            return {(maker, user) for (found, maker, user) in self.accepted if found == kid and maker != user}

    def made_by(self, kid):
        with self._lock:
            return {maker for (found, maker, _) in self.accepted if found == kid}

    def _guard(self, work, argument):
        try:
            while not self._stopping.wait(PAUSE_SECONDS):
                work(argument)
        except Exception as error:
            self._broken.append(error)
            raise

    def _make(self, node):
        """One token, shown to every server. Gives it, or None while the node's server is away."""
        audience = STS if next(self._made) % 2 else None
        try:
            text = node.client.create_token("default", "default", [audience] if audience else [])
        except (OSError, http.client.HTTPException, ApiError) as error:
            self._excuse(node, error)
            return None
        token = Token(text, node, audience)
        self._kept.append(token)
        for user in self.nodes:
            self._use(token, user)
        return token

    def _use_old(self, choice):
        old = [token for token in list(self._kept) if time.monotonic() - token.made > OLD_SECONDS]
        if old:
            self._use(choice.choice(old), choice.choice(self.nodes))

    def _use(self, token, node):
        try:
            why = self._verdict(token, node)
        except (OSError, http.client.HTTPException, ApiError) as error:
            self._excuse(node, error)
            return
        if why:
            self._refuse(token, node, why)
            return
        with self._lock:
            self.accepted[token.kid, token.node.name, node.name] += 1

    def _refuse(self, token, node, why):
        with self._lock:
            self.refusals.append(Refusal(token, node, why))

    def _verdict(self, token, node):
        """None, or why the server refused the token."""
        if token.audience:
            status = node.client.review_token(token.text, [token.audience])
            return None if status.get("authenticated") else status.get("error", "not authenticated")
        # One path that every authenticated caller may read: an answer of 401 is about the token alone.
        answer = self._nobody[node].request("GET", "/version", token=token.text)
        if answer.status == 401:
            return "401"
        if answer.status != 200:
            raise ApiError("GET", "/version", answer.status, answer.body)
        return None

    def _excuse(self, node, error):
        """A server that is starting or stopping is no fault: any other one answers.

        A starting one answers 403 to whom it has authenticated, until it has read the roles.
        """
        if isinstance(error, ApiError) and error.status not in (403, 429, 500, 502, 503, 504):
            raise error
        with self._lock:
            self.unavailable[node.name] += 1
