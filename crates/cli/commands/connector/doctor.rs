//! `irsa connector doctor`.

use irsa_connector::doctor::{Facts, Finding, Verdict, diagnose};
use irsa_connector::examine;
use jiff::Timestamp;
use serde::Serialize;

use super::LookArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;
use crate::visible::visible;

/// Find out why a connected cluster is not seen in the console.
///
/// Looks at the registration, the roles, the agents with the ends of their logs, and the grants; changes nothing. Exits
/// with 1 if something keeps the cluster from being seen.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to look at.
    #[command(flatten)]
    pub look: LookArgs,
}

#[derive(Serialize)]
struct Report {
    cluster_arn: String,
    findings: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    about: &'static str,
    verdict: &'static str,
    found: String,
    help: Option<String>,
}

impl From<Finding> for Row {
    fn from(finding: Finding) -> Self {
        let Finding {
            about,
            verdict,
            found,
            help,
        } = finding;
        Self {
            about,
            verdict: match verdict {
                Verdict::Good => "ok",
                Verdict::Doubtful => "doubt",
                Verdict::Bad => "bad",
            },
            found,
            help,
        }
    }
}

impl Render for Report {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for row in &self.findings {
            lines.push(format!(
                "{:<5} {}: {}",
                row.verdict,
                row.about,
                visible(&row.found)
            ));
            lines.extend(
                row.help
                    .iter()
                    .map(|help| format!("      help: {}", visible(help))),
            );
        }
        lines.join("\n")
    }
}

/// Examines a cluster.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { look } = args;
    let LookArgs {
        registration,
        kubernetes,
    } = look;
    context.block_on(async {
        let session = registration.open().await?;
        let client = kubernetes
            .client()
            .await
            .map_err(|error| Failure::from(error).message());
        let facts: Facts = examine::facts(
            &session.aws,
            &session.registration,
            &session.caller,
            client,
            Timestamp::now(),
        )
        .await;
        let findings = diagnose(&facts);
        let bad = findings
            .iter()
            .any(|finding| finding.verdict == Verdict::Bad);
        context.print(&Report {
            cluster_arn: session.registration.cluster_arn(),
            findings: findings.into_iter().map(Row::from).collect(),
        })?;
        Ok(if bad { Exit::Failed } else { Exit::Done })
    })
}
