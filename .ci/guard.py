"""Fails when a tracked file holds what must not be published: a private key, or a path of the machine it was made on."""

import pathlib
import re
import subprocess
import sys

PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{40}")
# Folders that every machine has, and that texts name with good reason.
COMMON = {"/", "/tmp", "/var/tmp", "/home", "/root", "/srv", "/opt", "/usr/src"}


def main():
    here = pathlib.Path.cwd()
    local = [here, here.parent, pathlib.Path.home() / ".cargo", pathlib.Path.home() / ".cache"]
    paths = [str(path).encode() + end for path in local if str(path) not in COMMON for end in (b"/", b'"', b" ", b"\n")]
    paths.append(b"../" + b"shared")
    listed = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
    names = [name.decode() for name in listed.split(b"\0") if name]
    if not names:
        sys.exit("no tracked files")
    problems = []
    for name in names:
        content = pathlib.Path(name).read_bytes()
        if PRIVATE_KEY.search(content):
            problems.append(f"{name} holds a private key")
        problems += [f"{name} names {path.decode().strip()}" for path in paths if path in content]
        if name.endswith(("package-lock.json", "npm-shrinkwrap.json")) and b'"resolved"' in content:
            problems.append(f"{name} names a registry: npm install --omit-lockfile-registry-resolved")
        if name.endswith("requirements.txt") and re.search(rb"^\s*--(index|extra|find)", content, re.MULTILINE):
            problems.append(f"{name} names an index")
    print(f"{len(names)} tracked files")
    sys.exit("\n".join(problems) if problems else 0)


main()
