//! Files that need not be there: a server of k3s has no config.yaml until somebody writes one.

use std::io;
use std::path::Path;

use super::{FileError, read, replace};

/// Reads a file; none when there is no such file.
pub fn read_if_there(path: &Path) -> Result<Option<String>, FileError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file whole, if it still says `before`, or is still not there. A new one is for its owner alone: what is
/// written into it next may be secret.
pub fn write(path: &Path, before: Option<&str>, after: &str) -> Result<(), FileError> {
    let Some(before) = before else {
        return irsa_files::create(path, after.as_bytes(), 0o600).map_err(|source| {
            let link = path
                .symlink_metadata()
                .is_ok_and(|found| found.is_symlink());
            let source = match source.kind() {
                io::ErrorKind::AlreadyExists if link => {
                    io::Error::other("it is a link that leads nowhere")
                }
                io::ErrorKind::AlreadyExists => return FileError::Changed(path.to_owned()),
                _ => source,
            };
            FileError::Io {
                path: path.to_owned(),
                action: "written",
                source,
            }
        });
    };
    replace(path, before, after)
}

/// Removes a file, if it still says `current`.
pub(super) fn remove(path: &Path, current: &str) -> Result<(), FileError> {
    match read_if_there(path)? {
        None => return Ok(()),
        Some(text) if text != current => return Err(FileError::Changed(path.to_owned())),
        Some(_) => {}
    }
    irsa_files::remove(path).map_err(|source| FileError::Io {
        path: path.to_owned(),
        action: "removed",
        source,
    })
}
