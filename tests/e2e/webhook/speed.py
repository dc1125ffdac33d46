"""The bars of latency and memory, judged by the benchmark itself; it says how, and why a busy machine does not matter."""

import os
import subprocess
import sys

from harness import irsa

# About a minute: four rounds of small pods and two of large ones, of four seconds each, and a soak of half a minute.
PACE = ("--rounds", "4", "--seconds", "2", "--soak", "28")


def speed(checks):
    if os.environ.get("IRSA_E2E_SPEED") == "0":
        print("  speed: left out, as IRSA_E2E_SPEED=0 asks", flush=True)
        return
    program = irsa.ROOT / "benches/webhook.py"
    command = [sys.executable, program, "--check", *PACE, "--irsa", irsa.path()]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=400)
    lines = [line.partition("  ") for line in ended.stdout.splitlines() if line.startswith(("holds ", "MISSED"))]
    print("".join(f"    {line}\n" for line in ended.stdout.splitlines()), end="", flush=True)
    for verdict, _, bar in lines:
        checks.equal(bar, "holds", verdict.strip())
    checks.equal("every bar was judged", (0, 11), (ended.returncode, len(lines)))
