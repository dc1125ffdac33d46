"""A real Kubernetes control plane on loopback, for the end-to-end tests; see README.md beside this package.

from harness import ControlPlane, working_folder

with working_folder() as work, ControlPlane(work, servers=3) as plane:
    token = plane.client.create_token("default", "default", audiences=["sts.amazonaws.com"])
"""

from .api_server import ApiServer
from .client import ApiError, Client, wait_until
from .control_plane import ControlPlane
from .keys import KeyPair
from .kubeadm_cluster import KubeadmCluster
from .mini_kubelet import MiniKubelet
from .pki import Authority
from .process import Process, Refusal, binary, free_ports, working_folder
from .verdict import Checks, scene

__all__ = [
    "ApiError",
    "ApiServer",
    "Authority",
    "Checks",
    "Client",
    "ControlPlane",
    "KeyPair",
    "KubeadmCluster",
    "MiniKubelet",
    "Process",
    "Refusal",
    "binary",
    "free_ports",
    "scene",
    "wait_until",
    "working_folder",
]
