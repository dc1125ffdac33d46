"""Clients of every API server and every relying party, who read a new token in time, as kubelet makes them do."""

import collections
import http.client
import random
import threading
import time

import load
from load import Load, Refusal

from harness.client import ApiError

# The machine has two cores, and the API servers of all sites are to restart on them.
load.PAUSE_SECONDS = 0.7
# A client uses no token longer than that; kube-apiserver itself would let it live for ten minutes. An API server remembers
# for ten seconds that a token was good, so some must be older.
LIFE = 15


class Clients(Load):
    """`at_parties` counts (relying party, kid)."""

    def __init__(self, site, seed):
        super().__init__(site.cluster.nodes, seed)
        self._issuer = site.issuer
        self.parties = site.parties
        self.at_parties = collections.Counter()
        self._sts = site.sts
        self._threads.append(threading.Thread(target=self._guard, args=(self._use_at_sts, random.Random(f"{seed} sts"))))

    def _make(self, node):
        token = super()._make(node)
        if token:
            self._relying(token, self.parties)
        return token

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

    def _refuse(self, token, node, why):
        refusal = Refusal(token, node, why)
        with self._lock:
            if refusal.age > LIFE:
                # The machine was so busy that the token had expired, by what these clients hold to, before it was judged.
                self.unavailable["judged too late"] += 1
            else:
                self.refusals.append(refusal)

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
            if why:
                self._refuse(token, party, why)
                continue
            with self._lock:
                self.at_parties[party.name, token.kid] += 1

    def uses_at(self, name):
        with self._lock:
            return sum(count for (party, _), count in self.at_parties.items() if party == name)
