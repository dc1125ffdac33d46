//! The files that a distribution reads together with the one that was named.

use std::io;
use std::path::{Path, PathBuf};

use irsa_apiserver::distro::Distro;
use irsa_apiserver::file;
use irsa_apiserver::layers::{self, Layer};

use super::patch::absolute;
use crate::report::Failure;

/// What is read before a file, and what after it.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) earlier: Vec<Layer>,
    pub(super) later: Vec<Layer>,
}

/// Reads them: the configuration beside whose drop-ins the file stands, and the other drop-ins in the order of names.
pub(super) fn around(path: &Path, distro: Distro) -> Result<Around, Failure> {
    let mut around = Around {
        earlier: Vec::new(),
        later: Vec::new(),
    };
    let path = absolute(path);
    let Some(base) = layers::base(&path, distro) else {
        return Ok(around);
    };
    let drop_ins = drop_ins(&layers::directory(&base))?;
    let mut here = false;
    for one in std::iter::once(base).chain(drop_ins) {
        // A file that is to be made stands where its name will.
        here |= one >= path && one.parent() == path.parent();
        if one == path {
            continue;
        }
        if let Some(text) = file::read_if_there(&one)? {
            let side = if here {
                &mut around.later
            } else {
                &mut around.earlier
            };
            side.push(Layer { path: one, text });
        }
    }
    Ok(around)
}

/// The files of a directory that are read, in that order; none when there is no such directory.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fail = |error: io::Error| {
        Failure::failed(
            format!(
                "the drop-ins in {} cannot be listed: {error}",
                directory.display()
            ),
            "run as the owner of the directory, mostly root: a file there can replace these flags",
        )
    };
    let entries = match directory.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if layers::is_drop_in(&path) && !path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
