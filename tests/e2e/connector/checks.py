"""checks.py [GROUP...]: `irsa connector` against published API models and a real kube-apiserver."""

import sys
import time

import groups
from site_of_connector import site

from harness import Checks, working_folder


def main():
    chosen = sys.argv[1:] or list(groups.ALL)
    with working_folder() as work, site(work) as here:
        for name in chosen:
            started = time.monotonic()
            here.fresh()
            here.world.next_run()
            checks = Checks(name)
            groups.ALL[name](here, checks)
            checks.equal("every request is one that the published models allow", [], here.world.bad)
            checks.report(f"in {time.monotonic() - started:.0f} s")


main()
