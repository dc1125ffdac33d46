"""What a user installs: the chart on a real API server, rules by promtool, units by systemd, the status page in a browser.

deploy.py [PART...]: chart, rules, units, page; all of them without.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import chart
import page

from harness import Checks

ROOT = pathlib.Path(__file__).resolve().parents[3]


def rules(checks):
    """promtool reads the rules, and its unit tests fire what they should."""
    promtool = os.environ["IRSA_PROMTOOL"]
    for command, file in (("check", "alerts.yaml"), ("test", "alerts_test.yaml")):
        words = [promtool, command, "rules", ROOT / "deploy/monitoring" / file]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        checks.equal(f"promtool {command} rules {file}", 0, done.returncode)
        if done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr)
    broken = (ROOT / "deploy/monitoring/alerts.yaml").read_text().replace("irsa_sink_agrees == 0", "irsa_sink_agrees == 2")
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "alerts.yaml").write_text(broken)
        shutil.copy(ROOT / "deploy/monitoring/alerts_test.yaml", folder)
        done = subprocess.run([promtool, "test", "rules", f"{folder}/alerts_test.yaml"], capture_output=True, check=False)
        checks.true("the tests of the rules see an alert that never fires", done.returncode != 0)


def units(checks):
    """systemd reads every unit without a complaint, and rates the sandbox."""
    if not shutil.which("systemd-analyze"):
        sys.exit("systemd-analyze is missing: apt-get install systemd")
    folder = ROOT / "deploy/systemd"
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".service", ".timer"))
    checks.true("there are units", names)
    with tempfile.TemporaryDirectory() as name:
        # The unit's program must exist where it says; the unit itself is left as it is but for that path.
        root = pathlib.Path(name)
        program = root / "irsa"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for unit in names:
            text = (folder / unit).read_text().replace("/usr/local/bin/irsa", str(program))
            (root / unit).write_text(text)
        words = ["systemd-analyze", "verify", "--man=no", *(str(root / unit) for unit in names)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if any(unit in line for unit in names)]
        checks.equal("systemd-analyze verify has nothing to say", [], said)
        checks.equal("systemd-analyze verify", 0, done.returncode)
        for unit in (unit for unit in names if unit.endswith(".service")):
            words = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(root / unit)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            rating = re.search(r"Overall exposure level for \S+ (\d+\.\d+) (\w+)", done.stdout.replace("→", "").replace(":", ""))
            checks.true(f"systemd-analyze security rates {unit}", rating, done.stdout + done.stderr)
            if rating:
                print(f"deploy: {unit}: exposure {rating[1]} of 10 ({rating[2]})")
            if rating and unit == "irsa-serve.service":
                checks.true("the endpoint's sandbox is rated below 2.0", float(rating[1]) < 2.0, rating[0])
    with tempfile.TemporaryDirectory() as name:
        words = ["systemd-sysusers", f"--root={name}", str(folder / "irsa.sysusers")]
        pathlib.Path(name, "etc").mkdir()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        checks.equal("systemd-sysusers takes irsa.sysusers", 0, done.returncode)
        checks.contains("the user is made", pathlib.Path(name, "etc/passwd").read_text(), "irsa:")
        words = ["systemd-tmpfiles", f"--root={name}", "--create", str(folder / "irsa.tmpfiles")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        checks.equal("systemd-tmpfiles takes irsa.tmpfiles", 0, done.returncode)
        checks.true("the folders are made", pathlib.Path(name, "etc/irsa/keys").is_dir(), done.stderr)


PARTS = {"chart": chart.run, "rules": rules, "units": units, "page": page.run}


def main():
    checks = Checks("deploy")
    for part in sys.argv[1:] or PARTS:
        PARTS[part](checks)
    checks.report()


main()
