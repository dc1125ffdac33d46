"""Rotations with short timers at several sites side by side: no valid token is refused, none of a retired key accepted.

Each site is a program of its own (`one_site.py`) with its own API servers, documents and clients, and keeps its key ring in
one of three places. They share the count of rotations: whoever is ready takes the next one. A rotation often waits, for its
clocks and for servers to start: four sites fill two processors, so one place is tried twice.
"""

import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

from place import RINGS

from harness.process import port_slices

ROTATIONS = int(os.environ["ROTATIONS"])
SITES = sys.argv[1:] or [*RINGS, "secret"]


def main():
    print(f"seed {os.environ.get('IRSA_E2E_SEED', '1')}, {ROTATIONS} rotations at {len(SITES)} sites", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    started = time.monotonic()
    tickets, pen = os.pipe()
    os.write(pen, b"." * ROTATIONS)
    os.close(pen)
    with contextlib.ExitStack() as stack:
        running = {}
        for number, (place, ports) in enumerate(zip(SITES, port_slices(len(SITES)), strict=True)):
            name = f"{place}-{SITES[:number].count(place) + 1}"
            command = [sys.executable, pathlib.Path(__file__).with_name("one_site.py"), name, str(tickets)]
            environment = {**os.environ, "IRSA_E2E_PORTS": ports}
            running[name] = subprocess.Popen(command, pass_fds=[tickets], env=environment)
            stack.callback(stop, running[name])
        while running:
            time.sleep(0.2)
            for name, process in list(running.items()):
                code = process.poll()
                if code:
                    sys.exit(f"rotation: the site {name} ended with {code}")
                if code is not None:
                    del running[name]
    if os.read(tickets, 1):
        sys.exit("rotation: not all rotations were made")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"rotation: {ROTATIONS} rotations at {len(SITES)} sites in {time.monotonic() - started:.0f} s, with"
        f" {used.ru_utime + used.ru_stime:.0f} s of CPU",
        flush=True,
    )


def stop(process):
    """It takes what it started with it."""
    if process.poll() is None:
        process.terminate()
        process.wait()


main()
