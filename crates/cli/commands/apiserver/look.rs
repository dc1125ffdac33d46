//! What the flags of a file say, and what the key files behind them are on this host.

use std::io;
use std::path::Path;

use irsa_apiserver::component::{Component, Role};
use irsa_apiserver::environment;
use irsa_apiserver::findings::{Inspected, Seen};
use irsa_apiserver::flags::{Flag, TokenFlags};
use irsa_apiserver::patch::{Manifest, PatchError};
use irsa_apiserver::shape::Occurrence;
use irsa_core::block::KeyFile;
use irsa_core::explain::Explain as _;
use irsa_core::kid::Kid;
use irsa_core::private::PrivateKeyPem;
use irsa_issuer::keyfile;

use super::servers::below;

/// One component with everything that was found out about it.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) role: Role,
    occurrences: Vec<Occurrence>,
    /// The line of each occurrence.
    pub(super) lines: Vec<Option<usize>>,
    /// What the file says.
    pub(super) written: TokenFlags,
    /// What is in force.
    pub(super) flags: TokenFlags,
    whole: bool,
    key_files: Vec<(String, Seen<KeyFile>)>,
    signing: Option<(String, Seen<Kid>)>,
}

impl Looked {
    pub(super) fn inspected(&self) -> Inspected<'_> {
        Inspected {
            role: self.role,
            occurrences: &self.occurrences,
            flags: &self.flags,
            whole: self.whole,
            key_files: &self.key_files,
            signing: self.signing.as_ref(),
        }
    }
}

/// Looks at one component, and at its key files below `root`.
pub(super) fn look(
    manifest: &Manifest<'_>,
    component: &Component,
    root: &Path,
) -> Result<Looked, PatchError> {
    let document = manifest.document(component)?;
    let mut occurrences = component.shape.read(&document)?;
    for one in &mut occurrences {
        one.value = environment::expanded(component, &document, &one.value);
    }
    let written = occurrences.iter().map(|one| (one.flag, one.value.clone()));
    let written = TokenFlags::new(written);
    let flags = written.or(&component.defaults);
    let lines = occurrences
        .iter()
        .map(|one| manifest.line(component, &one.path))
        .collect();
    let open = |file: &str| match component.mounts.host_path(&document, file) {
        None => Seen::NotMounted,
        Some(on_host) => read(&below(root, &on_host)),
    };
    // A path that the distribution chose is no fault of the file.
    let is_written = |flag, value: &str| written.values(flag).iter().any(|one| one == value);
    let fault = |flag, file: &str| match open(file) {
        Seen::NotMounted | Seen::Missing if !is_written(flag, file) => Seen::NotHere,
        seen => seen,
    };
    let key_files = flags
        .values(Flag::KeyFile)
        .iter()
        .map(|file| {
            let seen = fault(Flag::KeyFile, file);
            (file.clone(), seen.map(|text| Ok(KeyFile::parse(&text))))
        })
        .collect();
    let signing_flag = match component.role {
        Role::ApiServer => Flag::SigningKeyFile,
        Role::ControllerManager => Flag::PrivateKeyFile,
    };
    let signing = flags.value(signing_flag).map(|file| {
        let kid = fault(signing_flag, file).map(|text| match PrivateKeyPem::parse(&text) {
            Ok(key) => Ok(key.public_key().kid()),
            Err(error) => Err(error.to_string()),
        });
        (file.to_owned(), kid)
    });
    Ok(Looked {
        role: component.role,
        occurrences,
        lines,
        written,
        flags,
        whole: component.is_whole(),
        key_files,
        signing,
    })
}

/// A key file of this host.
fn read(path: &Path) -> Seen<zeroize::Zeroizing<Vec<u8>>> {
    // Opening a pipe would wait for somebody to write into it.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Seen::Unreadable("it is not a regular file".to_owned());
    }
    match keyfile::read(path) {
        Ok(text) => Seen::Read(text),
        Err(keyfile::KeyFileError::Read { source, .. }) => match source.kind() {
            io::ErrorKind::NotFound => absent(path),
            io::ErrorKind::PermissionDenied => Seen::Denied,
            _ => Seen::Unreadable(source.to_string()),
        },
        Err(error) => Seen::Unreadable(error.help().unwrap_or_else(|| error.to_string())),
    }
}

/// Where not even the directory is, the manifest may be of another host.
fn absent<T>(path: &Path) -> Seen<T> {
    let listed = path.parent().map(Path::read_dir);
    if listed.is_some_and(|entries| entries.is_ok()) {
        Seen::Missing
    } else {
        Seen::NotHere
    }
}
