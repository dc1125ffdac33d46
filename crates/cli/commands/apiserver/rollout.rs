//! `irsa apiserver rollout`.

mod canary;
mod controller_manager;
mod keys;
mod manifest;
mod node;
mod settle;
mod stopped;
mod turn;
mod wait;
mod write;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use irsa_apiserver::file::Backups;
use irsa_apiserver::place;
use serde::Serialize;

use self::node::Node;
use self::stopped::Stopped;
pub(crate) use self::stopped::{signalled, unless_told_again};
pub(crate) use self::turn::Held;
use self::turn::Run;
use super::patch::PhaseArg;
use super::servers::ClusterArgs;
use super::wanted::WantedArgs;
use crate::args::duration;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;

/// Bring the API server of this control-plane node into a phase, and prove it.
///
/// Run it on each node in turn: accept on all of them, then sign on all of them. Before anything is changed the other
/// API servers must be healthy and accept a token as this one is going to sign it. Keys named with --place-key are
/// copied to a directory of their own and mounted. The manifest is replaced whole; the new process must appear, be
/// ready and serve the new state within the time given, or the manifest is put back as it was. One node at a time: a
/// Lease in the cluster sees to it. In phase sign kube-controller-manager follows with the same key. When a run is killed
/// before the proof, the next one on this node waits for it, or puts the manifest back; irsa apiserver revert FILE undoes
/// the last change by hand.
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
    /// How long the new state may take to be seen, for each component: 5s to 1h
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
    let stopped = Stopped::of(&args, super::backups(args.backup.clone())?);
    let held = Held::default();
    context.block_on(async {
        let report = tokio::select! {
            report = roll_out(args, context, &held) => report?,
            signal = signalled() => {
                let signal = signal?;
                let given_back = unless_told_again(held.give_back()).await;
                return Err(stopped.by(signal, given_back.unwrap_or(true)));
            }
        };
        context.print(&report)?;
        Ok(Exit::Done)
    })
}

/// Rolls one node out, for `irsa apiserver rollout` and for `irsa rotate`. What it holds is known to whoever ends it.
pub(crate) async fn roll_out(
    args: Args,
    context: &Context,
    held: &Held,
) -> Result<Report, Failure> {
    let (timeout, phase) = (bounded(args.timeout)?, args.phase);
    let backups = super::backups(args.backup.clone())?;
    if args.dry_run {
        settle::announce(&args, &backups)?;
        let node = Node::look(args, context).await?;
        node.may_begin().await?;
        return Ok(report(&node, phase, Vec::new()));
    }
    let mut run = Run::begin(&backups)?;
    let settled = settle::settle(&args, &backups, &mut run, held).await?;
    let node = Node::look(args, context).await?;
    node.may_begin().await?;
    let mut report = report(&node, phase, settled);
    let turn = held.take_turn(&run, &node.server, timeout).await??;
    // Between the look and the turn another node may have changed what the others accept.
    let rolled = match node.may_begin().await {
        Ok(elsewhere) => {
            let changed = Changed {
                node: &node,
                backups: &backups,
                held,
                timeout,
            };
            changed.act(&mut report, elsewhere).await
        }
        Err(error) => Err(error),
    };
    let given_back = run.give_back(turn, &node.server).await;
    held.lose();
    rolled?;
    given_back?;
    Ok(report)
}

/// Ends what a run left that died on this node: its change is proved or put back, and its turn is given back. Until then
/// no other node may restart anything, also when nothing more is to be done on this one.
pub(crate) async fn settle_dead(args: &Args, held: &Held) -> Result<(), Failure> {
    let timeout = bounded(args.timeout)?;
    let backups = super::backups(args.backup.clone())?;
    let mut run = Run::begin(&backups)?;
    if !run.follows_dead() {
        return Ok(());
    }
    settle::settle(args, &backups, &mut run, held).await?;
    let (true, Some(url)) = (run.follows_dead(), &args.server) else {
        return Ok(());
    };
    let config = args.cluster.config(&args.root).await?;
    let server = args.cluster.server(&config, url)?;
    match held.take_turn(&run, &server, timeout).await? {
        Ok(turn) => {
            let given_back = run.give_back(turn, &server).await;
            held.lose();
            given_back
        }
        // It has run out, and is another's by now; or who looks at this API server next sees that it is away.
        Err(error) => {
            tracing::debug!(%error, "the turn of a dead run is left as it is");
            Ok(())
        }
    }
}

fn report(node: &Node, phase: PhaseArg, proved: Vec<String>) -> Report {
    Report {
        phase,
        server: node.server.url().to_owned(),
        written: false,
        placed: Vec::new(),
        diff: node.diff(),
        backups: Vec::new(),
        proved,
    }
}

/// A node that is being changed, while the turn is its own.
struct Changed<'a> {
    node: &'a Node,
    backups: &'a Backups,
    held: &'a Held,
    timeout: Duration,
}

impl Changed<'_> {
    async fn act(&self, report: &mut Report, elsewhere: Vec<f64>) -> Result<(), Failure> {
        let Self {
            node,
            backups,
            held,
            timeout,
        } = *self;
        for key in &node.keys {
            report.placed.push(if key.private {
                place::private(&key.source, &key.directory, key.access)?
            } else {
                place::public(&key.source, &key.directory)?
            });
        }
        held.restarting(true);
        report.backups = node.write_api_server(backups, elsewhere, timeout).await?;
        held.restarting(false);
        report.written = true;
        report.proved.push(format!(
            "{} is ready and serves the new state",
            node.server.url()
        ));
        report.proved.extend(node.prove_to_peers().await?);
        held.restarting(true);
        let manager = node.write_controller_manager(backups, timeout).await?;
        held.restarting(false);
        if let Some(backup) = manager {
            report.backups.push(backup);
            report
                .proved
                .push("a new process of kube-controller-manager is healthy".to_owned());
        }
        Ok(())
    }
}

/// Longest and shortest `--timeout`: a node that needs an hour is ill, and a turn must run out some day.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_hours(1);

/// Refuses a time in which nothing sensible can be waited for.
fn bounded(timeout: Duration) -> Result<Duration, Failure> {
    if TIMEOUTS.contains(&timeout) {
        return Ok(timeout);
    }
    Err(Failure::usage(
        format!(
            "{} s for a restart is out of bounds, expected 5 s to 1 h",
            timeout.as_secs_f64()
        ),
        "give another --timeout, like --timeout 5m",
    ))
}

fn diff(path: &std::path::Path, before: &str, after: &str) -> String {
    irsa_apiserver::diff::shown(&path.display().to_string(), before, after)
}
