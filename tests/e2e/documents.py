"""documents.py IRSA CASES: runs the binary over a corpus of the oracle and compares output, byte for byte.

Where kube-apiserver serves its documents, `irsa jwks --as-apiserver` and `irsa discovery --as-apiserver` print the same
bytes and a newline. Where it refuses, they exit with 1 and print nothing on standard output.
"""

import base64
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile


def main():
    irsa, corpus = sys.argv[1:]
    with open(corpus, encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        problems = [p for found in pool.map(lambda case: compare(irsa, folder, case), cases) for p in found]
    for problem in problems[:50]:
        print(problem, file=sys.stderr)
    served = sum(1 for case in cases if "jwks" in case["documents"])
    print(f"{len(cases)} cases ({served} served, {len(cases) - served} refused): {len(problems)} differences")
    sys.exit(1 if problems or not served else 0)


def compare(irsa, folder, case):
    files = []
    for number, text in enumerate(case["files"]):
        name = os.path.join(folder, f"{case['id']}-{number}.pem")
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64decode(text))
        files.append(name)
    expected = case["documents"]
    commands = {
        "jwks": ["jwks", "--as-apiserver", *files],
        "discovery": ["discovery", "--as-apiserver", "--issuer", case["issuer"], "--jwks-uri", case["jwks_uri"], *files],
    }
    for document, arguments in commands.items():
        run = subprocess.run([irsa, *arguments], capture_output=True, env={}, check=False)
        what = f"case {case['id']} {case['what']}: irsa {document}"
        if document in expected:
            want = base64.b64decode(expected[document]) + b"\n"
            if run.returncode != 0 or run.stdout != want:
                yield f"{what} exits with {run.returncode}\n  ours   {run.stdout!r}\n  theirs {want!r}\n  {run.stderr!r}"
        elif run.returncode != 1 or run.stdout:
            why = expected.get("start_error") or expected.get("serve_error")
            yield f"{what} exits with {run.returncode} and prints {run.stdout[:80]!r}; kube-apiserver: {why}"
        if b"panicked" in run.stderr:
            yield f"{what} panics: {run.stderr!r}"
    for name in files:
        os.unlink(name)


main()
