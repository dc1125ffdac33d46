"""`irsa apiserver patch` of a kubeadm configuration, and what kubeadm itself renders from the result.

kubeadm drops all its own values of a flag that extraArgs names even once: what is patched must name the old ones too.
"""

import yaml
from nodes import ISSUER, JWKS_URI, PKI, STOCK_ISSUER

from harness import irsa
from harness.kubeadm_cluster import configuration, render

WANTED = [
    *("--issuer", ISSUER, "--jwks-uri", JWKS_URI),
    *("--key-file", f"{PKI}/irsa.pub", "--signing-key-file", f"{PKI}/irsa.key"),
]
ACCEPTED = {
    "service-account-issuer": [STOCK_ISSUER, ISSUER],
    "service-account-key-file": [f"{PKI}/sa.pub", f"{PKI}/irsa.pub"],
    "service-account-signing-key-file": [f"{PKI}/sa.key"],
    "service-account-jwks-uri": [],
    "api-audiences": [f"{STOCK_ISSUER},{ISSUER}"],
}
SIGNING = {
    **ACCEPTED,
    "service-account-issuer": [ISSUER, STOCK_ISSUER],
    "service-account-signing-key-file": [f"{PKI}/irsa.key"],
    "service-account-jwks-uri": [JWKS_URI],
}


def check(work, checks):
    folder = work / "kubeadm-config"
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text("# kept\n" + yaml.safe_dump_all(configuration("node", 6443, 10257, "http://127.0.0.1:2379")))
    stock = config.read_bytes()
    rendered = Rendered(config, folder / "stock")
    for phase, wanted, private in (("accept", ACCEPTED, "sa.key"), ("sign", SIGNING, "irsa.key")):
        irsa.must(0, *("apiserver", "patch", "--phase", phase, *WANTED), "--backup", folder / "backup", config)
        after = Rendered(config, folder / phase)
        checks.equal(f"{phase}: kubeadm's flags", {**rendered.api_server, **wanted}, {**after.api_server, **after.named(wanted)})
        checks.equal(
            f"{phase}: the controller-manager's key", [f"{PKI}/{private}"], after.controller["service-account-private-key-file"]
        )
        checks.true(f"{phase}: the comment stays", config.read_text().startswith("# kept\n"))
        again = irsa.must(0, *("apiserver", "patch", "--check", "--phase", phase, *WANTED), config)
        checks.contains(f"{phase}: a second run", again.text(), "nothing to do")
    for _ in range(2):
        irsa.must(0, "apiserver", "revert", "--backup", folder / "backup", config)
    checks.equal("back at stock, byte for byte", stock, config.read_bytes())


class Rendered:
    """The flags of the two programs in the manifests that kubeadm makes of a configuration."""

    def __init__(self, config, folder):
        render(config, folder)
        self.api_server = flags(folder / "kube-apiserver.yaml")
        self.controller = flags(folder / "kube-controller-manager.yaml")

    def named(self, wanted):
        return {flag: self.api_server.get(flag, []) for flag in wanted}


def flags(manifest):
    found = {}
    for word in yaml.safe_load(manifest.read_text())["spec"]["containers"][0]["command"][1:]:
        flag, _, value = word.partition("=")
        found.setdefault(flag.removeprefix("--"), []).append(value)
    return found
