"""Pods created without end, through real API servers."""

import concurrent.futures
import statistics
import threading
import time

from replicas import ROLE, create, pod, role_of


class Lost:
    """A pod that came out without its role, or not at all. Times are in seconds of `time.monotonic`."""

    def __init__(self, began, ended, answer):
        self.began = began
        self.ended = ended
        self.status = answer.status
        self.warnings = answer.headers.get_all("Warning")

    def __repr__(self):
        return f"({self.began:.3f} to {self.ended:.3f}, {self.status}, {self.warnings})"


class Load:
    """A context manager: pods created by several threads; remembers those that came out without role."""

    def __init__(self, plane, threads=4):
        self.threads = threads
        self.lost = []
        self.times = []
        self._plane = plane
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)

    @property
    def count(self):
        return len(self.times)

    @property
    def median(self):
        """Milliseconds for the creation of a pod."""
        return statistics.median(self.times) * 1000

    @property
    def slowest(self):
        return max(self.times) * 1000

    def _run(self, thread):
        client = self._plane.servers[thread % len(self._plane.servers)].client
        number = 0
        while not self._stop.is_set():
            number += 1
            began = time.monotonic()
            answer = create(client, pod(f"load-{thread}-{number}", "reader"), dry_run=True)
            ended = time.monotonic()
            lost = answer.status != 201 or role_of(answer.json()) != ROLE
            with self._lock:
                self.times.append(ended - began)
                if lost:
                    self.lost.append(Lost(began, ended, answer))

    def __enter__(self):
        self._running = [self._pool.submit(self._run, number) for number in range(self.threads)]
        return self

    def __exit__(self, *_):
        self._stop.set()
        for each in self._running:
            each.result()
        self._pool.shutdown()
