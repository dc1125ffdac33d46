//! Signing keys at rest: `KID.key` and `KID.pub`, named for what they are, so that no other file is taken for one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use irsa_core::kid::Kid;
use irsa_core::private::PrivateKeyPem;

use super::secret::SecretKeys;
use super::{StateError, dir};
use crate::keyfile::{self, KeyFileError, PairPaths};

/// A place where private keys rest, of any kind.
#[derive(Debug, Clone)]
pub enum AnyKeys {
    /// A directory of this host.
    Directory(KeysAtRest),
    /// A Secret of the cluster.
    Secret(Box<SecretKeys>),
}

impl AnyKeys {
    /// The keys whose private half is there, read back.
    pub async fn kids(&self) -> Result<BTreeSet<Kid>, StateError> {
        match self {
            Self::Directory(keys) => keys.kids(),
            Self::Secret(keys) => keys.kids().await,
        }
    }

    /// A key.
    pub async fn read(&self, kid: &Kid) -> Result<PrivateKeyPem, StateError> {
        match self {
            Self::Directory(keys) => Ok(keys.read(kid)?),
            Self::Secret(keys) => keys.read(kid).await,
        }
    }

    /// Stores a new key durably.
    pub async fn store(&self, key: &PrivateKeyPem) -> Result<(), StateError> {
        match self {
            Self::Directory(keys) => Ok(keys.store(key)?),
            Self::Secret(keys) => keys.store(key).await,
        }
    }

    /// Destroys a key.
    pub async fn erase(&self, kid: &Kid) -> Result<(), StateError> {
        match self {
            Self::Directory(keys) => keys.erase(kid),
            Self::Secret(keys) => keys.erase(kid).await,
        }
    }
}

/// A directory of signing keys.
#[derive(Debug, Clone)]
pub struct KeysAtRest(PathBuf);

impl KeysAtRest {
    /// The keys in a directory.
    pub fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// The files of a key.
    pub fn paths(&self, kid: &Kid) -> PairPaths {
        PairPaths::new(&self.0, kid.as_str())
    }

    /// The keys whose private half is there, read back: a file that holds another key than its name says, or none, is
    /// no key at rest.
    pub fn kids(&self) -> Result<BTreeSet<Kid>, StateError> {
        let mut found = BTreeSet::new();
        for path in self.files()? {
            if path.extension() != Some(Path::new("key").as_os_str()) {
                continue;
            }
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let Some(kid) = stem.and_then(Kid::parse) else {
                continue;
            };
            if self
                .read(&kid)
                .is_ok_and(|key| key.public_key().kid() == kid)
            {
                found.insert(kid);
            }
        }
        Ok(found)
    }

    /// A key.
    pub fn read(&self, kid: &Kid) -> Result<PrivateKeyPem, KeyFileError> {
        keyfile::read_private(&self.paths(kid).private)
    }

    /// Stores a new key: durable, and 0600 from its first byte.
    pub fn store(&self, key: &PrivateKeyPem) -> Result<(), KeyFileError> {
        self.paths(&key.public_key().kid()).create(key)
    }

    /// Writes the public half again, if a crash came between the two files.
    pub fn restore_public(&self, kid: &Kid) -> Result<PathBuf, KeyFileError> {
        let paths = self.paths(kid);
        paths.restore_public()?;
        Ok(paths.public)
    }

    /// Destroys a key. What a file system keeps of removed files is its own business.
    pub fn erase(&self, kid: &Kid) -> Result<(), StateError> {
        let paths = self.paths(kid);
        for path in [paths.private, paths.public] {
            dir::remove(&path).map_err(|source| StateError::Io {
                path,
                action: "removed",
                source,
            })?;
        }
        Ok(())
    }

    /// The keys of which a half is there, whatever is in it.
    pub fn names(&self) -> Result<BTreeSet<Kid>, StateError> {
        let files = self.files()?;
        let name = |path: PathBuf| {
            let ends = path
                .extension()
                .is_some_and(|end| end == "key" || end == "pub");
            Kid::parse(path.file_stem()?.to_str()?).filter(|_| ends)
        };
        Ok(files.into_iter().filter_map(name).collect())
    }

    fn files(&self) -> Result<Vec<PathBuf>, StateError> {
        let fail = |source| StateError::Io {
            path: self.0.clone(),
            action: "read",
            source,
        };
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fail(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            files.push(entry.map_err(fail)?.path());
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use irsa_core::algorithm::Curve;

    use super::*;

    #[test]
    fn only_files_that_hold_what_their_name_says_are_keys() {
        let home = tempfile::tempdir().unwrap();
        let keys = KeysAtRest::new(home.path().join("keys"));
        assert!(keys.kids().unwrap().is_empty());
        let key = PrivateKeyPem::from_scalar(Curve::P256, &[7]).unwrap();
        let kid = key.public_key().kid();
        keys.store(&key).unwrap();
        fs::copy(keys.paths(&kid).private, home.path().join("keys/sa.key")).unwrap();
        let other = PrivateKeyPem::from_scalar(Curve::P256, &[8])
            .unwrap()
            .public_key()
            .kid();
        fs::copy(keys.paths(&kid).private, keys.paths(&other).private).unwrap();
        assert_eq!(keys.kids().unwrap(), BTreeSet::from([kid.clone()]));
        assert_eq!(keys.names().unwrap(), BTreeSet::from([kid.clone(), other]));
        fs::remove_file(keys.paths(&kid).public).unwrap();
        assert!(keys.restore_public(&kid).unwrap().exists());
        keys.erase(&kid).unwrap();
        keys.erase(&kid).unwrap();
        assert!(keys.kids().unwrap().is_empty());
    }
}
