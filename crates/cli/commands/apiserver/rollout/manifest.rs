//! A manifest of this node: what it says, what it becomes, and where its component answers.

use std::path::{Path, PathBuf};

use irsa_apiserver::component::{Component, Role};
use irsa_apiserver::distro::Distro;
use irsa_apiserver::file::{self, Backups};
use irsa_apiserver::flags::TokenFlags;
use irsa_apiserver::patch::{Manifest, PatchError, Patched};
use irsa_apiserver::plan::{Phase, Wanted};
use serde_json::Value;

use super::super::about;
use super::super::servers::below;
use crate::report::Failure;

/// A manifest as it stands.
pub(super) struct Standing {
    pub(super) role: Role,
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) flags: TokenFlags,
    pub(super) mounted: Mounted,
    /// Where its component answers, as it stands in a URL.
    pub(super) host: String,
    pub(super) port: u16,
}

/// A manifest with what it becomes.
pub(super) struct File {
    pub(super) standing: Standing,
    pub(super) patched: Patched,
}

/// Where a component's files are on the host.
pub(super) struct Mounted {
    component: Component,
    document: Value,
}

impl Standing {
    pub(super) fn read(path: PathBuf, role: Role) -> Result<Self, Failure> {
        let text = file::read(&path)?;
        let fail = |error: PatchError| about(&path, &error);
        let manifest = Manifest::read(&text, &path, Some(Distro::Kubeadm)).map_err(fail)?;
        let mut components = manifest.components.iter();
        let Some(component) = components.find(|component| component.role == role) else {
            return Err(Failure::usage(
                format!("{} has no {role}", path.display()),
                "name its manifest",
            ));
        };
        let (flags, _) = manifest.flags(component).map_err(fail)?;
        let document = manifest.document(component).map_err(fail)?;
        let (port, host) = address(&document, role);
        let component = component.clone();
        Ok(Self {
            role,
            text,
            flags,
            mounted: Mounted {
                component,
                document,
            },
            host,
            port,
            path,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}:{}", self.host, self.port)
    }

    /// Where a file of the component is on this host.
    pub(super) fn on_host(&self, root: &Path, file: &str) -> Option<PathBuf> {
        let Mounted {
            component,
            document,
        } = &self.mounted;
        let host = component.mounts.host_path(document, file)?;
        Some(below(root, &host))
    }
}

impl File {
    pub(super) fn of(standing: Standing, wanted: &Wanted, phase: Phase) -> Result<Self, Failure> {
        let fail = |error: PatchError| about(&standing.path, &error);
        let manifest = Manifest::read(&standing.text, &standing.path, Some(Distro::Kubeadm));
        let patched = manifest
            .and_then(|manifest| manifest.patch(wanted, phase))
            .map_err(fail)?;
        Ok(Self { standing, patched })
    }

    pub(super) fn changes(&self) -> bool {
        self.patched.text != self.standing.text
    }

    /// Replaces the manifest. The change is on record as not proved, before it is made.
    pub(super) fn write(
        &self,
        backups: &Backups,
        phase: Phase,
        started: f64,
    ) -> Result<PathBuf, Failure> {
        let (path, before, after) = (&self.standing.path, &self.standing.text, &self.patched.text);
        let backup = backups.save_unproved(path, [before, after], phase_name(phase), started)?;
        file::replace(path, before, after)?;
        Ok(backup)
    }
}

/// Puts a manifest back that says `current`, byte for byte, as it was when it was last proved, and forgets what was
/// changed since.
pub(super) fn restore(path: &Path, current: &str, backups: &Backups) -> Result<(), Failure> {
    let saved = backups.last_proved(path, current)?;
    Ok(saved.restore(path, current)?)
}

/// The manifest of kube-controller-manager: the one that is named, else the one beside that of kube-apiserver.
pub(super) fn controller_manager(manifest: &Path, named: Option<&Path>) -> Option<PathBuf> {
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

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Accept => "accept",
        Phase::Sign => "sign",
        Phase::New => "new",
        Phase::Retire => "retire",
    }
}
