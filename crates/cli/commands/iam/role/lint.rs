//! `irsa iam role lint`.

use std::path::PathBuf;

use aws_sdk_iam::Client;
use clap::ValueHint;
use irsa_core::trust::TrustPolicy;
use irsa_core::trust::lint::{self, Finding, KnownProvider, Level};
use irsa_iam::{provider, role};
use irsa_issuer::keyfile;
use serde::Serialize;

use crate::args::FetchArgs;
use crate::aws::AwsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;
use crate::visible::visible;

/// Look for mistakes in trust policies: of roles in IAM, or of files.
///
/// A missing aud or sub, patterns that let in too many, keys that differ in a slash or in case from the provider's name,
/// providers that do not exist. Exits with 3 when an error is found.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Roles [default: all of the account]
    #[arg(value_name = "ROLE", conflicts_with = "file")]
    pub roles: Vec<String>,
    /// A trust policy in a file instead (several: repeat it); nobody is asked
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Vec<PathBuf>,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Trust.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

#[derive(Serialize)]
struct Linted {
    policies: usize,
    findings: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    policy: String,
    level: &'static str,
    rule: &'static str,
    statement: String,
    message: String,
    help: String,
}

impl Row {
    fn new(policy: &str, finding: Finding) -> Self {
        let level = match finding.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        Self {
            policy: policy.to_owned(),
            level,
            rule: finding.rule,
            statement: finding.statement,
            message: finding.message,
            help: finding.help,
        }
    }
}

impl Render for Linted {
    fn text(&self) -> String {
        if self.findings.is_empty() {
            return format!(
                "{} trust policies, nothing to complain about",
                self.policies
            );
        }
        let line = |row: &Row| {
            format!(
                "{}: {}: statement {}: {} [{}]\n  {}",
                visible(&row.policy),
                row.level,
                visible(&row.statement),
                visible(&row.message),
                row.rule,
                row.help
            )
        };
        self.findings
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Looks through trust policies.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        roles,
        file,
        aws,
        fetch,
    } = args;
    let mut findings = Vec::new();
    let policies = if file.is_empty() {
        context.block_on(async {
            let client = Client::new(&aws.load(fetch.ca_file.as_deref()).await?);
            let known = known(&client).await?;
            let names = if roles.is_empty() {
                role::names(&client).await?
            } else {
                roles
            };
            for name in &names {
                let state = super::existing(&client, name).await?;
                let found = lint::lint(&state.trust, Some(&known));
                findings.extend(found.into_iter().map(|finding| Row::new(name, finding)));
            }
            Ok(names.len())
        })?
    } else {
        for path in &file {
            let text = keyfile::read(path)?;
            let name = path.display().to_string();
            let policy = TrustPolicy::parse(&String::from_utf8_lossy(&text))
                .map_err(|error| Failure::prefixed(&format!("\"{name}\" is refused"), &error))?;
            let found = lint::lint(&policy, None);
            findings.extend(found.into_iter().map(|finding| Row::new(&name, finding)));
        }
        file.len()
    };
    let bad = findings.iter().any(|row| row.level == "error");
    context.print(&Linted { policies, findings })?;
    Ok(if bad { Exit::Differences } else { Exit::Done })
}

async fn known(client: &Client) -> Result<Vec<KnownProvider>, Failure> {
    let mut known = Vec::new();
    for arn in provider::list(client).await? {
        if let Some(state) = provider::observe(client, &arn).await? {
            known.push(KnownProvider {
                arn,
                client_ids: state.client_ids,
            });
        }
    }
    Ok(known)
}
