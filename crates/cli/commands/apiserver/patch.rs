//! `irsa apiserver patch`.

use std::path::{Path, PathBuf};

use clap::{ValueEnum, ValueHint};
use irsa_apiserver::component::Role;
use irsa_apiserver::diff;
use irsa_apiserver::distro::Distro;
use irsa_apiserver::file::{self, Backups, Written};
use irsa_apiserver::findings;
use irsa_apiserver::flags::{Flag, FlagChange};
use irsa_apiserver::patch::{Manifest, PatchError, Patched};
use irsa_apiserver::plan::{self, Wanted};
use serde::Serialize;

use super::DistroChoice;
use super::look::{Looked, look};
use super::wanted::WantedArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::{self, Failure};

/// Change kube-apiserver's token flags in the file that your distribution reads them from.
///
/// On a live cluster there are two passes over all control-plane nodes: accept everywhere, then sign. With one pass
/// the first node signs tokens that the others refuse. Nothing is removed that is not named. Every edit is read back
/// by a second YAML parser and compared with what was intended before it is written; comments, order and quoting stay.
/// Keys are named by the path at which kube-apiserver sees them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the flags shall be.
    #[command(flatten)]
    pub wanted: WantedArgs,
    /// The files: manifests of kube-apiserver and kube-controller-manager, or the cluster's configuration
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// The distribution that the files are of: auto, or one of kubeadm, kubeadm-config, capi, eks-anywhere, k3s, rke2,
    /// kind, talos, kops
    #[arg(long, value_name = "DISTRO", default_value = "auto")]
    pub distro: DistroChoice,
    /// The pass
    #[arg(long, value_enum, value_name = "PHASE", default_value = "accept")]
    pub phase: PhaseArg,
    /// Issuer to stop accepting, with --phase retire or new (several: repeat it)
    #[arg(long, value_name = "URL")]
    pub remove_issuer: Vec<String>,
    /// Key file to stop accepting, with --phase retire or new (several: repeat it)
    #[arg(long, value_name = "PATH")]
    pub remove_key_file: Vec<String>,
    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Change nothing, and exit with 3 if something differs
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
    /// Sign with a key although no key file is known here that has its public half
    #[arg(long)]
    pub allow_unverified_key: bool,
    /// Where the file as it was is kept [default: /var/lib/irsa/backup for root, else ~/.local/state/irsa/backup]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub backup: Option<PathBuf>,
}

/// A pass over the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseArg {
    /// Accept the issuer and keys besides those in force; signing goes on as before
    Accept,
    /// Sign with them; the others stay accepted
    Sign,
    /// For a cluster that does not exist yet: the final state at once
    New,
    /// Stop accepting what is named with --remove-issuer and --remove-key-file
    Retire,
}

impl From<PhaseArg> for plan::Phase {
    fn from(phase: PhaseArg) -> Self {
        match phase {
            PhaseArg::Accept => Self::Accept,
            PhaseArg::Sign => Self::Sign,
            PhaseArg::New => Self::New,
            PhaseArg::Retire => Self::Retire,
        }
    }
}

#[derive(Serialize)]
struct Report {
    phase: PhaseArg,
    written: bool,
    files: Vec<FileRow>,
    #[serde(skip)]
    next: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FileRow {
    file: PathBuf,
    distro: String,
    evidence: String,
    changes: Vec<ChangeRow>,
    mounts: usize,
    diff: String,
    /// The file as it was, when it was changed.
    backup: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct ChangeRow {
    component: String,
    flag: &'static str,
    before: Vec<String>,
    after: Vec<String>,
}

impl Render for Report {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for file in &self.files {
            let name = file.file.display();
            if file.diff.is_empty() {
                lines.push(format!(
                    "{name}: nothing to do ({}: {})",
                    file.distro, file.evidence
                ));
                continue;
            }
            lines.push(format!("{name} ({}: {})", file.distro, file.evidence));
            lines.push(file.diff.trim_end().to_owned());
            lines.extend(
                file.backup
                    .as_ref()
                    .map(|backup| format!("as it was: {}", backup.display())),
            );
        }
        let changed = self.files.iter().any(|file| !file.diff.is_empty());
        if changed && self.written {
            lines.extend(self.next.iter().map(|next| format!("next: {next}")));
        } else if changed {
            lines.push("nothing was written".to_owned());
        }
        lines.join("\n")
    }
}

/// A file and what it becomes.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) path: PathBuf,
    /// Its text; none when there is no such file.
    before: Option<String>,
    patched: Patched,
    /// The components in their new state.
    looked: Vec<Looked>,
    row: FileRow,
    distro: Distro,
}

/// Patches, or shows what patching would do. One file that is refused stops all before any is written.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        wanted,
        files,
        distro,
        phase,
        remove_issuer,
        remove_key_file,
        dry_run,
        check,
        allow_unverified_key,
        backup,
    } = args;
    allow_removal(
        phase,
        !remove_issuer.is_empty() || !remove_key_file.is_empty(),
    )?;
    let wanted = Wanted {
        remove_issuers: remove_issuer,
        remove_key_files: remove_key_file,
        ..wanted.resolve(context)?
    };
    let mut planned = Vec::new();
    for path in files {
        planned.push(prepare(path, distro.known(), &wanted, phase.into())?);
    }
    if !allow_unverified_key {
        demand_verified(&planned, &wanted, phase.into())?;
    }
    for one in &planned {
        one.warn();
    }
    let changed = planned.iter().any(Planned::changes);
    let write = !dry_run && !check;
    let mut next: Vec<&str> = planned
        .iter()
        .filter(|one| one.changes())
        .map(|one| one.distro.next())
        .collect();
    next.dedup();
    let mut rows = Vec::new();
    let backups = if write && changed {
        Some(super::backups(backup)?)
    } else {
        None
    };
    for one in planned {
        rows.push(match &backups {
            Some(backups) => one.write(backups, phase)?,
            None => one.row,
        });
    }
    context.print(&Report {
        phase,
        written: write,
        files: rows,
        next,
    })?;
    Ok(if check && changed {
        Exit::Differences
    } else {
        Exit::Done
    })
}

/// Whether what is named for removal and the phase belong together.
fn allow_removal(phase: PhaseArg, removing: bool) -> Result<(), Failure> {
    match phase {
        PhaseArg::Retire if !removing => Err(Failure::usage(
            "nothing is named to retire",
            "add --remove-issuer URL or --remove-key-file PATH",
        )),
        PhaseArg::Accept | PhaseArg::Sign if removing => Err(Failure::usage(
            "something is named for removal, and this phase removes nothing",
            "use --phase retire when no token of it is alive, or --phase new for a cluster that does not exist yet",
        )),
        _ => Ok(()),
    }
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
    planned.warn();
    Ok(planned)
}

/// Refuses files by which an API server would sign what no API server verifies.
fn demand_verified(
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
                .map_err(|error| super::about(&one.path, &error))?;
        }
    }
    Ok(())
}

/// The same before what it would sign with is looked at.
fn prepare(
    path: PathBuf,
    distro: Option<Distro>,
    wanted: &Wanted,
    phase: plan::Phase,
) -> Result<Planned, Failure> {
    let before = read(&path, distro)?;
    let text = before.as_deref().unwrap_or_default();
    let manifest = Manifest::read(text, &absolute(&path), distro)
        .map_err(|error| super::about(&path, &error))?;
    let patched = manifest
        .patch(wanted, phase)
        .map_err(|error| super::about(&path, &error))?;
    let detected = manifest.detected.clone();
    let looked = look_at(&patched.text, &path, detected.distro)
        .map_err(|error| super::about(&path, &error))?;
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

/// The components of a text in its new state, with the key files of this host.
fn look_at(text: &str, path: &Path, distro: Distro) -> Result<Vec<Looked>, PatchError> {
    let manifest = Manifest::read(text, path, Some(distro))?;
    let components = manifest.components.iter();
    components
        .map(|component| look(&manifest, component, Path::new("/")))
        .collect()
}

/// The text of a file; none when there is no such file, and it need not be there.
pub(super) fn read(path: &Path, distro: Option<Distro>) -> Result<Option<String>, Failure> {
    let empty = || Manifest::read("", &absolute(path), distro);
    match file::read_if_there(path)? {
        None if empty().is_ok() => Ok(None),
        None => Ok(Some(file::read(path)?)),
        found => Ok(found),
    }
}

/// The path as evidence: also what is not typed of it.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

impl Planned {
    /// Whether anything is to be written.
    fn changes(&self) -> bool {
        self.patched.text != self.before.as_deref().unwrap_or_default()
    }

    /// Says what is wrong with the flags in their new state: all that `irsa apiserver check` would find.
    fn warn(&self) {
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
            // Nothing was changed, and there is nothing to undo.
            Backups::discard(&backup)?;
            return Err(error.into());
        }
        Ok(FileRow {
            backup: Some(backup),
            ..row
        })
    }
}
