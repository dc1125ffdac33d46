"""The status page in headless Chromium: what a person sees, on a desk and on a phone, and what a browser refuses."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

from harness import Process, irsa, working_folder
from harness.client import wait_until
from harness.process import free_ports

ROOT = pathlib.Path(__file__).resolve().parents[3]
NASTY = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def run(checks):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        sys.exit("chromium is missing: apt-get install chromium")
    with working_folder() as work:
        public, admin = free_ports(2)
        server = start(work, public, admin)
        try:
            look(checks, work, chromium, public, admin)
        finally:
            server.stop()


def start(work, public, admin):
    """Two issuers, one broken; a sink that agrees, one that lags, one that is not there; a rotation under way."""
    for name in ("current", "next"):
        irsa.must(0, "keys", "generate", "--out", work / "keys", "--name", name, "--algorithm", "ES256")
    (work / "broken").mkdir()
    (work / "broken/sa.pub").write_text("-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----\n")
    issuer = f"http://127.0.0.1:{public}/prod"
    config = work / "config.yaml"
    entries = f"  - {{issuer: {issuer}, keys: [keys]}}\n  - {{issuer: 'http://127.0.0.1:{public}/broken', keys: [broken]}}\n"
    config.write_text("issuers:\n" + entries)
    publish = ("publish", "--no-read-back", "--issuer", issuer, "--to")
    irsa.must(0, *publish, f"dir:{work}/same/prod", work / "keys")
    irsa.must(0, *publish, f"dir:{work}/lagging/prod", work / "keys/current.pub")
    kids = [key["kid"] for key in json.loads((work / "same/prod/keys.json").read_text())["keys"]]
    (work / "rotation.json").write_text(json.dumps(rotation(issuer, kids)))
    command = [
        *(irsa.path(), "serve", "--config", config, "--listen", f"127.0.0.1:{public}", "--admin-listen", f"127.0.0.1:{admin}"),
        *("--compare", f"dir:{work}/same", "--compare", f"dir:{work}/lagging", "--compare", "public"),
        *("--compare-interval", "1s", "--rotation-status", work / "rotation.json", "--rotation-status", work / "missing.json"),
        "--public-status",
    ]
    server = Process("irsa serve", command, work / "serve.log")
    wait_until("the page", lambda: "holds other keys" in fetch(admin, "/")[2], process=server)
    return server


def rotation(issuer, kids):
    def at(days):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + days * 86400))

    def key(kid, state, since, following, opens):
        return {"kid": kid, "state": state, "since": since, "compromised": False, "next": following, "opens": opens}

    keys = [
        key(kids[0], "current", at(-60), "is replaced", at(30)),
        key(kids[1], "next", at(-0.5), "signs", at(0.5)),
        key(NASTY, "previous", at(-20), NASTY, at(10)),
    ]
    return {"issuer": issuer, "generation": 9, "written": at(-0.1), "keys": keys, "servers": []}


def fetch(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()
    except urllib.error.URLError:
        return 0, {}, ""


def look(checks, work, chromium, public, admin):
    status, headers, _ = fetch(admin, "/")
    checks.equal("the page is there", 200, status)
    checks.contains("its policy", headers["content-security-policy"], "default-src 'none'", "frame-ancestors 'none'")
    url = f"http://127.0.0.1:{admin}/"
    title, tree, said = dump(work, chromium, url)
    checks.equal("nothing foreign ran", "irsa: issuer endpoint", title)
    checks.contains(
        "what a person sees",
        tree,
        "Needs a person:",
        "1 issuer not served",
        "holds other keys",
        "The same keys.",
        "only here",
        "missing.json",
        "<svg",
        "not before",
        "Rotation of the signing key of",
        "&lt;script&gt;",
    )
    checks.true("the browser refuses nothing, so the style sheet is applied", "Content Security Policy" not in said, said)
    for name, size in (("desk", "1100,1500"), ("phone", "390,2200")):
        picture = pathlib.Path(os.environ.get("IRSA_SCREENSHOTS", work)) / f"status-{name}.png"
        browse(work, chromium, f"--screenshot={picture}", f"--window-size={size}", url)
        checks.true(f"a picture for the {name}", picture.exists() and picture.stat().st_size > 10_000)
    # 390 pixels wide, nothing may be wider: Chromium says how wide the page would like to be.
    probe = work / "probe.html"
    probe.write_text(
        f'<iframe id=f src="file://{work}/page.html" width=390 height=2000></iframe><script>f.onload=()=>'
        "{document.title=f.contentDocument.documentElement.scrollWidth}</script>"
    )
    (work / "page.html").write_text(fetch(admin, "/")[2])
    width, _, _ = dump(work, chromium, f"file://{probe}", "--allow-file-access-from-files")
    checks.true("the page is no wider than a phone", width.isdigit() and int(width) <= 390, width)
    status, headers, text = fetch(public, "/status")
    checks.equal("the public page", 200, status)
    checks.contains("the public page says how many", text, "1 of 2", "Partly in trouble.")
    checks.true("and names nobody", "127.0.0.1" not in text and "kid" not in text, text)
    checks.equal("without the flag there is none", 404, fetch(admin, "/status")[0])


def browse(work, chromium, *words):
    # As root Chromium has no sandbox to offer; it loads nothing but this page.
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions"]
    fixed += ["--disable-background-networking", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    command = [chromium, *fixed, f"--user-data-dir={work}/chromium", "--virtual-time-budget=3000", *words]
    environment = {"PATH": os.environ["PATH"], "HOME": str(work)}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


def dump(work, chromium, url, *words):
    """Title, tree and console after the page has run."""
    done = browse(work, chromium, *words, "--dump-dom", url)
    title = re.search(r"<title>([^<]*)</title>", done.stdout)
    return title[1] if title else "", done.stdout, done.stderr
