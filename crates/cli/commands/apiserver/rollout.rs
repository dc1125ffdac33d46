//! `irsa apiserver rollout`.

mod keys;
mod node;
mod wait;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use irsa_apiserver::turn::Turn;
use irsa_apiserver::{place, yaml};
use jiff::Timestamp;
use serde::Serialize;

use self::node::Node;
use super::patch::PhaseArg;
use super::servers::ClusterArgs;
use super::wanted::WantedArgs;
use crate::args::duration;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::{self, Failure};

/// Bring the API server of this control-plane node into a phase, and prove it.
///
/// Run it on each node in turn: accept on all of them, then sign on all of them. Before anything is changed the other
/// API servers must be healthy and accept a token as this one is going to sign it. Keys named with --place-key are
/// copied to a directory of their own and mounted. The manifest is replaced whole; the new process must appear, be
/// ready and serve the new state within the time given, or the manifest is put back as it was. One node at a time: a
/// Lease in the cluster sees to it. In phase sign kube-controller-manager follows with the same key.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the flags shall be.
    #[command(flatten)]
    pub wanted: WantedArgs,
    /// Public key file of this host to place for kube-apiserver and to accept tokens with (several: repeat it)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub place_key: Vec<PathBuf>,
    /// Private key file of this host to place for kube-apiserver and to sign with
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "signing_key_file")]
    pub place_signing_key: Option<PathBuf>,
    /// Where keys are placed
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes/irsa")]
    pub key_directory: String,
    /// The pass
    #[arg(long, value_enum, value_name = "PHASE")]
    pub phase: PhaseArg,
    /// Issuer to stop accepting, with --phase retire (several: repeat it)
    #[arg(long, value_name = "URL")]
    pub remove_issuer: Vec<String>,
    /// Key file to stop accepting, with --phase retire (several: repeat it)
    #[arg(long, value_name = "PATH")]
    pub remove_key_file: Vec<String>,
    /// Manifest of kube-apiserver
    #[arg(long, value_name = "FILE", default_value = "/etc/kubernetes/manifests/kube-apiserver.yaml", value_hint = ValueHint::FilePath)]
    pub manifest: PathBuf,
    /// Manifest of kube-controller-manager [default: kube-controller-manager.yaml beside it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub controller_manager_manifest: Option<PathBuf>,
    /// Address of this node's API server [default: from its manifest]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Address of another API server (several: repeat it) [default: those that registered themselves]
    #[arg(long, value_name = "URL")]
    pub peer: Vec<String>,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Go on although fewer than two other API servers are healthy: the API is away for some seconds
    #[arg(long)]
    pub allow_single: bool,
    /// How long the new state may take to be seen, for each component
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub timeout: Duration,
    /// Where this host's files are found, when irsa runs in a container
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = ValueHint::DirPath)]
    pub root: PathBuf,
    /// Where the manifests as they were are kept [default: /var/lib/irsa/backup for root, else ~/.local/state/irsa/backup]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub backup: Option<PathBuf>,
    /// Check what must hold before, print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Serialize)]
pub(crate) struct Report {
    phase: PhaseArg,
    server: String,
    written: bool,
    placed: Vec<PathBuf>,
    diff: String,
    backups: Vec<PathBuf>,
    /// What was seen at the end.
    proved: Vec<String>,
}

impl Render for Report {
    fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(
            self.placed
                .iter()
                .map(|path| format!("placed {}", path.display())),
        );
        if !self.diff.is_empty() {
            lines.push(self.diff.trim_end().to_owned());
        }
        lines.extend(
            self.backups
                .iter()
                .map(|path| format!("as it was: {}", path.display())),
        );
        lines.extend(self.proved.iter().map(|fact| format!("seen: {fact}")));
        lines.push(match (self.written, self.diff.is_empty()) {
            (_, true) => format!("nothing to do on {}", self.server),
            (true, false) => format!(
                "{} is in phase {}",
                self.server,
                format!("{:?}", self.phase).to_lowercase()
            ),
            (false, false) => "nothing was written".to_owned(),
        });
        lines.join("\n")
    }
}

/// Rolls one node out.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    if args.phase == PhaseArg::New {
        return Err(Failure::usage(
            "phase new is for a cluster that does not exist yet",
            "irsa apiserver patch --phase new FILE",
        ));
    }
    let removing = !args.remove_issuer.is_empty() || !args.remove_key_file.is_empty();
    if removing != (args.phase == PhaseArg::Retire) {
        return Err(Failure::usage(
            "what is named for removal and phase retire belong together",
            "use --phase retire with --remove-issuer URL or --remove-key-file PATH, when no token of it is alive",
        ));
    }
    context.block_on(async {
        let report = roll_out(args, context).await?;
        context.print(&report)?;
        Ok(Exit::Done)
    })
}

/// Rolls one node out, for `irsa apiserver rollout` and for `irsa rotate`.
pub(crate) async fn roll_out(args: Args, context: &Context) -> Result<Report, Failure> {
    let (dry_run, timeout, backup, phase) =
        (args.dry_run, args.timeout, args.backup.clone(), args.phase);
    let node = Node::look(args, context).await?;
    node.may_begin().await?;
    let mut report = Report {
        phase,
        server: node.server.url().to_owned(),
        written: false,
        placed: Vec::new(),
        diff: node.diff(),
        backups: Vec::new(),
        proved: Vec::new(),
    };
    if dry_run {
        return Ok(report);
    }
    let holder = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let turn = Turn::take(&node.server, &holder, timeout * 4, Timestamp::now()).await?;
    // Between the look and the turn another node may have changed what the others accept.
    let rolled = match node.may_begin().await {
        Ok(()) => act(&node, &mut report, timeout, backup).await,
        Err(error) => Err(error),
    };
    if let Err(error) = turn.give_back(&node.server).await {
        report::warning(&format!(
            "the turn is not given back and runs out by itself: {error}"
        ));
    }
    rolled?;
    Ok(report)
}

async fn act(
    node: &Node,
    report: &mut Report,
    timeout: Duration,
    backup: Option<PathBuf>,
) -> Result<(), Failure> {
    for key in &node.keys {
        report.placed.push(if key.private {
            place::private(&key.source, &key.directory, key.access)?
        } else {
            place::public(&key.source, &key.directory)?
        });
    }
    let backups = super::backups(backup)?;
    report.backups = node.write_api_server(&backups, timeout).await?;
    report.written = true;
    report.proved.push(format!(
        "{} is ready and serves the new state",
        node.server.url()
    ));
    report.proved.extend(node.prove_to_peers().await?);
    if let Some(backup) = node.write_controller_manager(&backups, timeout).await? {
        report.backups.push(backup);
        report
            .proved
            .push("kube-controller-manager was started anew and is healthy".to_owned());
    }
    Ok(())
}

fn diff(path: &std::path::Path, before: &str, after: &str) -> String {
    yaml::diff(&path.display().to_string(), before, after)
}
