"""checks.py [GROUP...]: irsa's output, and what irsa takes for granted about kube-apiserver, against a running one."""

import os
import random
import sys
import time

import documents
import endpoints
import legacy
import refusals
import tokens

from harness import Checks, ControlPlane, irsa, working_folder

GROUPS = {
    "documents": documents.check,
    "refusals": refusals.check,
    "endpoints": endpoints.check,
    "tokens": tokens.check,
    "legacy": legacy.check,
}


def main():
    chosen = sys.argv[1:] or list(GROUPS)
    seed = os.environ.get("IRSA_E2E_SEED", "1")
    print(f"seed {seed}, {irsa.must(0, 'version').text().splitlines()[0]}")
    failed = []
    with working_folder() as work, ControlPlane(work) as plane:
        for name in chosen:
            started = time.monotonic()
            checks = Checks(name)
            GROUPS[name](plane, checks, random.Random(f"{seed} {name}"))
            try:
                checks.report(f"in {time.monotonic() - started:.0f} s")
            except SystemExit as wrong:
                failed.append(str(wrong))
    sys.exit("\n".join(failed) or 0)


main()
