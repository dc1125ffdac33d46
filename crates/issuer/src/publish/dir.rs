//! A directory that a web server serves: each document is replaced whole, by rename.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use irsa_core::change::Expected;
use irsa_core::jwks::MAX_DOCUMENT_BYTES;
use irsa_core::publication::Stored;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::keyfile::{parent, sync_directory};
use crate::publish::{PublishError, Publisher};

/// A directory, observed: reading needs no lock.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

/// A directory that this run alone writes to until it is dropped.
#[derive(Debug)]
pub struct LockedDirectory {
    directory: Directory,
    _lock: File,
}

impl Directory {
    /// The directory that holds an issuer's documents.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Keeps other runs away. The directory is made if it is missing.
    pub fn lock(self) -> Result<LockedDirectory, PublishError> {
        let fail = |source| PublishError::Io {
            path: self.root.clone(),
            action: "written",
            source,
        };
        fs::create_dir_all(&self.root).map_err(fail)?;
        // On the directory itself, so that no lock file is left for the web server to serve.
        let lock = File::open(&self.root).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(LockedDirectory {
                directory: self,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(PublishError::Busy(self.root)),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    fn read(&self, path: &str) -> Result<Option<Stored>, PublishError> {
        let path = self.root.join(path);
        let fail = |source| PublishError::Io {
            path: path.clone(),
            action: "read",
            source,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(fail(source)),
        };
        let mut bytes = Vec::new();
        // One byte more than is accepted, so that core refuses it as too large rather than as cut short.
        file.take(MAX_DOCUMENT_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
        let tag = base16ct::lower::encode_string(&Sha256::digest(&bytes));
        Ok(Some(Stored { bytes, tag }))
    }
}

impl LockedDirectory {
    fn write(&self, path: &str, bytes: &[u8], expected: &Expected) -> Result<(), PublishError> {
        let found = self.directory.read(path)?;
        let unchanged = match (expected, &found) {
            (Expected::Absent, None) => true,
            (Expected::Unchanged(tag), Some(stored)) => *tag == stored.tag,
            _ => false,
        };
        if !unchanged {
            return Err(PublishError::Conflict(path.to_owned()));
        }
        let target = self.directory.root.join(path);
        replace(&target, bytes, *expected == Expected::Absent).map_err(|source| {
            match source.kind() {
                io::ErrorKind::AlreadyExists => PublishError::Conflict(path.to_owned()),
                _ => PublishError::Io {
                    path: target.clone(),
                    action: "written",
                    source,
                },
            }
        })
    }
}

impl Publisher for Directory {
    async fn get(&self, path: &str) -> Result<Option<Stored>, PublishError> {
        self.read(path)
    }

    async fn put_if(&self, path: &str, _: &[u8], _: &Expected) -> Result<(), PublishError> {
        // A directory is written only under its lock.
        Err(PublishError::Busy(self.root.join(path)))
    }
}

impl Publisher for LockedDirectory {
    async fn get(&self, path: &str) -> Result<Option<Stored>, PublishError> {
        self.directory.read(path)
    }

    async fn put_if(
        &self,
        path: &str,
        bytes: &[u8],
        expected: &Expected,
    ) -> Result<(), PublishError> {
        self.write(path, bytes, expected)
    }
}

/// Puts a file in place whole and durably. It is public: 0644, for the web server.
fn replace(target: &Path, bytes: &[u8], create: bool) -> io::Result<()> {
    let directory = parent(target);
    fs::create_dir_all(directory)?;
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    if create {
        file.persist_noclobber(target)?;
    } else {
        file.persist(target)?;
    }
    sync_directory(directory)
}
