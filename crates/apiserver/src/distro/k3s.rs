//! The `config.yaml` of k3s, and of RKE2, which reads it with the same code.
//!
//! `kube-apiserver-arg` is a list of `flag=value`. A flag that is named there loses every value that k3s would set, and
//! repeated flags add up (k3s since 1.24), so the old issuer and key file are written out beside ours. The audiences
//! of k3s are explicit and do not follow the issuers.

use std::path::Path as FilePath;

use serde_json::Value;

use super::{Distro, Knowledge};
use crate::component::{Component, ComponentError, Place, Role};
use crate::edit::Path;
use crate::flags::{Flag, TokenFlags};
use crate::mounts::Mounts;
use crate::shape::{Shape, ShapeError};

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::K3s,
    name: "k3s",
    recognise,
    components,
    next: "systemctl restart k3s, one server at a time, each ready before the next",
    keys: "place the key files on every server first",
    new: "start k3s with it: the server that makes the cluster before those that join it",
    only_one: "give the flag once for each value",
};

/// Whether k3s or RKE2 reads this file, and starts as well without it.
pub(super) fn need_not_be_there(path: &FilePath) -> bool {
    ["k3s", "rke2"].iter().any(|program| {
        let directory = FilePath::new("rancher").join(program);
        let dropped_in = path.parent().is_some_and(|parent| {
            parent.ends_with(directory.join("config.yaml.d"))
                && path
                    .extension()
                    .is_some_and(|extension| extension == "yaml")
        });
        dropped_in || path.ends_with(directory.join("config.yaml"))
    })
}

/// Keys of the file that only one of the two knows.
const ONLY_K3S: &[&str] = &[
    "flannel-backend",
    "docker",
    "disable-network-policy",
    "disable-helm-controller",
    "egress-selector-mode",
];
const ONLY_RKE2: &[&str] = &[
    "cni",
    "profile",
    "kube-apiserver-extra-mount",
    "kube-apiserver-extra-env",
    "kube-controller-manager-extra-mount",
    "control-plane-resource-requests",
    "control-plane-resource-limits",
    "control-plane-probe-configuration",
    "ingress-controller",
    "audit-policy-file",
    "cloud-provider-name",
    "kube-apiserver-image",
];
/// Keys that both know and nothing else has.
const BOTH: &[&str] = &[
    "kube-apiserver-arg",
    "kube-apiserver-arg+",
    "kube-controller-manager-arg",
    "write-kubeconfig-mode",
    "write-kubeconfig",
    "tls-san",
    "cluster-init",
    "kubelet-arg",
    "node-label",
    "node-taint",
    "cluster-cidr",
    "service-cidr",
    "etcd-expose-metrics",
    "secrets-encryption",
];

fn recognise(document: &Value, path: &FilePath) -> Option<String> {
    evidence(document, path, ["k3s", "rke2"], ONLY_K3S, ONLY_RKE2)
}

/// Evidence for one of the two, unless there is evidence for the other.
pub(super) fn evidence(
    document: &Value,
    path: &FilePath,
    [ours, theirs]: [&str; 2],
    only_ours: &[&str],
    only_theirs: &[&str],
) -> Option<String> {
    let keys = document.as_object()?;
    if keys.contains_key("apiVersion") || keys.contains_key("kind") {
        return None;
    }
    let named = |names: &[&str]| {
        names
            .iter()
            .copied()
            .find(|name| keys.contains_key(*name))
            .map(str::to_owned)
    };
    let inside = |program: &str| {
        let below = format!("/rancher/{program}");
        let values = keys
            .iter()
            .find(|(_, value)| value.to_string().contains(&below));
        let at = path
            .to_string_lossy()
            .contains(&below)
            .then(|| "its path".to_owned());
        at.or_else(|| values.map(|(key, _)| format!("{below} in {key}")))
    };
    let key = |name: String| format!("key {name}");
    let sure = |program, names| inside(program).or_else(|| named(names).map(key));
    match (sure(ours, only_ours), sure(theirs, only_theirs)) {
        (Some(evidence), None) => Some(evidence),
        (None, None) => named(BOTH).map(|name| format!("key {name}, which both have")),
        _ => None,
    }
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    of_program(documents, "k3s")
}

/// The components of either program.
pub(super) fn of_program(
    documents: &[Value],
    program: &str,
) -> Result<Vec<Component>, ComponentError> {
    let [document] = documents else {
        return Err(ComponentError::None);
    };
    let keys = document.as_object().ok_or(ComponentError::None)?;
    for key in ["kube-apiserver-arg+", "kube-controller-manager-arg+"] {
        if keys.contains_key(key) {
            let error = ShapeError::Additive {
                path: Path::root(),
                text: key.to_owned(),
            };
            return Err(error.into());
        }
    }
    let text = |key, default: &str| {
        document
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or(default)
            .to_owned()
    };
    let domain = text("cluster-domain", "cluster.local");
    let tls = format!(
        "{}/server/tls",
        text("data-dir", &format!("/var/lib/rancher/{program}")).trim_end_matches('/')
    );
    let issuer = format!("https://kubernetes.default.svc.{domain}");
    let component = |role, key, defaults: Vec<(Flag, String)>| Component {
        role,
        place: Place::Document(0),
        shape: Shape::Arguments {
            lists: vec![Path::keys([key])],
            prefix: "",
        },
        defaults: TokenFlags::new(defaults),
        // RKE2 runs kube-apiserver in a pod, and mounts every file that an argument names.
        mounts: Mounts::Host,
    };
    Ok(vec![
        component(
            Role::ApiServer,
            "kube-apiserver-arg",
            vec![
                (Flag::ApiAudiences, format!("{issuer},{program}")),
                (Flag::Issuer, issuer),
                (Flag::KeyFile, format!("{tls}/service.key")),
                (Flag::SigningKeyFile, format!("{tls}/service.current.key")),
            ],
        ),
        component(
            Role::ControllerManager,
            "kube-controller-manager-arg",
            vec![(Flag::PrivateKeyFile, format!("{tls}/service.current.key"))],
        ),
    ])
}

pub(super) const KEYS: [&[&str]; 2] = [ONLY_K3S, ONLY_RKE2];
