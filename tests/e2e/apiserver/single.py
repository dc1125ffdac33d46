"""`irsa apiserver rollout` on a cluster with one control-plane node, and a controller-manager that does not come back."""

from nodes import ISSUER, STOCK_ISSUER, backup, contents, new_key, restarted, signed_by
from rollout import Rollout, unchanged

from harness import KubeadmCluster, irsa
from harness.kubeadm_cluster import CONTROLLER_MANAGER
from harness.process import binary

# For a controller-manager that never comes: the API server has its state already.
IMPATIENCE = "10s"


def check(work, checks):
    with KubeadmCluster(work / "single", nodes=1) as cluster:
        (node,) = cluster.nodes
        key = new_key(work, "single")
        (stock_kid,) = node.client.kids()
        roll = Rollout(cluster, key)
        ended = unchanged(node, checks, "the only server", lambda: roll.accept(node, code=4))
        checks.contains("the only server is not restarted unasked", ended.errors(), "--allow-single")
        roll.accept(node, "--allow-single")
        checks.equal("accept: both keys are served", [stock_kid, key.kid], node.client.kids())
        checks.equal("accept: signs as before", (STOCK_ISSUER, stock_kid), signed_by(node))
        check_controller_manager(roll, checks, node, work, key)


def check_controller_manager(roll, checks, node, work, key):
    program = work / "kube-controller-manager-that-ends"
    real = binary("kube-controller-manager")
    program.write_text(f'#!/bin/sh\ncase "$*" in */{key.private.name}*) exit 1 ;; esac\nexec {real} "$@"\n')
    program.chmod(0o755)
    with restarted(node, CONTROLLER_MANAGER):
        roll.sign(node, "--allow-single")
    with restarted(node, CONTROLLER_MANAGER):
        irsa.must(0, "apiserver", "revert", *backup(node), node.controller_manifest)
    before = contents(node)[node.controller_manifest.name]
    node.kubelet.programs["kube-controller-manager"] = program
    try:
        ended = roll.sign(node, "--allow-single", code=1, timeout=IMPATIENCE)
    finally:
        del node.kubelet.programs["kube-controller-manager"]
    checks.contains("a controller-manager that ends: it is said", ended.errors(), "kube-controller-manager", "put back")
    checks.equal("its manifest is put back", before, contents(node)[node.controller_manifest.name])
    checks.equal("the API server signs with ours", (ISSUER, key.kid), signed_by(node))
    with restarted(node, CONTROLLER_MANAGER):
        roll.sign(node, "--allow-single")
    command = node.kubelet.pod(CONTROLLER_MANAGER)["spec"]["containers"][0]["command"]
    wanted = f"--service-account-private-key-file=/etc/kubernetes/irsa/{key.private.name}"
    checks.true("the next run brings the controller-manager along", wanted in command, command)
