"""Starts a control plane, says how to use it, and runs until it is interrupted."""

import argparse
import signal

from harness import ControlPlane, binary, working_folder


def main():
    parser = argparse.ArgumentParser(prog="up", description="a Kubernetes control plane on loopback until Ctrl-C")
    parser.add_argument("--servers", type=int, default=1, choices=range(1, 10), metavar="N", help="API servers on one etcd (1)")
    parser.add_argument("--no-controller-manager", action="store_true", help="only etcd and the API servers")
    arguments = parser.parse_args()
    with working_folder() as work:
        controllers = not arguments.no_controller_manager
        with ControlPlane(work, servers=arguments.servers, controller_manager=controllers) as plane:
            for server in plane.servers:
                print(f"{server.url}  {server.kubeconfig}")
            print(f"{binary('kubectl')} --kubeconfig {plane.kubeconfig} get serviceaccounts --all-namespaces", flush=True)
            signal.pause()


main()
