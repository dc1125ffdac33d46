//! `irsa connector deregister`.

use irsa_connector::cluster::{Cluster, ClusterError};
use irsa_connector::deregister::{self, Incomplete, Part};
use irsa_connector::install::{self, Removal};
use irsa_connector::journal::Journal;
use irsa_core::explain::Explain;
use serde::Serialize;

use super::{JournalArgs, RegistrationArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::{KubernetesArgs, KubernetesError};
use crate::output::Render;
use crate::report::{self, Failure};
use crate::visible::visible;

/// Take a registration back: the cluster in EKS, the role that irsa made, the objects that irsa made.
///
/// Each part is tried whatever became of the others, and what is gone already is passed over: a run that was interrupted
/// is repeated. Roles and objects that irsa did not make are left alone and named.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which registration.
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Print what would be deleted, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Leave the agent role alone
    #[arg(long)]
    pub keep_role: bool,
    /// Leave the objects in the cluster alone
    #[arg(long)]
    pub keep_k8s: bool,
    /// The journal.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

#[derive(Serialize)]
struct Deregistered {
    cluster_arn: String,
    dry_run: bool,
    parts: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    state: &'static str,
    what: String,
}

impl Render for Deregistered {
    fn text(&self) -> String {
        let rows = self.parts.iter();
        let mut lines: Vec<_> = rows
            .map(|row| format!("{:<8} {}", row.state, visible(&row.what)))
            .collect();
        if self.dry_run {
            lines.push("nothing was changed".into());
        }
        lines.join("\n")
    }
}

/// What a run leaves, or would leave.
struct Outcome {
    dry_run: bool,
    rows: Vec<Row>,
    failures: Vec<Failed>,
}

struct Failed {
    what: String,
    later: bool,
    source: Box<dyn std::error::Error + Send + Sync>,
    help: Option<String>,
}

/// Takes the registration back.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        registration,
        dry_run,
        keep_role,
        keep_k8s,
        journal,
        kubernetes,
    } = args;
    let journal = journal.root()?;
    context.block_on(async {
        let session = registration.open().await?;
        let registration = &session.registration;
        let journal = Journal::new(&journal, registration);
        // Only a run that changes something keeps others away, and makes the folder if there is none.
        let journal = if dry_run { None } else { Some(journal.lock()?) };
        let mut outcome = Outcome {
            dry_run,
            rows: Vec::new(),
            failures: Vec::new(),
        };
        let (part, seen) = deregister::cluster(&session.aws, registration, dry_run).await;
        let still_there = matches!(part, Part::Failed(..));
        outcome.part(part);
        let role = format!("role \"{}\"", registration.role_name());
        if keep_role {
            outcome.row("kept", format!("{role}: --keep-role"));
        } else if still_there {
            // Without its role the cluster would still be registered, and its agents dead.
            outcome.row("kept", format!("{role}: the cluster is still registered"));
        } else {
            let named = seen
                .as_ref()
                .and_then(|cluster| cluster.role_arn.as_deref());
            for part in deregister::role(&session.aws, registration, named, dry_run).await {
                outcome.part(part);
            }
        }
        if keep_k8s {
            outcome.row("kept", "objects in the cluster: --keep-k8s".into());
        } else {
            outcome
                .objects(&kubernetes, &registration.cluster_arn())
                .await;
        }
        if let Some(journal) = journal.filter(|_| !still_there) {
            journal.erase()?;
        }
        let Outcome { rows, failures, .. } = outcome;
        context.print(&Deregistered {
            cluster_arn: registration.cluster_arn(),
            dry_run,
            parts: rows,
        })?;
        finish(registration.name.as_str(), failures)
    })
}

fn finish(name: &str, failures: Vec<Failed>) -> Result<Exit, Failure> {
    let later = failures.iter().all(|failed| failed.later);
    let stands = failures.iter().map(|failed| failed.what.clone()).collect();
    let Some(first) = failures.into_iter().next() else {
        return Ok(Exit::Done);
    };
    Err(Incomplete {
        name: name.to_owned(),
        stands,
        later,
        source: first.source,
        help: first.help,
    }
    .into())
}

impl Outcome {
    fn row(&mut self, state: &'static str, what: String) {
        self.rows.push(Row { state, what });
    }

    fn deleted(&mut self, what: String) {
        let state = if self.dry_run { "delete" } else { "deleted" };
        self.row(state, what);
    }

    fn part(&mut self, part: Part) {
        match part {
            Part::Done(what) => self.deleted(what),
            Part::Absent(what) => self.row("absent", what),
            Part::Kept(what) => self.row("kept", what),
            Part::Failed(what, error) => self.fail(what, *error),
        }
    }

    fn fail(&mut self, what: String, error: impl Explain + Send + Sync + 'static) {
        self.row("stands", what.clone());
        self.failures.push(Failed {
            what,
            later: error.retryable(),
            help: error.help(),
            source: Box::new(error),
        });
    }

    async fn objects(&mut self, kubernetes: &KubernetesArgs, cluster_arn: &str) {
        const ALL: &str = "objects in the cluster";
        let client = match kubernetes.client().await {
            Ok(client) => client,
            Err(error) => {
                let error: KubernetesError = error;
                report::note("give --keep-k8s if the cluster is gone or was never connected");
                self.fail(ALL.into(), error);
                return;
            }
        };
        let removals = install::remove(&Cluster::new(client), cluster_arn, self.dry_run).await;
        if removals.is_empty() {
            self.row("absent", ALL.into());
        }
        for removal in removals {
            match removal {
                Removal::Done(what) => self.deleted(what),
                Removal::Kept(what) => self.row("kept", what),
                Removal::Failed(error) => {
                    let error: ClusterError = *error;
                    self.fail(ALL.into(), error);
                }
            }
        }
    }
}
