"""Counting checks: a part that made none must not pass."""

import difflib
import sys
import threading
import time


class Checks:
    """Prints each check that fails when it fails, goes on, and ends in `report`, which exits when one did."""

    def __init__(self, part):
        self.part = part
        self.count = 0
        self.failed = 0
        self._lock = threading.Lock()

    def equal(self, what, expected, found):
        return self._judge(what, expected == found, lambda: _difference(expected, found))

    def true(self, what, condition, shown=""):
        return self._judge(what, condition, lambda: str(shown))

    def contains(self, what, text, *parts):
        missing = [part for part in parts if part not in text]
        return self._judge(what, not missing, lambda: f"{missing} not in:\n{text}")

    def report(self, note=""):
        if self.failed:
            sys.exit(f"{self.part}: {self.failed} of {self.count} checks failed")
        if self.count == 0:
            sys.exit(f"{self.part}: nothing was checked")
        print(f"{self.part}: {self.count} checks, all right{' ' if note else ''}{note}", flush=True)

    def _judge(self, what, holds, shown):
        with self._lock:
            self.count += 1
            if not holds:
                self.failed += 1
                print(f"FAILED: {self.part}: {what}\n{shown()}", file=sys.stderr, flush=True)
        return bool(holds)


def scene(name, work, *arguments):
    """Does it, and says how long it took."""
    began = time.monotonic()
    work(*arguments)
    print(f"  {name}: {time.monotonic() - began:.0f} s", flush=True)


def _difference(expected, found):
    if isinstance(expected, str) and isinstance(found, str) and "\n" in expected + found:
        lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), "expected", "found", lineterm="")
        return "\n".join(lines)
    return f"expected {expected!r}\n   found {found!r}"
