//! A directory that a web server serves: each document is replaced whole, by rename.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use irsa_core::change::Expected;
use irsa_core::jwks::MAX_DOCUMENT_BYTES;
use irsa_core::publication::Stored;
use irsa_files::{parent, sync_directory};
use sha2::{Digest as _, Sha256};

use crate::publish::{PublishError, Publisher};
use crate::store::{DocumentStore, Look};

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
        create_directories(&self.root).map_err(fail)?;
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

    /// The file of a path below the issuer. Core makes these paths; a second look here, because a path that
    /// leaves the directory would write anywhere.
    fn file(&self, path: &str) -> Result<PathBuf, PublishError> {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if inside && !path.is_empty() {
            Ok(self.root.join(path))
        } else {
            Err(PublishError::Outside(path.to_owned()))
        }
    }

    fn read(&self, path: &str) -> Result<Option<Stored>, PublishError> {
        let path = self.file(path)?;
        let fail = |source| PublishError::Io {
            path: path.clone(),
            action: "read",
            source,
        };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            // A pipe would block for ever.
            Ok(_) => return Err(PublishError::NotAFile(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A link to nowhere is not nothing: creating the file would fail for ever.
                let dangling = path.symlink_metadata().is_ok();
                return if dangling {
                    Err(PublishError::NotAFile(path))
                } else {
                    Ok(None)
                };
            }
            Err(source) => return Err(fail(source)),
        }
        let file = File::open(&path).map_err(fail)?;
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
        let target = self.directory.file(path)?;
        if target.is_symlink() {
            return Err(PublishError::Link(target));
        }
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

impl LockedDirectory {
    fn remove(&self, path: &str, tag: &str) -> Result<(), PublishError> {
        let found = self.directory.read(path)?;
        if found.is_none_or(|stored| stored.tag != tag) {
            return Err(PublishError::Conflict(path.to_owned()));
        }
        let target = self.directory.file(path)?;
        fs::remove_file(&target)
            .and_then(|()| sync_directory(parent(&target)))
            .map_err(|source| PublishError::Io {
                path: target,
                action: "removed",
                source,
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

    async fn remove_if(&self, path: &str, _: &str) -> Result<(), PublishError> {
        Err(PublishError::Busy(self.root.join(path)))
    }
}

impl DocumentStore for Directory {
    async fn look(&self, path: &str, seen: Option<&str>) -> Result<Look, PublishError> {
        Ok(match self.read(path)? {
            None => Look::Absent,
            Some(stored) if seen == Some(stored.tag.as_str()) => Look::Unchanged,
            Some(stored) => Look::Found(stored),
        })
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

    async fn remove_if(&self, path: &str, tag: &str) -> Result<(), PublishError> {
        self.remove(path, tag)
    }
}

/// Makes a directory and those above it. They are public whatever the umask says: a web server must enter them.
fn create_directories(directory: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    for path in missing.into_iter().rev() {
        match fs::create_dir(path) {
            Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755))?,
            // Another run was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// For the web server.
const PUBLIC: u32 = 0o644;

/// Puts a file in place whole and durably.
fn replace(target: &Path, bytes: &[u8], create: bool) -> io::Result<()> {
    create_directories(parent(target))?;
    if create {
        irsa_files::create(target, bytes, PUBLIC)
    } else {
        irsa_files::replace(target, bytes, PUBLIC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_directory() {
        let directory = Directory::new(PathBuf::from("/srv"));
        assert_eq!(
            directory.file("openid/v1/jwks").unwrap(),
            Path::new("/srv/openid/v1/jwks")
        );
        for path in ["", "/etc/x", "../x", "a/../../x", "./x"] {
            assert!(
                matches!(directory.file(path), Err(PublishError::Outside(_))),
                "{path}"
            );
        }
    }

    #[test]
    fn a_document_is_removed_only_as_it_was_seen() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("keys.json"), "a").unwrap();
        let locked = Directory::new(home.path().to_owned()).lock().unwrap();
        let seen = locked.directory.read("keys.json").unwrap().unwrap().tag;
        fs::write(home.path().join("keys.json"), "b").unwrap();
        assert!(matches!(
            locked.remove("keys.json", &seen),
            Err(PublishError::Conflict(_))
        ));
        let seen = locked.directory.read("keys.json").unwrap().unwrap().tag;
        locked.remove("keys.json", &seen).unwrap();
        assert_eq!(locked.directory.read("keys.json").unwrap(), None);
        assert!(locked.remove("keys.json", &seen).is_err());
    }

    #[test]
    fn links_to_nowhere_and_directories_are_not_documents() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", home.path().join("link")).unwrap();
        fs::create_dir(home.path().join("dir")).unwrap();
        let directory = Directory::new(home.path().to_owned());
        for path in ["link", "dir"] {
            assert!(
                matches!(directory.read(path), Err(PublishError::NotAFile(_))),
                "{path}"
            );
        }
    }
}
