//! The key files of this control-plane node, as its manifests name them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use irsa_apiserver::component::Role;
use irsa_apiserver::flags::Flag;
use irsa_core::block::KeyFile;
use irsa_core::keys::PublicKey;
use irsa_core::kid::Kid;
use irsa_core::observation::Disk;
use irsa_core::private::PrivateKeyPem;
use irsa_issuer::keyfile::{self, KeyFileError};

use super::gates::Known;
use super::node::Node;
use crate::commands::apiserver::standing::{Standing, controller_manager};
use crate::report::Failure;

/// What the API server of this node would load if it started now.
pub(super) fn disk(node: &Node<'_>, seen: &mut Known) -> Result<Disk, Failure> {
    let files = node.files()?;
    let mut trusted = BTreeSet::new();
    for (_, path) in &files.trusted {
        for key in public_keys(path)? {
            trusted.insert(key.kid());
            seen.insert(key.kid(), key);
        }
    }
    let mut signer = |path: &Path| -> Result<Kid, Failure> {
        // The component's own file: its mode is its owner's business here.
        let bytes = keyfile::read_regular(path).map_err(|error| missing(path, error))?;
        let key = PrivateKeyPem::parse(&bytes)?;
        let key = key.public_key();
        seen.insert(key.kid(), key.clone());
        Ok(key.kid())
    };
    let signing = signer(&files.signing)?;
    let controller = files.controller.as_deref().map(signer).transpose()?;
    Ok(Disk {
        trusted,
        signing,
        controller,
        copies: node.copies().names()?,
        spare: spare(&node.root),
    })
}

/// A key file that a rotation has placed, and that is gone, rests elsewhere too.
fn missing(path: &Path, error: KeyFileError) -> Failure {
    let gone = matches!(&error, KeyFileError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound);
    let kid = path.file_stem().and_then(|stem| Kid::parse(stem.to_str()?));
    match kid.filter(|_| gone) {
        Some(kid) => Failure::failed(
            format!(
                "{}, which a manifest names for signing, is missing",
                path.display()
            ),
            format!(
                "put it back, with mode 0600: {kid}.key is also where private keys rest (--private-keys, or --state)"
            ),
        ),
        None => error.into(),
    }
}

/// Where kubeadm keeps the pair that it gives to manifests which it writes anew, and to nodes that join.
const SPARE: [&str; 2] = ["/etc/kubernetes/pki/sa.key", "/etc/kubernetes/pki/sa.pub"];

/// The keys there. Nothing depends on them now: what cannot be read is left out.
fn spare(root: &Path) -> BTreeMap<String, BTreeSet<Kid>> {
    let kids = |path: &Path| -> Option<BTreeSet<Kid>> {
        let bytes = keyfile::read_regular(path).ok()?;
        if path.extension().is_some_and(|end| end == "key") {
            let key = PrivateKeyPem::parse(&bytes).ok()?;
            return Some([key.public_key().kid()].into());
        }
        let keys = KeyFile::parse(&bytes).apiserver_keys().ok()?;
        Some(keys.into_iter().map(|(_, key)| key.kid()).collect())
    };
    let found = SPARE.iter().filter_map(|path| {
        let here = root.join(path.trim_start_matches('/'));
        Some(((*path).to_owned(), kids(&here)?))
    });
    found.collect()
}

/// The keys of a file of an API server.
pub(super) fn public_keys(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    let keys = KeyFile::parse(&keyfile::read_regular(path)?).apiserver_keys();
    let keys = keys.map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "irsa keys inspect FILE shows what each block of the file is",
        )
    })?;
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// The key files that manifests name, where they are on this host.
pub(super) struct Files {
    /// As the API server sees each, and as this host does.
    pub(super) trusted: Vec<(String, PathBuf)>,
    /// On this host.
    pub(super) signing: PathBuf,
    /// The controller-manager's, on this host.
    pub(super) controller: Option<PathBuf>,
}

impl Node<'_> {
    /// The key files of this node's API server, and of the controller-manager beside it.
    pub(super) fn files(&self) -> Result<Files, Failure> {
        let server = Standing::read(self.manifest.clone(), Role::ApiServer)?;
        let usage = |what: &str| {
            Failure::usage(
                format!("{} {what}", self.manifest.display()),
                "name the static pod manifest of kube-apiserver with --manifest",
            )
        };
        let mut trusted = Vec::new();
        for file in server.flags.values(Flag::KeyFile) {
            trusted.push((file.clone(), self.mounted(&server, file)?));
        }
        let signing = server.flags.value(Flag::SigningKeyFile);
        let signing =
            signing.ok_or_else(|| usage("names no --service-account-signing-key-file"))?;
        Ok(Files {
            trusted,
            signing: self.mounted(&server, signing)?,
            controller: self.controller()?,
        })
    }

    /// The key file of this node's controller-manager; none if the node has none, or gives it no key.
    fn controller(&self) -> Result<Option<PathBuf>, Failure> {
        let named = self.controller_manager_manifest.as_deref();
        let Some(manifest) = controller_manager(&self.manifest, named) else {
            return Ok(None);
        };
        let manager = Standing::read(manifest, Role::ControllerManager)?;
        let file = manager.flags.value(Flag::PrivateKeyFile);
        file.map(|file| self.mounted(&manager, file)).transpose()
    }

    /// Where a file of a component is on this host.
    fn mounted(&self, component: &Standing, file: &str) -> Result<PathBuf, Failure> {
        component.on_host(&self.root, file).ok_or_else(|| {
            Failure::usage(
                format!("{} does not mount {file}", component.path.display()),
                "mount its directory, or name a file below a directory that is mounted",
            )
        })
    }
}
