"""irsa.py IRSA CASES: the verdicts of `irsa token verify` on the same cases, through the same issuer."""

import json
import subprocess
import sys


def main():
    irsa, cases = sys.argv[1:]
    with open(cases, encoding="utf-8") as file:
        plan = json.load(file)
    for case in plan["cases"]:
        command = [irsa, "token", "verify", "--issuer", plan["issuer"], "--audience", case["audience"]]
        command += ["--ca-file", plan["ca_file"], "-"]
        run = subprocess.run(command, input=case["token"], capture_output=True, text=True, check=False)
        right = 0 if case["accept"] else 1
        if run.returncode != right:
            sys.exit(f"{case['name']}: exit status {run.returncode}, expected {right}\n{run.stdout}{run.stderr}")
        print(f"{case['name']}: {run.returncode}")


main()
