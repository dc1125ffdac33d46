"""The binary under test."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Run:
    """How one run of irsa ended."""

    def __init__(self, arguments, code, stdout, stderr):
        self.arguments = arguments
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self):
        words = " ".join(map(str, self.arguments))
        return (
            f"irsa {words[:2000]}\nexits with {self.code}\n--- stdout\n{self.stdout.decode()}\n--- stderr\n{self.stderr.decode()}"
        )

    def text(self):
        return self.stdout.decode()

    def errors(self):
        return self.stderr.decode()


def path():
    """IRSA_BIN, or the release build."""
    found = pathlib.Path(os.environ.get("IRSA_BIN") or ROOT / "target/release/irsa")
    if not found.exists():
        sys.exit(f"{found} does not exist: cargo build --release --locked, or name another with IRSA_BIN")
    return found


def run(*arguments, environment=None, timeout=300, stdin=None):
    """Runs it in an environment of its own; any exit code."""
    words = [path(), *map(str, arguments)]
    full = {"PATH": os.environ.get("PATH", ""), **(environment or {})}
    done = subprocess.run(words, input=stdin, capture_output=True, env=full, check=False, timeout=timeout)
    if b"panicked" in done.stderr:
        raise AssertionError(Run(arguments, done.returncode, done.stdout, done.stderr))
    return Run(arguments, done.returncode, done.stdout, done.stderr)


def must(code, *arguments, **keywords):
    """Runs it; raises with all output when it ends with another code."""
    ended = run(*arguments, **keywords)
    if ended.code != code:
        raise AssertionError(f"expected exit code {code}:\n{ended}")
    return ended
