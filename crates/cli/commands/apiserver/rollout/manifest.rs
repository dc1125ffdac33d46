//! A manifest of this node, and what it becomes.

use std::path::{Path, PathBuf};

use irsa_apiserver::distro::Distro;
use irsa_apiserver::file::{self, Backups};
use irsa_apiserver::patch::{Manifest, PatchError, Patched};
use irsa_apiserver::plan::{Phase, Wanted};

use super::super::about;
use super::super::standing::Standing;
use crate::report::Failure;

/// A manifest with what it becomes.
pub(super) struct File {
    pub(super) standing: Standing,
    pub(super) patched: Patched,
}

impl File {
    pub(super) fn of(standing: Standing, wanted: &Wanted, phase: Phase) -> Result<Self, Failure> {
        let fail = |error: PatchError| about(&standing.path, &error);
        let manifest = Manifest::read(&standing.text, &standing.path, Some(Distro::Kubeadm));
        let patched = manifest
            .and_then(|manifest| manifest.patch(wanted, phase))
            .map_err(fail)?;
        Ok(Self { standing, patched })
    }

    pub(super) fn changes(&self) -> bool {
        self.patched.text != self.standing.text
    }

    /// Replaces the manifest. The change is on record as not proved, before it is made.
    pub(super) fn write(
        &self,
        backups: &Backups,
        phase: Phase,
        started: f64,
    ) -> Result<PathBuf, Failure> {
        let (path, before, after) = (&self.standing.path, &self.standing.text, &self.patched.text);
        let backup = backups.save_unproved(path, [before, after], phase_name(phase), started)?;
        file::replace(path, before, after)?;
        Ok(backup)
    }
}

/// Puts a manifest back that says `current`, byte for byte, as it was when it was last proved, and forgets what was
/// changed since.
pub(super) fn restore(path: &Path, current: &str, backups: &Backups) -> Result<(), Failure> {
    let saved = backups.last_proved(path, current)?;
    Ok(saved.restore(path, current)?)
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Accept => "accept",
        Phase::Sign => "sign",
        Phase::New => "new",
        Phase::Retire => "retire",
    }
}
