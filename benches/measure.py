"""What the benchmarks share: processes, their CPU time and memory, medians and ratios."""

import atexit
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
TICKS = os.sysconf("SC_CLK_TCK")


def installed(built):
    """A copy, as an installation makes one: what a linker wrote is cached in small pieces, which cost a start some 0.3 ms."""
    if not built.is_file():
        return built
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return pathlib.Path(shutil.copy(built, folder.name))


IRSA = installed(pathlib.Path(os.environ.get("IRSA_BIN") or RELEASE / "irsa"))


def need(*programs):
    """Ends with a sentence when something is missing."""
    for program in programs:
        if not shutil.which(str(program)):
            sys.exit(f"{program} is missing; see benches/README.md")


def machine():
    """The processor and the number of CPUs, for the head of a report."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    names = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    return f"{names[0] if names else 'unknown CPU'}, {os.cpu_count()} CPUs"


def family(pid):
    """The process and its descendants."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [pid] + [each for child in children.split() for each in family(int(child))]


def cpu_seconds(pid):
    """User and system time of a process and its descendants."""
    total = 0
    for each in family(pid):
        fields = pathlib.Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_kib(pid):
    """Proportional set size, in KiB, summed over a process and its descendants."""
    total = 0
    for each in family(pid):
        for line in pathlib.Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def stop(process):
    """Ends a server that we started."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(what, ask, seconds=20):
    """Asks again until the answer is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ask():
            return
        time.sleep(0.05)
    sys.exit(f"waited in vain for {what}")


def ratios(ours, theirs):
    """Median and range of ratios of adjacent runs."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(pairs), min(pairs), max(pairs)


def show_ratio(median, low, high):
    """Like 1.52 (1.40 to 1.61)."""
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def median(values):
    """The median."""
    return statistics.median(values)
