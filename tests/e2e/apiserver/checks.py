"""checks.py [GROUP...]: `irsa apiserver` on the real thing, and proof that the test would see it fail."""

import os
import sys
import time

import files
import kubeadm_config
import kubelet
import patch
import rollout
import seed_procedure
import single
import styles

from harness import Checks, KubeadmCluster, irsa, working_folder

ALONE = {
    "kubelet": kubelet.check,
    "kubeadm_config": kubeadm_config.check,
    "styles": styles.check,
    "single": single.check,
}
GROUPS = {
    "seed_procedure": seed_procedure.check,
    "files": files.check,
    "patch": patch.check,
    "rollout": rollout.check,
}


def main():
    chosen = sys.argv[1:] or [*ALONE, *GROUPS]
    seed = os.environ.get("IRSA_E2E_SEED", "1")
    print(f"seed {seed}, {irsa.must(0, 'version').text().splitlines()[0]}")
    with working_folder() as work:
        for name in [name for name in chosen if name in ALONE]:
            timed(name, lambda checks, name=name: ALONE[name](work, checks))
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
