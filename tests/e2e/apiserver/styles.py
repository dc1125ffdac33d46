"""The same pod written in many ways: what irsa makes of each is judged by Kubernetes' own reader.

`kubectl annotate --local` reads a manifest as the kubelet does and prints it as JSON. irsa either changes exactly the flags
that were asked for, seen through that reader, or refuses and leaves the file alone.
"""

import concurrent.futures
import copy
import json
import os
import random
import subprocess

import yaml
from nodes import ISSUER, JWKS_URI, PKI, STOCK_ISSUER

from harness import irsa
from harness.kubeadm_cluster import configuration, render
from harness.process import binary

WAYS = int(os.environ.get("IRSA_E2E_STYLES", "40"))
WANTED = [
    *("--issuer", ISSUER, "--jwks-uri", JWKS_URI),
    *("--key-file", f"{PKI}/irsa.pub", "--signing-key-file", f"{PKI}/irsa.key"),
]
PHASES = {
    "accept": {
        "service-account-issuer": [STOCK_ISSUER, ISSUER],
        "service-account-key-file": [f"{PKI}/sa.pub", f"{PKI}/irsa.pub"],
        "api-audiences": [f"{STOCK_ISSUER},{ISSUER}"],
    },
    "sign": {
        "service-account-issuer": [ISSUER, STOCK_ISSUER],
        "service-account-signing-key-file": [f"{PKI}/irsa.key"],
        "service-account-jwks-uri": [JWKS_URI],
    },
}
# Refusing is right for what is ambiguous, and too little for what people write.
LEAST_PATCHED = 0.6


def check(work, checks):
    folder = work / "styles"
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump_all(configuration("node", 6443, 10257, "http://127.0.0.1:2379")))
    render(config, folder / "stock")
    stock = (folder / "stock/kube-apiserver.yaml").read_text()
    seed = os.environ.get("IRSA_E2E_SEED", "1")

    def one(number):
        text, how = written(stock, random.Random(f"{seed} style {number}"))
        file = folder / f"{number:03}" / "kube-apiserver.yaml"
        file.parent.mkdir()
        file.write_bytes(text.encode())
        why = judge(checks, file, f"way {number} ({', '.join(how)})", folder / "backup")
        return why and f"{', '.join(how)}: {why}"

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(one, range(WAYS)))
    refused = [why for why in outcomes if why]
    patched = len(outcomes) - len(refused)
    print(
        f"{WAYS} ways to write a manifest: {patched} patched, {len(refused)} refused" + "".join(f"\n  {each}" for each in refused)
    )
    checks.true("most ways are handled", patched >= LEAST_PATCHED * WAYS)


def judge(checks, file, what, backup):
    """None when irsa patched the file through both phases, else why it refused."""
    originals = [file.read_bytes()]
    before = pod(file)
    for phase, flags in PHASES.items():
        ended = irsa.run("apiserver", "patch", "--phase", phase, *WANTED, "--backup", backup, file)
        if ended.code != 0:
            checks.true(f"{what}: a refusal, before anything is done", ended.code in (1, 2) and phase == "accept", ended)
            checks.equal(f"{what}: the refused file", originals[0], file.read_bytes())
            return ended.errors().splitlines()[0]
        after = pod(file)
        checks.equal(f"{what}: {phase}", intended(before, flags), sorted_out(after))
        before = after
        originals.append(file.read_bytes())
        again = irsa.run("apiserver", "patch", "--check", "--phase", phase, *WANTED, file)
        checks.equal(f"{what}: a second {phase}", 0, again.code)
        lost = [line for line in comments(originals[0]) if line not in comments(originals[-1])]
        checks.equal(f"{what}: lost comments", [], lost)
    for original in originals[-2::-1]:
        irsa.must(0, "apiserver", "revert", "--backup", backup, file)
        checks.equal(f"{what}: undone, byte for byte", original, file.read_bytes())
    return None


def pod(file):
    """The pod as Kubernetes reads it."""
    command = [binary("kubectl"), "annotate", "--local", "-f", file, "read=yes", "-o", "json", "--kubeconfig=/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"Kubernetes cannot read {file}: {done.stderr}\n{file.read_text()}")
    return json.loads(done.stdout)


def sorted_out(pod):
    """With the words of the first container as flags and their values."""
    pod = copy.deepcopy(pod)
    container = pod["spec"]["containers"][0]
    words = container.pop("command", []) + container.pop("args", [])
    flags, word = {}, 1
    while word < len(words):
        flag, equals, value = words[word].partition("=")
        if not equals:
            word += 1
            value = words[word]
        flags.setdefault(flag.removeprefix("--"), []).append(value)
        word += 1
    container["command"] = (words[0], flags)
    return pod


def intended(pod, changes):
    wanted = sorted_out(pod)
    wanted["spec"]["containers"][0]["command"][1].update(changes)
    return wanted


def comments(text):
    return [line.strip() for line in text.decode().splitlines() if line.strip().startswith("#")]


def written(stock, choice):
    """(text, what was done to it): the pod of the stock manifest in another hand."""
    made = yaml.safe_load(stock)
    command = made["spec"]["containers"][0]["command"]
    how = []

    def sometimes(percent, name):
        if choice.randrange(100) < percent:
            how.append(name)
            return True
        return False

    if sometimes(8, "JSON"):
        return json.dumps(made, indent=choice.choice([None, 2])), how
    if sometimes(25, "another order"):
        command[1:] = choice.sample(command[1:], len(command) - 1)
    if sometimes(20, "two words"):
        command[1:] = [part for word in command[1:] for part in (word.split("=", 1) if choice.random() < 0.3 else [word])]
    block = styled_list(command, choice, sometimes)
    if sometimes(25, "command and args"):
        block = styled_list(command[:1], choice, sometimes) + "    args:\n" + styled_list(command[1:], choice, sometimes)
    head, _, rest = stock.partition("  - command:\n")
    tail = rest[rest.index("    image:") :]
    text = f"{head}  - command:\n{block}{tail}"
    if sometimes(15, "an image first"):
        text = (
            f"{head}  - image: registry.example.com/apiserver:1\n    command:\n{block}{tail[tail.index('    imagePullPolicy') :]}"
        )
    if sometimes(20, "comments"):
        lines = text.splitlines(keepends=True)
        for _ in range(4):
            lines.insert(
                choice.randrange(len(lines)), choice.choice(["# a note: [it]\n", "      # --service-account-issuer=no\n", "#\n"])
            )
        text = "".join(lines) if is_same(text, "".join(lines)) else text
    if sometimes(15, "a document mark"):
        text = "---\n" + text
    if sometimes(10, "an end mark"):
        text += "...\n"
    if sometimes(10, "a byte order mark"):
        text = "\ufeff" + text
    if sometimes(15, "CRLF"):
        text = text.replace("\n", "\r\n")
    if sometimes(10, "no final newline"):
        text = text.rstrip("\r\n")
    if sometimes(10, "blanks at line ends"):
        text = text.replace("command:", "command:  ").replace("spec:", "spec: ")
    return text, how


def styled_list(words, choice, sometimes):
    """A block or flow sequence of words, below a key that stands at four blanks."""
    if sometimes(15, "flow"):
        separator = choice.choice([", ", ",\n      "])
        return "      [" + separator.join(quoted(word, choice) for word in words) + "]\n"
    indent = choice.choice(["    ", "      ", "     "])
    lines = []
    for word in words:
        shape = choice.randrange(20)
        if shape == 0:
            lines.append(f"{indent}- >-\n{indent}   {word}\n")
        elif shape == 1:
            lines.append(f"{indent}- |-\n{indent}   {word}\n")
        elif shape == 2:
            lines.append(f"{indent}-   {quoted(word, choice)}   # as it was\n")
        else:
            lines.append(f"{indent}- {quoted(word, choice)}\n")
    return "".join(lines)


def quoted(word, choice):
    shape = choice.randrange(6)
    if shape == 0:
        return f"'{word}'"
    if shape == 1:
        return json.dumps(word)
    # A plain word must not hold what YAML reads otherwise, in flow sequences above all.
    return word if not set(word) & set(",[]{}#") and ": " not in word else f"'{word}'"


def is_same(one, other):
    try:
        return yaml.safe_load(one) == yaml.safe_load(other)
    except yaml.YAMLError:
        return False
