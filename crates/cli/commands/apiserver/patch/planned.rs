//! A file and what it becomes: read, judged, written.

use std::path::{Path, PathBuf};

use irsa_apiserver::component::Role;
use irsa_apiserver::diff;
use irsa_apiserver::distro::{self, Distro};
use irsa_apiserver::file::{self, Backups, Written};
use irsa_apiserver::findings;
use irsa_apiserver::flags::{Flag, FlagChange};
use irsa_apiserver::layers;
use irsa_apiserver::patch::{Manifest, PatchError, Patched};
use irsa_apiserver::plan::{self, Wanted};
use irsa_core::explain::Explain as _;

use super::super::about;
use super::super::layers::{Around, around};
use super::super::look::{Looked, look};
use super::{ChangeRow, FileRow, PhaseArg};
use crate::report::{self, Failure};

/// A file and what it becomes.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) path: PathBuf,
    /// Its text; none when there is no such file.
    before: Option<String>,
    patched: Patched,
    /// The components in their new state.
    looked: Vec<Looked>,
    pub(super) row: FileRow,
    pub(super) distro: Distro,
}

/// What a file must become; nothing is written.
pub(crate) fn plan(
    path: PathBuf,
    distro: Option<Distro>,
    wanted: &Wanted,
    phase: plan::Phase,
) -> Result<Planned, Failure> {
    let planned = prepare(path, distro, wanted, phase)?;
    demand_verified(std::slice::from_ref(&planned), wanted, phase)?;
    Ok(planned)
}

/// Refuses files by which an API server would sign what no API server verifies.
pub(super) fn demand_verified(
    planned: &[Planned],
    wanted: &Wanted,
    phase: plan::Phase,
) -> Result<(), Failure> {
    // What signs stays as it is in this phase.
    if phase == plan::Phase::Accept {
        return Ok(());
    }
    let all: Vec<_> = planned
        .iter()
        .flat_map(|one| &one.looked)
        .map(Looked::inspected)
        .collect();
    let peers: Vec<_> = all.iter().collect();
    for one in planned {
        for looked in &one.looked {
            let inspected = looked.inspected();
            let signs = |(role, change): &(Role, FlagChange)| {
                *role == looked.role
                    && matches!(change.flag, Flag::SigningKeyFile | Flag::PrivateKeyFile)
            };
            let changed = one.patched.changes.iter().any(signs);
            findings::demand_verified(&inspected, changed, wanted, &peers)
                .map_err(|error| about(&one.path, &error))?;
        }
    }
    Ok(())
}

/// The same before what it would sign with is looked at.
pub(super) fn prepare(
    path: PathBuf,
    distro: Option<Distro>,
    wanted: &Wanted,
    phase: plan::Phase,
) -> Result<Planned, Failure> {
    let before = read(&path)?;
    if before.is_none() {
        demand_directory(&path)?;
    }
    let text = before.as_deref().unwrap_or_default();
    let manifest =
        Manifest::read(text, &absolute(&path), distro).map_err(|error| about(&path, &error))?;
    let patched = manifest
        .patch(wanted, phase)
        .map_err(|error| about(&path, &error))?;
    let detected = manifest.detected.clone();
    let Around { earlier, later } = around(&path, detected.distro)?;
    layers::allow(text, &patched.text, &earlier, &later).map_err(|error| about(&path, &error))?;
    let looked =
        look_at(&patched.text, &path, detected.distro).map_err(|error| about(&path, &error))?;
    if phase == plan::Phase::Accept {
        foresee(&patched.text, &path, detected.distro, wanted);
    }
    let row = FileRow {
        file: path.clone(),
        distro: detected.distro.to_string(),
        evidence: detected.evidence,
        changes: patched
            .changes
            .iter()
            .map(|(role, change)| ChangeRow {
                component: role.to_string(),
                flag: change.flag.name(),
                before: change.before.clone(),
                after: change.after.clone(),
            })
            .collect(),
        mounts: patched.mounts,
        diff: diff::shown(&path.display().to_string(), text, &patched.text),
        created: before.is_none(),
        backup: None,
    };
    Ok(Planned {
        distro: detected.distro,
        path,
        before,
        patched,
        looked,
        row,
    })
}

/// Says now what would stop the next phase: an anchor, or comments that nobody can attribute.
fn foresee(text: &str, path: &Path, distro: Distro, wanted: &Wanted) {
    let signed = Manifest::read(text, path, Some(distro));
    if let Err(error) = signed.and_then(|manifest| manifest.patch(wanted, plan::Phase::Sign)) {
        report::warning(&format!(
            "{}: phase accept can be written, and phase sign will be refused after it: {error}{}",
            path.display(),
            error
                .help()
                .map_or_else(String::new, |help| format!("; {help}"))
        ));
    }
}

/// The components of a text in its new state, with the key files of this host.
fn look_at(text: &str, path: &Path, distro: Distro) -> Result<Vec<Looked>, PatchError> {
    let manifest = Manifest::read(text, path, Some(distro))?;
    let components = manifest.components.iter();
    components
        .map(|component| look(&manifest, component, Path::new("/")))
        .collect()
}

/// Refuses a file that cannot be made: also before a dry run promises it.
fn demand_directory(path: &Path) -> Result<(), Failure> {
    let absolute = absolute(path);
    match absolute.parent() {
        Some(directory) if !directory.is_dir() => Err(Failure::usage(
            format!(
                "{} cannot be made: there is no directory {}",
                path.display(),
                directory.display()
            ),
            format!("mkdir -p {}", directory.display()),
        )),
        _ => Ok(()),
    }
}

/// The text of a file; none when there is no such file, and it need not be there: any other name is a mistyped one.
pub(in crate::commands::apiserver) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match file::read_if_there(path)? {
        None if distro::need_not_be_there(&absolute(path)) => Ok(None),
        None => Ok(Some(file::read(path)?)),
        found => Ok(found),
    }
}

/// The path as evidence: also what is not typed of it.
pub(in crate::commands::apiserver) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Planned {
    /// Whether anything is to be written.
    pub(super) fn changes(&self) -> bool {
        self.patched.text != self.before.as_deref().unwrap_or_default()
    }

    /// How the change gets to the cluster.
    pub(super) fn next(&self, phase: plan::Phase) -> String {
        let key = |(_, change): &(Role, FlagChange)| {
            let names = [Flag::KeyFile, Flag::SigningKeyFile, Flag::PrivateKeyFile];
            let new = change
                .after
                .iter()
                .any(|file| !change.before.contains(file));
            names.contains(&change.flag) && new
        };
        // What the distribution set by itself, and is written out now, is there.
        let named = phase != plan::Phase::Retire && self.patched.changes.iter().any(key);
        self.distro.next(phase, named)
    }

    /// Says what is wrong with the flags in their new state: all that `irsa apiserver check` would find.
    pub(crate) fn warn(&self) {
        for looked in &self.looked {
            for finding in findings::of_component(&looked.inspected(), None) {
                report::warning(&format!(
                    "{}: {}; {}",
                    self.path.display(),
                    finding.message,
                    finding.help
                ));
            }
        }
    }

    /// The change as a unified diff; empty when there is none.
    pub(crate) fn diff(&self) -> &str {
        &self.row.diff
    }

    /// Writes the file, unless it is as it shall be, and keeps it as it was.
    pub(crate) fn write(self, backups: &Backups, phase: PhaseArg) -> Result<FileRow, Failure> {
        let Self {
            path,
            before,
            patched,
            row,
            ..
        } = self;
        let text = before.as_deref().unwrap_or_default();
        if patched.text == text {
            return Ok(row);
        }
        let reason = format!("{phase:?}").to_lowercase();
        if let Some(below) = backups
            .unproved(&path, text)?
            .filter(|below| below.written == Written::Yes)
        {
            report::warning(&format!(
                "{}: a rollout in phase {} ended before it was proved, and this change goes on top of it: neither counts \
                 as proved until irsa apiserver rollout has run on this node",
                path.display(),
                below.reason
            ));
        }
        let backup = backups.save(&path, before.as_deref(), &patched.text, &reason)?;
        if let Err(error) = file::write(&path, before.as_deref(), &patched.text) {
            // Nothing to undo, unless the file was replaced and only its directory could not be brought to disk.
            let untouched = file::read_if_there(&path).is_ok_and(|now| now == before);
            if untouched && let Err(left) = Backups::discard(&backup) {
                report::warning(&format!("{left}: it is of a change that was not made"));
            }
            return Err(error.into());
        }
        Ok(FileRow {
            backup: Some(backup),
            ..row
        })
    }
}
