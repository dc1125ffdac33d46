"""Counting checks: a part that made none must not pass."""

import difflib
import sys


class Checks:
    """Raises at the first check that fails; `report` prints how many held."""

    def __init__(self, part):
        self.part = part
        self.count = 0

    def equal(self, what, expected, found):
        if expected != found:
            raise AssertionError(f"{what}:\n{_difference(expected, found)}")
        self.count += 1

    def true(self, what, condition, shown=""):
        if not condition:
            raise AssertionError(f"{what}{': ' if shown else ''}{shown}")
        self.count += 1

    def contains(self, what, text, *parts):
        for part in parts:
            if part not in text:
                raise AssertionError(f"{what}: \"{part}\" is not in:\n{text}")
        self.count += 1

    def report(self):
        if self.count == 0:
            sys.exit(f"{self.part}: nothing was checked")
        print(f"{self.part}: {self.count} checks, all right")


def _difference(expected, found):
    if isinstance(expected, str) and isinstance(found, str) and "\n" in expected + found:
        lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), "expected", "found", lineterm="")
        return "\n".join(lines)
    return f"expected {expected!r}\n   found {found!r}"
