//! A component of this control-plane node: what its manifest says, where its files are, and where it answers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use irsa_apiserver::component::{Component, Role};
use irsa_apiserver::distro::Distro;
use irsa_apiserver::file::{self, FileError};
use irsa_apiserver::flags::TokenFlags;
use irsa_apiserver::patch::{Manifest, PatchError};
use irsa_core::explain::Explain;
use serde_json::Value;

use super::about;
use super::servers::below;
use crate::report::Failure;

/// A manifest as it stands.
pub(crate) struct Standing {
    pub(crate) role: Role,
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) flags: TokenFlags,
    component: Component,
    document: Value,
    /// Where its component answers, as it stands in a URL.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Standing {
    pub(crate) fn read(path: PathBuf, role: Role) -> Result<Self, Failure> {
        let text = file::read(&path).map_err(|error| no_manifest(&path, role, error))?;
        let fail = |error: PatchError| about(&path, &error);
        let manifest = Manifest::read(&text, &path, Some(Distro::Kubeadm)).map_err(fail)?;
        let mut components = manifest.components.iter();
        let Some(component) = components.find(|component| component.role == role) else {
            return Err(Failure::usage(
                format!("{} has no {role}", path.display()),
                "name the manifest of this node's component",
            ));
        };
        let (flags, _) = manifest.flags(component).map_err(fail)?;
        let document = manifest.document(component).map_err(fail)?;
        let (port, host) = address(&document, role);
        let component = component.clone();
        Ok(Self {
            role,
            path,
            text,
            flags,
            component,
            document,
            host,
            port,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}:{}", self.host, self.port)
    }

    /// Where a file of the component is on this host.
    pub(crate) fn on_host(&self, root: &Path, file: &str) -> Option<PathBuf> {
        let host = self.component.mounts.host_path(&self.document, file)?;
        Some(below(root, &host))
    }
}

/// The file that kubeadm would have made is not there: another distribution starts the component in its own way.
#[derive(Debug, thiserror::Error)]
#[error("there is no manifest of {role} at \"{}\"", path.display())]
struct NoManifest {
    path: PathBuf,
    role: Role,
}

impl Explain for NoManifest {
    fn help(&self) -> Option<String> {
        Some(
            "name the static pod's manifest with --manifest or --controller-manager-manifest; where there is none (k3s, RKE2, \
             Talos, Cluster API and their like), irsa apiserver patch changes the file that its flags come from"
                .into(),
        )
    }
}

fn no_manifest(path: &Path, role: Role, error: FileError) -> Failure {
    match error {
        FileError::Io { source, .. } if source.kind() == ErrorKind::NotFound => NoManifest {
            path: path.to_owned(),
            role,
        }
        .into(),
        other => other.into(),
    }
}

/// The manifest of kube-controller-manager: the one that is named, else the one beside that of kube-apiserver.
pub(crate) fn controller_manager(manifest: &Path, named: Option<&Path>) -> Option<PathBuf> {
    let beside = manifest.with_file_name("kube-controller-manager.yaml");
    named
        .map(Path::to_owned)
        .or_else(|| beside.exists().then_some(beside))
}

/// Where a component answers on its node.
fn address(document: &Value, role: Role) -> (u16, String) {
    let (port, name, loopback) = match role {
        Role::ApiServer => (6443, "--advertise-address=", "127.0.0.1"),
        Role::ControllerManager => (10257, "--bind-address=", "127.0.0.1"),
    };
    let words = document.to_string();
    let value = |flag: &str| {
        let rest = words.split_once(flag)?.1;
        rest.split('"').next().map(str::to_owned)
    };
    let port = value("--secure-port=")
        .and_then(|text| text.parse().ok())
        .unwrap_or(port);
    let host = value(name)
        .filter(|host| host != "0.0.0.0" && host != "::")
        .unwrap_or_else(|| loopback.to_owned());
    (
        port,
        if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        },
    )
}
