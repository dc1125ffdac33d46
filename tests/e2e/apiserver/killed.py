"""A rollout killed with SIGKILL at several points of its change, and run again: proved, or put back."""

import json
import os
import signal
import subprocess
import time

from nodes import ISSUER, STOCK_ISSUER, backup, contents, new_key, place_key, restarted, signed_by

from harness import irsa, scene, wait_until
from harness.kubeadm_cluster import API_SERVER
from harness.process import binary

IMPATIENCE = 8


def check(roll, checks, node, other, key, work):
    stock, kids = contents(node), node.client.kids()

    def proved_after(point):
        killed_at(point, roll, node)
        again = roll.accept(node)
        what = f"killed {point}"
        checks.true(f"{what}: the next run proves it", key.kid in node.client.kids(), again)
        checks.equal(f"{what}: it signs as before", STOCK_ISSUER, signed_by(node)[0])
        checks.equal(f"{what}: nothing waits for a proof any more", [], unproved(node))
        undo(node, checks, stock, kids)

    for point in POINTS:
        scene(f"killed {point}", proved_after, point)
    scene("told", check_told, roll, checks, node, other)
    undo(node, checks, stock, kids)
    scene("never comes", check_never_comes, roll, checks, node, stock, kids, work)
    scene("edited", check_edited, roll, checks, node)
    undo(node, checks, stock, kids)
    # What the rest of the checks expects of this node.
    killed_at("when the manifest is written", roll, node)
    roll.accept(node)


def record_is_there(node, _before):
    return bool(unproved(node))


def manifest_is_written(node, before):
    return contents(node) != before[0]


def new_process_runs(node, before):
    return node.kubelet.count("started", API_SERVER) > before[1]


def new_process_is_ready(node, before):
    return new_process_runs(node, before) and node.client.ready()


POINTS = {
    "when the change is on record": record_is_there,
    "when the manifest is written": manifest_is_written,
    "when the new process runs": new_process_runs,
    "when the new process is ready": new_process_is_ready,
}


def killed_at(point, roll, node, by=signal.SIGKILL):
    """What the run said until then."""
    before = contents(node), node.kubelet.count("started", API_SERVER)
    words = [irsa.path(), *map(str, roll.words(node, "accept"))]
    environment = {"PATH": os.environ["PATH"]}
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        wait_until(point, lambda: POINTS[point](node, before), 60, pause=0.002)
    finally:
        running.send_signal(by)
        _, said = running.communicate()
    return said


def unproved(node):
    """The changes on record that nobody has seen to work."""
    folder = node.root / "var/lib/irsa/backup"
    found = []
    for path in folder.glob("*/*.json"):
        try:
            record = json.loads(path.read_text())
        except (json.JSONDecodeError, FileNotFoundError):
            continue
        if "unproved" in record:
            found.append(record["file"])
    return found


def undo(node, checks, stock, kids):
    if contents(node) != stock:
        with restarted(node):
            irsa.must(0, "apiserver", "revert", *backup(node), node.manifest)
    checks.equal("revert gives the files as they were", stock, contents(node))
    checks.equal("and the keys", kids, node.client.kids())


def check_told(roll, checks, node, other):
    """A dry run says what waits; other nodes keep away from a turn whose run they cannot know to be dead."""
    with restarted(node):
        said = killed_at("when the manifest is written", roll, node, by=signal.SIGTERM)
    checks.contains("SIGTERM: it says what stands", said, "is written, and kube-apiserver was not seen yet to run with it")
    checks.contains("SIGTERM: it says what settles it", said, "run the same command again on this node")
    checks.contains("the steps are logged", said, "written: waiting for a new process of kube-apiserver")
    dry = roll.accept(node, "--dry-run")
    checks.contains("a dry run says what is not proved", dry.errors(), "ended before it was proved")
    checks.equal("and proves nothing", 1, len(unproved(node)))
    kept = roll.accept(other, code=4)
    checks.contains("another node waits for the dead run's turn", kept.errors(), "is rolling out since")
    # The same node goes on at once, whatever it is asked for.
    ended = roll.retire(node)
    checks.contains("a run for something else proves it first", ended.errors(), "waiting for the proof")
    checks.equal("and it is proved", [], unproved(node))
    roll.accept(other)


def check_never_comes(roll, checks, node, stock, kids, work):
    """The API server ends with the new flags, and the run that would have seen it is dead."""
    program = work / "kube-apiserver-that-never-comes"
    real = binary("kube-apiserver")
    program.write_text(f'#!/bin/sh\ncase "$*" in *{ISSUER}*) exit 1 ;; esac\nexec {real} "$@"\n')
    program.chmod(0o755)
    node.kubelet.programs["kube-apiserver"] = program
    try:
        killed_at("when the manifest is written", roll, node)
        wait_until("the new process to end", lambda: node.kubelet.count("crashed", API_SERVER) > 0, 30)
        check_patched(checks, node, work)
        started = time.monotonic()
        ended = roll.accept(node, code=1, timeout=f"{IMPATIENCE}s")
    finally:
        del node.kubelet.programs["kube-apiserver"]
    checks.contains("a state that does not come: it is said", ended.errors(), "waiting for the proof", "put back", "ready again")
    checks.true("it was waited for", time.monotonic() - started > IMPATIENCE)
    checks.equal("the manifests are as they were", stock, contents(node))
    checks.equal("nothing waits for a proof any more", [], unproved(node))
    node.wait_ready()
    checks.equal("the old keys are served", kids, node.client.kids())


def check_patched(checks, node, work):
    """Somebody patches the manifest before the next run: that waits for the same proof, and goes when it does not come."""
    public, _private = place_key(node, new_key(work, "by-hand"), "by-hand")
    words = ("apiserver", "patch", "--phase", "accept", "--issuer", ISSUER, "--key-file", public)
    ended = irsa.must(0, *words, *backup(node), node.manifest)
    checks.contains("a patch on top says that nothing below was proved", ended.errors(), "ended before it was proved")
    checks.equal("and is not proved itself", 2, len(unproved(node)))


def check_edited(roll, checks, node):
    """Somebody mended the manifest by hand after the run had died: it is theirs."""
    with restarted(node):
        killed_at("when the manifest is written", roll, node)
    ours = node.manifest.read_text()
    with restarted(node):
        draft = node.root / "draft.yaml"
        draft.write_text(ours.replace("metadata:", "metadata:\n  generateName: theirs-", 1))
        draft.chmod(0o600)
        draft.rename(node.manifest)
    theirs = node.manifest.read_text()
    ended = roll.accept(node)
    checks.contains("a manifest of somebody else: it is said", ended.errors(), "somebody changed the file since")
    checks.equal("and left as it is", theirs, node.manifest.read_text())
    with restarted(node):
        draft.write_text(ours)
        draft.chmod(0o600)
        draft.rename(node.manifest)
