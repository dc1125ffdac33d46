//! The keys named on a command line or in the config: files, and directories of `*.pub` files.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use irsa_core::block::publishable::UnpublishableFile;
use irsa_core::block::{ApiserverRefusal, KeyFile};
use irsa_core::explain::Explain;
use irsa_core::keys::PublicKey;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::keyfile::{self, KeyFileError};

/// A key and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcedKey {
    /// The file.
    pub path: PathBuf,
    /// The line of its block.
    pub line: usize,
    /// The key.
    pub key: PublicKey,
}

/// A block of which we publish something else than kube-apiserver would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// The file.
    pub path: PathBuf,
    /// The line of its block.
    pub line: usize,
    /// What we do with it, and what kube-apiserver does.
    pub reason: String,
}

/// Keys in the order of the files.
#[derive(Debug, Clone, Default)]
pub struct LoadedKeys {
    /// The keys, repetitions included.
    pub keys: Vec<SourcedKey>,
    /// Where kube-apiserver would serve something else.
    pub deviations: Vec<Deviation>,
    /// The files with private keys, of which the public half is taken, and the lines of these.
    pub private: Vec<(PathBuf, usize)>,
}

/// Why keys cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeysetError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A directory without public keys.
    #[error("directory \"{}\" has no file *.pub", .0.display())]
    NoPublicFiles(PathBuf),
    /// A file that is not published from.
    #[error("key file \"{}\" is not published from", path.display())]
    Unpublishable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: UnpublishableFile,
    },
    /// A file that kube-apiserver would refuse.
    #[error("kube-apiserver would serve no documents with key file \"{}\"", path.display())]
    Apiserver {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ApiserverRefusal,
    },
}

impl Explain for KeysetError {
    fn help(&self) -> Option<String> {
        match self {
            Self::File(error) => error.help(),
            Self::NoPublicFiles(_) => Some(
                "of a directory only *.pub files are read, so that no CA certificate or private key is published by \
                 accident; name other files one by one"
                    .into(),
            ),
            Self::Unpublishable { source, .. } => source.help(),
            Self::Apiserver { path, .. } => {
                Some(format!("irsa keys inspect {} shows what it makes of each block", path.display()))
            }
        }
    }
}

impl LoadedKeys {
    /// What is to be said where documents are published from private keys.
    pub fn warnings_of_private(&self) -> impl Iterator<Item = String> {
        self.private.iter().map(|(path, line)| {
            format!(
                "{}:{line}: a private key: its public half is published. Name a file with the public half alone \
                 (openssl pkey -in FILE -pubout): the private half does not belong where documents are served from",
                path.display()
            )
        })
    }

    /// The keys alone.
    pub fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().map(|sourced| &sourced.key)
    }
}

/// Every publishable key of these files and directories.
pub fn load(paths: &[PathBuf]) -> Result<LoadedKeys, KeysetError> {
    load_by(paths, keyfile::read)
}

/// The same, of regular files only: see [`keyfile::read_regular`].
pub fn load_regular(paths: &[PathBuf]) -> Result<LoadedKeys, KeysetError> {
    load_by(paths, keyfile::read_regular)
}

type Reading = fn(&Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError>;

fn load_by(paths: &[PathBuf], read: Reading) -> Result<LoadedKeys, KeysetError> {
    let mut loaded = LoadedKeys::default();
    for path in expand(paths)? {
        let file = KeyFile::parse(&read(&path)?);
        let private = file.blocks.iter().filter(|block| block.is_private());
        loaded
            .private
            .extend(private.map(|block| (path.clone(), block.line)));
        let keys = file
            .publishable_keys()
            .map_err(|source| KeysetError::Unpublishable {
                path: path.clone(),
                source,
            })?;
        for found in keys {
            let (path, line) = (path.clone(), found.line);
            if let Some(reason) = found.skipped_by_apiserver {
                let reason = format!(
                    "published, but skipped by kube-apiserver as --service-account-key-file: {reason}"
                );
                let path = path.clone();
                loaded.deviations.push(Deviation { path, line, reason });
            }
            if loaded.keys.iter().any(|before| before.key == found.key) {
                loaded.deviations.push(Deviation {
                    path: path.clone(),
                    line,
                    reason:
                        "the same key again: published once, where kube-apiserver serves it twice"
                            .to_owned(),
                });
            }
            loaded.keys.push(SourcedKey {
                path,
                line,
                key: found.key,
            });
        }
    }
    Ok(loaded)
}

/// The keys that kube-apiserver would load if each file were one of its `--service-account-key-file` flags.
pub fn load_as_apiserver(paths: &[PathBuf]) -> Result<Vec<SourcedKey>, KeysetError> {
    let mut keys = Vec::new();
    for path in expand(paths)? {
        let file = KeyFile::parse(&keyfile::read(&path)?);
        let found = file
            .apiserver_keys()
            .map_err(|source| KeysetError::Apiserver {
                path: path.clone(),
                source,
            })?;
        keys.extend(found.into_iter().map(|(line, key)| SourcedKey {
            path: path.clone(),
            line,
            key,
        }));
    }
    Ok(keys)
}

/// The files behind a list of files and directories: of a directory its `*.pub` files in the order of their names.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, KeysetError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut inside = public_files(path)?;
            if inside.is_empty() {
                return Err(KeysetError::NoPublicFiles(path.clone()));
            }
            inside.sort();
            files.append(&mut inside);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn public_files(directory: &Path) -> Result<Vec<PathBuf>, KeyFileError> {
    let fail = |source| KeyFileError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        // Through symbolic links, as in a mounted ConfigMap; its hidden ..data entries have no such extension.
        // A link to nowhere counts: reading it fails, where leaving it out would withdraw its key in silence.
        if path.extension().is_none_or(|extension| extension != "pub") || path.is_dir() {
            continue;
        }
        // Whoever opens a pipe waits for its writer: an endpoint that follows the directory would wait for ever.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(KeyFileError::Read {
                path,
                source: io::Error::other("it is a pipe, a socket or a device, expected a file"),
            });
        }
        files.push(path);
    }
    Ok(files)
}

/// What tells that key files may have changed, without reading them: cheap enough to ask every few seconds for ten
/// thousand issuers. A ConfigMap update swaps a symbolic link, so the inode differs. A digest, since ten thousand lists
/// of paths and times are megabytes. The default is that of no file at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp([u8; 32]);

impl Default for Stamp {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Stamp {
    /// The state of these files and directories now; what cannot be read counts as absent.
    pub fn of(paths: &[PathBuf]) -> Self {
        let mut digest = Sha256::new();
        for path in expand(paths).unwrap_or_else(|_| paths.to_vec()) {
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            // No path holds a NUL: where one ends and its numbers begin is never in doubt.
            digest.update(path.as_os_str().as_bytes());
            digest.update([0]);
            for whole in [metadata.dev(), metadata.ino(), metadata.size()] {
                digest.update(whole.to_be_bytes());
            }
            let (modified, changed) = (
                (metadata.mtime(), metadata.mtime_nsec()),
                (metadata.ctime(), metadata.ctime_nsec()),
            );
            for (seconds, nanoseconds) in [modified, changed] {
                digest.update(seconds.to_be_bytes());
                digest.update(nanoseconds.to_be_bytes());
            }
        }
        Self(digest.finalize().into())
    }
}

/// When a key file was written: the age of a key, as far as a file tells.
pub fn written(path: &Path) -> SystemTime {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use irsa_core::algorithm::Curve;
    use irsa_core::private::PrivateKeyPem;

    use super::*;

    fn public(scalar: u8) -> String {
        PrivateKeyPem::from_scalar(Curve::P256, &[scalar])
            .unwrap()
            .public_key()
            .to_pem()
    }

    #[test]
    fn of_a_directory_only_public_files_are_read_in_order() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("b.pub"), public(1)).unwrap();
        fs::write(home.path().join("a.pub"), public(2)).unwrap();
        fs::write(home.path().join("ca.crt"), "not read").unwrap();
        let loaded = load(&[home.path().to_owned()]).unwrap();
        let names: Vec<_> = loaded
            .keys
            .iter()
            .map(|k| k.path.file_name().unwrap())
            .collect();
        assert_eq!(names, ["a.pub", "b.pub"]);
    }

    #[test]
    fn what_is_no_file_in_a_directory_is_refused_and_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("a.pub"), public(1)).unwrap();
        // Links to files are what a mounted ConfigMap is made of.
        std::os::unix::fs::symlink("a.pub", home.path().join("b.pub")).unwrap();
        assert_eq!(load(&[home.path().to_owned()]).unwrap().keys.len(), 2);
        let socket = home.path().join("c.pub");
        let _bound = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = load(&[home.path().to_owned()]).unwrap_err();
        assert!(error.to_string().contains("c.pub"), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("a pipe, a socket or a device"), "{source}");
    }

    #[test]
    fn errors_name_file_and_line() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(
            load(&[home.path().to_owned()]),
            Err(KeysetError::NoPublicFiles(_))
        ));
        let path = home.path().join("bad.pub");
        let text = format!("# x\n{}", public(1).replace("\nMF", "\nM!"));
        fs::write(&path, text).unwrap();
        let error = load(&[path]).unwrap_err();
        assert!(error.to_string().contains("bad.pub"));
        assert!(
            std::error::Error::source(&error)
                .unwrap()
                .to_string()
                .starts_with("line 2: ")
        );
    }

    #[test]
    fn a_private_key_is_told_by_file_and_line() {
        let home = tempfile::tempdir().unwrap();
        let private = PrivateKeyPem::from_scalar(Curve::P256, &[3]).unwrap();
        let text = format!("# x\n{}{}", public(1), private.expose_pem());
        fs::write(home.path().join("oops.pub"), text).unwrap();
        fs::write(home.path().join("a.pub"), public(2)).unwrap();
        let loaded = load(&[home.path().to_owned()]).unwrap();
        assert_eq!(loaded.keys.len(), 3);
        let said: Vec<_> = loaded.warnings_of_private().collect();
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("oops.pub:6: a private key"), "{said:?}");
    }

    #[test]
    fn a_stamp_changes_with_the_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.pub");
        fs::write(&path, public(1)).unwrap();
        let paths = [home.path().to_owned()];
        let before = Stamp::of(&paths);
        assert_eq!(before, Stamp::of(&paths));
        fs::write(home.path().join("b.pub"), public(2)).unwrap();
        assert_ne!(before, Stamp::of(&paths));
        assert_eq!(Stamp::of(&[home.path().join("absent")]), Stamp::default());
    }
}
