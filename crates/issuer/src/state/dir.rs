//! A directory of this host: `ring.json`, replaced by rename, under a lock that a run holds as long as it lives.
//!
//! The lock is on a regular file, opened for writing: NFS version 4 keeps such locks between hosts, and none on
//! directories. What a file system does with locks is its own promise; where it makes none, use a Secret.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use irsa_core::change::Expected;
use irsa_core::publication::Stored;
use sha2::{Digest as _, Sha256};

use super::{RingStore, StateError};

/// The record's name.
const RING: &str = "ring.json";
/// The file that is locked. It holds nothing, and stays.
const LOCK: &str = "lock";
/// More than any record that is accepted.
const MAX_BYTES: u64 = (1 << 20) + 1;

/// A directory that this run alone uses until it is dropped, or only looks at.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    lock: Option<File>,
}

impl StateDirectory {
    /// For looking: nothing is made, nobody is kept away, and a save is refused.
    pub fn look(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            lock: None,
        }
    }

    /// Keeps other runs away. The directory is made (0700) if it is missing, and refused if others may enter it. What
    /// a run that was killed left half-written is removed.
    pub fn lock(path: &Path) -> Result<Self, StateError> {
        let fail = |source| StateError::Io {
            path: path.to_owned(),
            action: "used",
            source,
        };
        irsa_files::create_directory(path, 0o700).map_err(fail)?;
        let mode = fs::metadata(path).map_err(fail)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(StateError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        let lock = lock_file(path)?;
        sweep(path).map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            lock: Some(lock),
        })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        irsa_files::replace(&self.path.join(RING), bytes, 0o600)
    }
}

/// Locks a directory through a file in it, until the result is dropped.
pub fn lock_file(directory: &Path) -> Result<File, StateError> {
    let fail = |source| StateError::Io {
        path: directory.join(LOCK),
        action: "locked",
        source,
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let lock = options
        .mode(0o600)
        .open(directory.join(LOCK))
        .map_err(fail)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StateError::Busy(directory.to_owned())),
        Err(TryLockError::Error(source)) => Err(fail(source)),
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
        if self.lock.is_none() {
            return Err(StateError::Busy(self.path.clone()));
        }
        let found = read(&self.path)?;
        let unchanged = match (expected, &found) {
            (Expected::Absent, None) => true,
            (Expected::Unchanged(tag), Some(stored)) => *tag == stored.tag,
            (Expected::Absent, Some(_)) | (Expected::Unchanged(_), None) => false,
        };
        if !unchanged {
            return Err(StateError::Conflict(self.path.display().to_string()));
        }
        self.write(bytes).map_err(|source| StateError::Io {
            path: self.path.join(RING),
            action: "written",
            source,
        })?;
        Ok(tag(bytes))
    }

    fn is_exclusive(&self) -> bool {
        self.lock.is_some()
    }
}

/// Removes what was being written when a run died. Only the holder of the lock writes here.
fn sweep(directory: &Path) -> io::Result<()> {
    for path in unfinished(directory)? {
        irsa_files::remove(&path)?;
    }
    Ok(())
}

/// What was being written, and is not finished.
pub(super) fn unfinished(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(irsa_files::UNFINISHED) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn block<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(work)
    }

    #[test]
    fn looking_makes_and_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state");
        let look = StateDirectory::look(&path);
        assert_eq!(block(look.load()).unwrap(), None);
        assert!(!path.exists() && !look.is_exclusive());
        let refused = block(look.save(b"1", &Expected::Absent)).unwrap_err();
        assert!(matches!(refused, StateError::Busy(_)));
    }

    #[test]
    fn what_a_killed_run_left_half_written_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state");
        let store = StateDirectory::lock(&path).unwrap();
        block(store.save(b"1", &Expected::Absent)).unwrap();
        let mode = fs::metadata(path.join(RING)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        drop(store);
        fs::write(path.join(".irsa-AbC123"), "half").unwrap();
        let _store = StateDirectory::lock(&path).unwrap();
        let mut left: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [LOCK, RING]);
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
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            StateDirectory::lock(&path),
            Err(StateError::Exposed { .. })
        ));
    }
}
