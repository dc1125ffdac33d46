//! The acting half on a file: read whole, replaced whole, and a record by which the change is undone exactly.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use irsa_core::explain::Explain;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::yaml::MAX_BYTES;

/// Where backups are kept; one directory for each file.
#[derive(Debug, Clone)]
pub struct Backups {
    directory: PathBuf,
}

/// A change that was made, newest last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The format of this record.
    schema: u32,
    /// The file, as an absolute path.
    file: PathBuf,
    /// What the change was for.
    reason: String,
    /// SHA-256 of the text before.
    before: String,
    /// SHA-256 of the text after.
    after: String,
}

/// Why a file was not read, written or restored.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system refuses.
    #[error("\"{}\" cannot be {action}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Not a text.
    #[error("\"{}\" is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// Somebody else wrote in between.
    #[error("\"{}\" was changed by somebody else while this run looked at it", .0.display())]
    Changed(PathBuf),
    /// Nothing to undo.
    #[error("there is no backup of \"{}\" in \"{}\"", file.display(), directory.display())]
    NoBackup {
        /// Which file.
        file: PathBuf,
        /// Where we looked.
        directory: PathBuf,
    },
    /// The file is not as we left it.
    #[error("\"{}\" was changed since irsa patched it", file.display())]
    Diverged {
        /// Which file.
        file: PathBuf,
        /// What it was before our change.
        backup: PathBuf,
    },
    /// A record that we did not write.
    #[error("the backup record \"{}\" cannot be read", path.display())]
    Record {
        /// Which record.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Explain for FileError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the path".into(),
                io::ErrorKind::PermissionDenied => "run as the owner of the file, mostly root".into(),
                _ => "nothing is half-written: the file is as it was; mend the cause and run it again".into(),
            },
            Self::NotText(_) => "name a YAML file".into(),
            Self::Changed(_) => "nothing of theirs was overwritten; run it again".into(),
            Self::NoBackup { .. } => "name the directory that was given with --backup when the file was patched".into(),
            Self::Diverged { backup, .. } => {
                format!("compare it with {} and decide by hand which lines stay", backup.display())
            }
            Self::Record { .. } => "restore the file by hand from the copy beside the record".into(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Changed(_))
    }
}

/// Reads a manifest.
pub fn read(path: &Path) -> Result<String, FileError> {
    let fail = |source| FileError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    };
    let file = File::open(path).map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(fail(io::Error::other("it is not a regular file")));
    }
    let mut bytes = Vec::new();
    // One byte more than is accepted, so that the parser refuses it as too large rather than as cut short.
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    String::from_utf8(bytes).map_err(|_| FileError::NotText(path.to_owned()))
}

/// Replaces a file whole, if it still says `before`: same mode and owner, by rename.
///
/// The new text is written in the directory above, never beside the file: the kubelet runs whatever appears in its
/// manifest directory.
pub fn replace(path: &Path, before: &str, after: &str) -> Result<(), FileError> {
    let fail = |source| FileError::Io {
        path: path.to_owned(),
        action: "written",
        source,
    };
    // A link is followed, so that the file it leads to changes and the link stays.
    let target = fs::canonicalize(path).map_err(fail)?;
    let metadata = fs::metadata(&target).map_err(fail)?;
    let mut new =
        NamedTempFile::with_prefix_in(".irsa-", staging(&target, metadata.dev())).map_err(fail)?;
    new.write_all(after.as_bytes()).map_err(fail)?;
    new.as_file()
        .set_permissions(metadata.permissions())
        .map_err(fail)?;
    if fs::metadata(new.path()).map_err(fail)?.uid() != metadata.uid() {
        fchown(new.as_file(), Some(metadata.uid()), Some(metadata.gid())).map_err(fail)?;
    }
    new.as_file().sync_all().map_err(fail)?;
    if read(&target)? != before {
        return Err(FileError::Changed(path.to_owned()));
    }
    new.persist(&target).map_err(|error| fail(error.error))?;
    sync_directory(&target).map_err(fail)
}

/// The directory above that of the file, when a rename from there is one on the same file system and possible.
fn staging(target: &Path, device: u64) -> PathBuf {
    let directory = target.parent().unwrap_or(Path::new("/"));
    let above = directory.parent().filter(|above| {
        let same = fs::metadata(above).is_ok_and(|metadata| metadata.dev() == device);
        same && NamedTempFile::new_in(above).is_ok()
    });
    // Beside the file, a name that begins with a dot is the kubelet's mark for "not a pod".
    above.unwrap_or(directory).to_owned()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

impl Backups {
    /// Backups in a directory, which is made when it is needed.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Keeps the text before a change, and what it becomes. Returns where it is kept.
    pub fn save(
        &self,
        file: &Path,
        before: &str,
        after: &str,
        reason: &str,
    ) -> Result<PathBuf, FileError> {
        let file = absolute(file)?;
        let directory = self.of(&file);
        let fail = |source| FileError::Io {
            path: directory.clone(),
            action: "written",
            source,
        };
        fs::create_dir_all(&directory).map_err(fail)?;
        // A run that was killed may have left one half of a pair: its number is not free.
        let taken = self.numbers(&file, &["json", "yaml"])?;
        let number = taken.last().map_or(1, |last| last + 1);
        let record = Record {
            schema: 1,
            file,
            reason: reason.to_owned(),
            before: digest(before),
            after: digest(after),
        };
        let copy = directory.join(format!("{number:04}.yaml"));
        write_new(&copy, before.as_bytes()).map_err(fail)?;
        let json = serde_json::to_vec_pretty(&record).map_err(|error| fail(error.into()))?;
        write_new(&directory.join(format!("{number:04}.json")), &json).map_err(fail)?;
        Ok(copy)
    }

    /// The text of a file before its last change by us. Refuses when somebody changed the file since.
    pub fn last(&self, file: &Path, current: &str) -> Result<Saved, FileError> {
        let file = absolute(file)?;
        let directory = self.of(&file);
        let none = || FileError::NoBackup {
            file: file.clone(),
            directory: self.directory.clone(),
        };
        let number = self
            .numbers(&file, &["json"])?
            .last()
            .copied()
            .ok_or_else(none)?;
        let path = directory.join(format!("{number:04}.json"));
        let text = read(&path)?;
        let record: Record = serde_json::from_str(&text).map_err(|source| FileError::Record {
            path: path.clone(),
            source,
        })?;
        let copy = directory.join(format!("{number:04}.yaml"));
        let before = read(&copy)?;
        // An interrupted run may have saved the backup and not written the file.
        let not_written = digest(current) == record.before;
        if digest(&before) != record.before || (digest(current) != record.after && !not_written) {
            return Err(FileError::Diverged { file, backup: copy });
        }
        Ok(Saved {
            text: before,
            reason: record.reason,
            paths: [copy, path],
        })
    }

    fn of(&self, file: &Path) -> PathBuf {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let hash: String = digest(&file.to_string_lossy()).chars().take(12).collect();
        self.directory.join(format!("{name}-{hash}"))
    }

    /// The changes of a file that are on record, oldest first.
    fn numbers(&self, file: &Path, suffixes: &[&str]) -> Result<Vec<u32>, FileError> {
        let directory = self.of(file);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(FileError::Io {
                    path: directory,
                    action: "read",
                    source,
                });
            }
        };
        let mut numbers: Vec<u32> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                let (number, suffix) = name.to_str()?.split_once('.')?;
                suffixes.contains(&suffix).then(|| number.parse().ok())?
            })
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// A text to go back to.
#[derive(Debug)]
pub struct Saved {
    /// The text.
    pub text: String,
    /// What the change was for that it undoes.
    pub reason: String,
    paths: [PathBuf; 2],
}

impl Saved {
    /// Forgets the change, after the file was restored.
    pub fn forget(self) -> Result<(), FileError> {
        for path in self.paths.into_iter().rev() {
            fs::remove_file(&path).map_err(|source| FileError::Io {
                path,
                action: "removed",
                source,
            })?;
        }
        Ok(())
    }
}

fn absolute(file: &Path) -> Result<PathBuf, FileError> {
    fs::canonicalize(file).map_err(|source| FileError::Io {
        path: file.to_owned(),
        action: "read",
        source,
    })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".irsa-")
        .tempfile_in(path.parent().unwrap_or(Path::new("/")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    sync_directory(path)
}

fn digest(text: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn changes_are_undone_one_by_one_and_exactly() {
        let home = tempfile::tempdir().unwrap();
        let manifests = home.path().join("manifests");
        fs::create_dir(&manifests).unwrap();
        let file = manifests.join("a.yaml");
        fs::write(&file, "one\r\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let backups = Backups::new(home.path().join("backup"));
        for (before, after) in [("one\r\n", "two"), ("two", "three")] {
            backups.save(&file, before, after, "test").unwrap();
            replace(&file, before, after).unwrap();
        }
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&manifests).unwrap().count(), 1);
        for expected in ["two", "one\r\n"] {
            let current = read(&file).unwrap();
            let saved = backups.last(&file, &current).unwrap();
            replace(&file, &current, &saved.text).unwrap();
            saved.forget().unwrap();
            assert_eq!(read(&file).unwrap(), expected);
        }
        // Killed between the copy and its record.
        fs::write(
            backups.of(&absolute(&file).unwrap()).join("0001.yaml"),
            "half",
        )
        .unwrap();
        backups.save(&file, "one\r\n", "two", "test").unwrap();
        backups.last(&file, "two").unwrap().forget().unwrap();
        assert!(matches!(
            backups.last(&file, "one\r\n"),
            Err(FileError::NoBackup { .. })
        ));
    }

    #[test]
    fn what_somebody_else_changed_is_not_undone() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.yaml");
        fs::write(&file, "before").unwrap();
        let backups = Backups::new(home.path().join("backup"));
        backups.save(&file, "before", "after", "test").unwrap();
        assert!(matches!(
            backups.last(&file, "other"),
            Err(FileError::Diverged { .. })
        ));
        assert_eq!(
            backups.last(&file, "before").unwrap().text,
            "before",
            "an interrupted run"
        );
        assert!(matches!(
            replace(&file, "else", "after"),
            Err(FileError::Changed(_))
        ));
        assert_eq!(read(&file).unwrap(), "before");
    }
}
