//! `irsa apiserver patch`.

mod planned;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};
use irsa_apiserver::plan::{self, Wanted};
use serde::Serialize;

pub(crate) use self::planned::{Planned, plan};
pub(super) use self::planned::{absolute, read};
use super::DistroChoice;
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
    next: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FileRow {
    file: PathBuf,
    distro: String,
    evidence: String,
    changes: Vec<ChangeRow>,
    mounts: usize,
    diff: String,
    /// Whether there was no such file.
    created: bool,
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
            let backup = file.backup.as_ref();
            lines.extend(if file.created {
                Some("there was no such file".to_owned())
            } else {
                backup.map(|backup| format!("as it was: {}", backup.display()))
            });
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

/// What was to go and is not there: a second run says so of everything, and of a name with a mistake in it so does the first.
fn warn_absent(planned: &[Planned], wanted: &Wanted) {
    let goes = |value: &&String| {
        let mut changes = planned.iter().flat_map(|one| &one.row.changes);
        changes.any(|change| change.before.contains(value) && !change.after.contains(value))
    };
    let named = wanted.remove_issuers.iter().chain(&wanted.remove_key_files);
    for value in named.filter(|value| !goes(value)) {
        report::warning(&format!(
            "no file has \"{value}\" among its flags: irsa apiserver check shows what is in force"
        ));
    }
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
    let removing = !remove_issuer.is_empty() || !remove_key_file.is_empty();
    allow_removal(phase, removing)?;
    let wanted = Wanted {
        remove_issuers: remove_issuer,
        remove_key_files: remove_key_file,
        ..wanted.resolve(context)?
    };
    refuse_twice(&files)?;
    let mut planned = Vec::new();
    for path in files {
        planned.push(planned::prepare(
            path,
            distro.known(),
            &wanted,
            phase.into(),
        )?);
    }
    if !allow_unverified_key {
        planned::demand_verified(&planned, &wanted, phase.into())?;
    }
    for one in &planned {
        one.warn();
    }
    warn_absent(&planned, &wanted);
    let changed = planned.iter().any(Planned::changes);
    let write = !dry_run && !check;
    let next = next(&planned, phase);
    let files = if write && changed {
        let backups = super::backups(backup)?;
        let written = planned.into_iter().map(|one| one.write(&backups, phase));
        written.collect::<Result<_, _>>()?
    } else {
        planned.into_iter().map(|one| one.row).collect()
    };
    context.print(&Report {
        phase,
        written: write,
        files,
        next,
    })?;
    Ok(if check && changed {
        Exit::Differences
    } else {
        Exit::Done
    })
}

/// One file under two names would be patched once, and the second time found changed by somebody else.
fn refuse_twice(files: &[PathBuf]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for path in files {
        // What cannot be resolved is told when it is read.
        let whole = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        if !seen.insert(whole) {
            return Err(Failure::usage(
                format!("\"{}\" is given twice", path.display()),
                "give each file once: links to it are the same file",
            ));
        }
    }
    Ok(())
}

/// How what changes gets to the cluster.
fn next(planned: &[Planned], phase: PhaseArg) -> Vec<String> {
    let changing = planned.iter().filter(|one| one.changes());
    let mut next: Vec<String> = changing.map(|one| one.next(phase.into())).collect();
    next.dedup();
    next
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
