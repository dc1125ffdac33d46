"""Clients of every API server and every relying party, who read a new token in time, as kubelet makes them do."""

import collections
import http.client
import random
import threading
import time

import load
from load import STS, Load, Refusal, Token

from harness.client import ApiError

# The machine has two cores, and three API servers are to restart on them.
load.PAUSE_SECONDS = 0.1
# A client uses no token longer than that; kube-apiserver itself would let it live for ten minutes. An API server remembers
# for ten seconds that a token was good, so some must be older.
LIFE = 15


class Clients(Load):
    """`at_parties` counts (relying party, kid)."""

    def __init__(self, nodes, issuer, parties, sts, seed):
        super().__init__(nodes, seed)
        self._issuer = issuer
        self.parties = parties
        self.at_parties = collections.Counter()
        self._sts = sts
        self._threads.append(threading.Thread(target=self._guard, args=(self._use_at_sts, random.Random(f"{seed} sts"))))

    def _make(self, node):
        audience = random.choice([STS, None])
        try:
            text = node.client.create_token("default", "default", [audience] if audience else [])
        except (OSError, http.client.HTTPException, ApiError) as error:
            self._excuse(node, error)
            return
        token = Token(text, node, audience)
        self._kept.append(token)
        for user in self.nodes:
            self._use(token, user)
        self._relying(token, self.parties)

    def _use_old(self, choice):
        token = self._pick(choice, 11)
        if token:
            self._use(token, choice.choice(self.nodes))
            self._relying(token, self.parties)

    def _use_at_sts(self, choice):
        token = self._pick(choice, 0, external=True)
        if token:
            self._relying(token, [self._sts])

    def _pick(self, choice, youngest, external=False):
        now = time.monotonic()
        fit = [
            token
            for token in list(self._kept)[-400:]
            if youngest < now - token.made < LIFE - 2 and (token.audience or not external)
        ]
        return choice.choice(fit) if fit else None

    def _relying(self, token, parties):
        # Until the first rotation the API servers sign with the issuer that they were made with.
        if not token.audience or token.issuer != self._issuer:
            return
        for party in parties:
            try:
                why = party.verdict(token.text)
            except (OSError, http.client.HTTPException, ApiError) as error:
                with self._lock:
                    self.unavailable[f"{party.name}: {type(error).__name__}"] += 1
                continue
            with self._lock:
                if why:
                    self.refusals.append(Refusal(token, party, why))
                else:
                    self.at_parties[party.name, token.kid] += 1

    def uses_at(self, name):
        with self._lock:
            return sum(count for (party, _), count in self.at_parties.items() if party == name)
