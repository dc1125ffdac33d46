//! The kube-apiserver sidecar: its flags on any distribution, and the rollout of a change.
