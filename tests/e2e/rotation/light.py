"""A control plane of kubeadm's making that starts with less work: its servers restart nine times in each rotation."""

from edit import replace_flags

from harness import KubeadmCluster

# Those that make tokens, and what the checks look at; kubeadm runs some forty.
CONTROLLERS = (
    "serviceaccount-controller,serviceaccount-token-controller,root-ca-certificate-publisher-controller,statefulset-controller"
)


class LightCluster(KubeadmCluster):
    """The same manifests, before anything runs: other controllers are left out, and nothing about tokens is touched."""

    def _write_files(self, node, etcd_url):
        super()._write_files(node, etcd_url)
        replace_flags(node.controller_manifest, {"controllers": [CONTROLLERS], "profiling": ["false"]})
        replace_flags(node.manifest, {"profiling": ["false"], "enable-priority-and-fairness": ["false"]})
