#!/usr/bin/env python3
"""Signing as whole processes: `irsa token mint` against `openssl dgst -sign` with the same key, in turns.

irsa reads the key, checks it, makes header and claims, signs, and prints a token; openssl reads the key and signs a file of
the same length. Both start from nothing, as in a smoke test or a script.
"""

import argparse
import pathlib
import subprocess
import tempfile

from commands import alternate
from measure import IRSA, machine, median, need

ISSUER = "https://oidc.example.com/prod"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    need(IRSA, "openssl")
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        for algorithm, digest in (("RS256", "-sha256"), ("ES256", "-sha256"), ("ES384", "-sha384"), ("ES512", "-sha512")):
            make = [IRSA, "keys", "generate", "--out", directory, "--name", algorithm, "--algorithm", algorithm]
            subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
            key = directory / f"{algorithm}.key"
            mint = [IRSA, "token", "mint", "--key", key, "--issuer", ISSUER, "--subject", "default/demo"]
            token = subprocess.run(mint, check=True, capture_output=True).stdout.strip()
            (directory / "input").write_bytes(token.rsplit(b".", 1)[0])
            sign = ["/usr/bin/openssl", "dgst", digest, "-sign", key, "-out", directory / "signature", directory / "input"]
            ours, theirs = alternate(arguments.runs, lambda _, words=mint: words, lambda _, words=sign: words)
            ratio = median(ours) / median(theirs)
            print(f"{algorithm}: irsa token mint {median(ours) * 1000:.2f} ms, openssl {median(theirs) * 1000:.2f} ms; ", end="")
            print(f"ratio of medians {ratio:.2f} (aim: at most 1.00), {arguments.runs} runs of each")


if __name__ == "__main__":
    main()
