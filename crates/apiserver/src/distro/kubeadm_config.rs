//! kubeadm's `ClusterConfiguration`: what `kubeadm init` and `kubeadm upgrade` write the manifests from.
//!
//! A flag in `extraArgs` replaces every value that kubeadm would set for it (`ArgumentsToCommand`), so the old issuer
//! and key file are written out beside ours. Since v1beta4 (kubeadm 1.31) `extraArgs` is a list and may repeat a flag;
//! in v1beta3 it is a mapping, and two issuers cannot be said in it.

use std::path::Path as FilePath;

use serde_json::Value;

use super::{Distro, Knowledge};
use crate::component::{Component, ComponentError, Place, Role};
use crate::edit::Path;
use crate::flags::{Flag, TokenFlags};
use crate::mounts::Mounts;
use crate::shape::Shape;

const GROUP: &str = "kubeadm.k8s.io";

pub(super) const KNOWLEDGE: Knowledge = Knowledge {
    distro: Distro::KubeadmConfig,
    name: "kubeadm-config",
    recognise,
    components,
    next: "on a live cluster: kubeadm init phase upload-config kubeadm --config FILE, then on each control-plane node in turn \
           kubeadm init phase control-plane apiserver --config FILE, and wait until that API server is ready",
    keys: "",
    new: "kubeadm init --config FILE",
    only_one: "a mapping holds each flag once: convert the file with kubeadm config migrate to v1beta4, whose extraArgs is a list; for a cluster that \
               does not exist yet one issuer is enough: --phase new",
};

/// What kubeadm mounts into its static pods by itself; in the place of the first one, `certificatesDir`.
pub(super) const MOUNTED: &[&str] = &[
    "/etc/kubernetes/pki",
    "/etc/ssl/certs",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

fn mounted(certificates: &str) -> Vec<String> {
    let others = MOUNTED.iter().skip(1).copied();
    let all = std::iter::once(certificates).chain(others);
    all.map(str::to_owned).collect()
}

fn recognise(document: &Value, _: &FilePath) -> Option<String> {
    super::has_type(document, GROUP, &["ClusterConfiguration"])
}

fn components(documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
    let mut found = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        if recognise(document, FilePath::new("")).is_none() {
            continue;
        }
        if !found.is_empty() {
            return Err(ComponentError::Twice(Role::ApiServer));
        }
        let version = super::type_of(document).map_or("", |(version, _)| version);
        let form = match version {
            "kubeadm.k8s.io/v1beta4" => Form::List,
            "kubeadm.k8s.io/v1beta3" | "kubeadm.k8s.io/v1beta2" => Form::Map,
            _ => {
                return Err(ComponentError::Version {
                    found: version.to_owned(),
                    expected: "kubeadm.k8s.io/v1beta4 or v1beta3",
                });
            }
        };
        found = cluster_configuration(document, &Path::root(), &Place::Document(index), form);
    }
    if found.is_empty() {
        return Err(ComponentError::None);
    }
    Ok(found)
}

/// How `extraArgs` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Since v1beta4; a name may be repeated.
    List,
    /// The list of Cluster API and of kind, where the last of a name wins or two are refused.
    UniqueList,
    /// Up to v1beta3.
    Map,
}

/// The components of a `ClusterConfiguration`, wherever it stands.
pub(super) fn cluster_configuration(
    document: &Value,
    root: &Path,
    place: &Place,
    form: Form,
) -> Vec<Component> {
    let configuration = root.find(document).unwrap_or(&Value::Null);
    let text = |pointer| configuration.pointer(pointer).and_then(Value::as_str);
    let domain = text("/networking/dnsDomain").unwrap_or("cluster.local");
    let directory = text("/certificatesDir").unwrap_or("/etc/kubernetes/pki");
    let component = |role, key, defaults| {
        let part = root.key(key);
        let extra = part.key("extraArgs");
        Component {
            role,
            place: place.clone(),
            shape: match form {
                Form::List | Form::UniqueList => Shape::Named {
                    path: extra,
                    unique: form == Form::UniqueList,
                },
                Form::Map => Shape::Map {
                    path: extra,
                    lists: false,
                    denied: &[],
                },
            },
            defaults: TokenFlags::new(defaults),
            mounts: Mounts::Volumes {
                path: part.key("extraVolumes"),
                read_only: "readOnly",
                named: true,
                visible: mounted(directory),
            },
        }
    };
    vec![
        component(
            Role::ApiServer,
            "apiServer",
            vec![
                (
                    Flag::Issuer,
                    format!("https://kubernetes.default.svc.{domain}"),
                ),
                (Flag::KeyFile, format!("{directory}/sa.pub")),
                (Flag::SigningKeyFile, format!("{directory}/sa.key")),
            ],
        ),
        component(
            Role::ControllerManager,
            "controllerManager",
            vec![(Flag::PrivateKeyFile, format!("{directory}/sa.key"))],
        ),
    ]
}

#[cfg(test)]
#[path = "kubeadm_config_tests.rs"]
mod tests;
