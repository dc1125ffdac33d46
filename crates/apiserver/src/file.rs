//! The acting half on a file: read whole, replaced whole, and a record by which the change is undone exactly.

mod absent;
mod backup;

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use irsa_core::explain::Explain;
use irsa_files::NewFile;

pub use self::absent::{read_if_there, write};
pub use self::backup::{Backups, Saved, Unproved, Written};
use crate::yaml::MAX_BYTES;

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
    // Opening a pipe would wait for somebody to write into it.
    let at_once = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(at_once)
        .open(path);
    let file = file.map_err(fail)?;
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
    let mut new = NewFile::in_directory(&staging(&target, metadata.dev())).map_err(fail)?;
    new.write_all(after.as_bytes()).map_err(fail)?;
    let made = new.as_file().metadata().map_err(fail)?;
    if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
        fchown(new.as_file(), Some(metadata.uid()), Some(metadata.gid())).map_err(fail)?;
    }
    new.as_file()
        .set_permissions(metadata.permissions())
        .map_err(fail)?;
    if read(&target)? != before {
        return Err(FileError::Changed(path.to_owned()));
    }
    new.replace(&target).map_err(fail)
}

/// The directory above that of the file, when a rename from there is one on the same file system and possible.
fn staging(target: &Path, device: u64) -> PathBuf {
    let directory = target.parent().unwrap_or(Path::new("/"));
    let above = directory.parent().filter(|above| {
        let same = fs::metadata(above).is_ok_and(|metadata| metadata.dev() == device);
        same && NewFile::in_directory(above).is_ok()
    });
    // Beside the file, a name that begins with a dot is the kubelet's mark for "not a pod".
    above.unwrap_or(directory).to_owned()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
