"""checks.py [GROUP...]: `irsa apiserver` on the real thing, and proof that the test would see it fail."""

import os
import sys
import time

import kubelet
import seed_procedure

from harness import Checks, KubeadmCluster, working_folder

GROUPS = {
    "seed_procedure": seed_procedure.check,
}


def main():
    chosen = sys.argv[1:] or ["kubelet", *GROUPS]
    seed = os.environ.get("IRSA_E2E_SEED", "1")
    print(f"seed {seed}")
    with working_folder() as work:
        if "kubelet" in chosen:
            timed("kubelet", lambda checks: kubelet.check(work, checks))
        groups = [name for name in chosen if name in GROUPS]
        if groups:
            with KubeadmCluster(work) as cluster:
                for name in groups:
                    timed(name, lambda checks, name=name: GROUPS[name](cluster, checks, seed, work))


def timed(name, work):
    started = time.monotonic()
    checks = Checks(name)
    work(checks)
    checks.report(f"in {time.monotonic() - started:.0f} s")


main()
