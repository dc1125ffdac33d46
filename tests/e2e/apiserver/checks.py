"""checks.py [GROUP...]: `irsa apiserver` on the real thing, and proof that the test would see it fail.

Without groups all of them, each site in a process of its own: what they do most is wait.
"""

import os
import subprocess
import sys
import threading
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
from harness.process import binary, port_slices

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
# Two that take as long as each other: each group begins with nodes as the one before it left them.
SITES = (["rollout"], ["kubelet", "kubeadm_config", "single", "styles", "seed_procedure", "files", "patch"])
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "kubeadm")


def main():
    if sys.argv[1:]:
        one_site(sys.argv[1:])
    else:
        all_sites()


def one_site(chosen):
    seed = os.environ.get("IRSA_E2E_SEED", "1")
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


def all_sites():
    print(f"seed {os.environ.get('IRSA_E2E_SEED', '1')}, {irsa.must(0, 'version').text().splitlines()[0]}", flush=True)
    # Built once, before several want them.
    for program in PROGRAMS:
        binary(program)
    running = [start(site, ports) for site, ports in zip(SITES, port_slices(len(SITES)), strict=True)]
    ended = [process.wait() for process, told in running if told.join() is None]
    if any(ended):
        sys.exit("apiserver: " + ", ".join(f"{' '.join(site)}: {code}" for site, code in zip(SITES, ended, strict=True) if code))


def start(site, ports):
    """(process, thread that prints what it says); stopped, with all that it started, when this process ends."""
    command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-u", __file__, *site]
    environment = {**os.environ, "IRSA_E2E_PORTS": ports}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    def tell():
        for line in process.stdout:
            print(line, end="", flush=True)

    told = threading.Thread(target=tell)
    told.start()
    return process, told


main()
