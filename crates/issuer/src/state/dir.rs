//! A directory of this host: `ring.json`, replaced by rename, under a lock that a run holds as long as it lives.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use irsa_core::change::Expected;
use irsa_core::publication::Stored;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::{RingStore, StateError};
use crate::keyfile::sync_directory;

/// The record's name.
const RING: &str = "ring.json";
/// More than any record that is accepted.
const MAX_BYTES: u64 = (1 << 20) + 1;

/// A directory that this run alone uses until it is dropped.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Keeps other runs away. The directory is made (0700) if it is missing, and refused if others may enter it.
    pub fn lock(path: &Path) -> Result<Self, StateError> {
        let fail = |source| StateError::Io {
            path: path.to_owned(),
            action: "used",
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(fail)?;
        let lock = File::open(path).map_err(fail)?;
        let mode = lock.metadata().map_err(fail)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(StateError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StateError::Busy(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.path)?;
        file.write_all(bytes)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(0o600))?;
        file.as_file().sync_all()?;
        file.persist(self.path.join(RING))?;
        sync_directory(&self.path)
    }
}

/// The record in a directory, without a lock: for looking.
pub fn read(directory: &Path) -> Result<Option<Stored>, StateError> {
    let path = directory.join(RING);
    let fail = |source| StateError::Io {
        path: path.clone(),
        action: "read",
        source,
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    let tag = tag(&bytes);
    Ok(Some(Stored { bytes, tag }))
}

fn tag(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

impl RingStore for StateDirectory {
    async fn load(&self) -> Result<Option<Stored>, StateError> {
        read(&self.path)
    }

    async fn save(&self, bytes: &[u8], expected: &Expected) -> Result<String, StateError> {
        let found = read(&self.path)?;
        let unchanged = match (expected, &found) {
            (Expected::Absent, None) => true,
            (Expected::Unchanged(tag), Some(stored)) => *tag == stored.tag,
            (Expected::Absent, Some(_)) | (Expected::Unchanged(_), None) => false,
        };
        if !unchanged {
            return Err(StateError::Conflict(self.path.clone()));
        }
        self.write(bytes).map_err(|source| StateError::Io {
            path: self.path.join(RING),
            action: "written",
            source,
        })?;
        Ok(tag(bytes))
    }

    fn is_exclusive(&self) -> bool {
        true
    }
}

/// Removes a file durably; one that is not there is removed already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => sync_directory(crate::keyfile::parent(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(work)
    }

    #[test]
    fn a_save_over_another_record_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state");
        let store = StateDirectory::lock(&path).unwrap();
        assert_eq!(block(store.load()).unwrap(), None);
        let first = block(store.save(b"1", &Expected::Absent)).unwrap();
        let again = block(store.save(b"2", &Expected::Absent)).unwrap_err();
        assert!(matches!(again, StateError::Conflict(_)));
        let second = block(store.save(b"2", &Expected::Unchanged(first.clone()))).unwrap();
        let stale = block(store.save(b"3", &Expected::Unchanged(first))).unwrap_err();
        assert!(matches!(stale, StateError::Conflict(_)));
        let found = block(store.load()).unwrap().unwrap();
        assert_eq!((found.bytes.as_slice(), found.tag), (&b"2"[..], second));
        let mode = fs::metadata(path.join(RING)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn one_run_at_a_time_in_a_directory_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state");
        let held = StateDirectory::lock(&path).unwrap();
        assert!(matches!(
            StateDirectory::lock(&path),
            Err(StateError::Busy(_))
        ));
        drop(held);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            StateDirectory::lock(&path),
            Err(StateError::Exposed { .. })
        ));
    }
}
