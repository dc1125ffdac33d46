#!/usr/bin/env python3
"""Whole processes: `irsa jwks` on one key against /bin/true, and key generation against openssl."""

import argparse
import os
import pathlib
import subprocess
import tempfile
import time

from measure import IRSA, machine, median, need


def spawn(command):
    """Seconds from spawn to exit; no shell, output thrown away."""
    start = time.perf_counter()
    pid = os.posix_spawn(
        str(command[0]),
        [str(part) for part in command],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in (1, 2)],
    )
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {status}")
    return time.perf_counter() - start


def alternate(runs, *commands):
    """The times of each command, run in turns so that a change of the machine's speed hits all alike."""
    times = [[] for _ in commands]
    for turn in range(runs):
        for kept, command in zip(times, commands, strict=True):
            kept.append(spawn(command(turn)))
    return times


def start_up(runs, directory):
    subprocess.run([IRSA, "keys", "generate", "--out", directory], check=True, stdout=subprocess.DEVNULL)
    ours, bare = alternate(runs, lambda _: [IRSA, "jwks", directory / "sa.pub"], lambda _: ["/bin/true"])
    over = (median(ours) - median(bare)) * 1000
    print(f"irsa jwks, one key: {median(ours) * 1000:.2f} ms; /bin/true: {median(bare) * 1000:.2f} ms; ", end="")
    print(f"difference {over:.2f} ms (aim: at most 1 ms), medians of {runs} alternating runs")


def key_generation(runs, directory):
    for bits in (2048, 3072, 4096):
        count = runs if bits == 2048 else max(30, runs // 3)
        folder = directory / str(bits)

        def ours_at(turn, bits=bits, folder=folder):
            return [IRSA, *f"keys generate --out {folder} --name k{turn} --rsa-bits {bits}".split()]

        def theirs_at(turn, bits=bits):
            return ["/usr/bin/openssl", "genrsa", "-out", directory / f"{bits}-{turn}.pem", str(bits)]

        ours, theirs = alternate(count, ours_at, theirs_at)
        ratio = median(ours) / median(theirs)
        print(f"RSA {bits}: irsa {median(ours) * 1000:.0f} ms, openssl {median(theirs) * 1000:.0f} ms; ", end="")
        print(f"ratio of medians {ratio:.2f} (aim: at most 0.50), {count} runs of each")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--key-runs", type=int, default=100)
    arguments = parser.parse_args()
    need(IRSA, "openssl")
    print(machine())
    # In memory: irsa makes every key file durable before it returns, and openssl does not; the disk is not the question.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        directory = pathlib.Path(name)
        start_up(arguments.runs, directory / "start")
        key_generation(arguments.key_runs, directory)


if __name__ == "__main__":
    main()
