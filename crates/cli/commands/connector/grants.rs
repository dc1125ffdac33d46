//! `irsa connector grant`, `revoke` and `grants`: who may see the cluster in the console.

use irsa_connector::cluster::Cluster;
use irsa_connector::grant::{Access, Grants};
use irsa_connector::install;
use irsa_connector::manifest::console;
use irsa_connector::principal::ConsoleArn;
use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::output::{Render, table};
use crate::report::Failure;

/// Let IAM users and roles see the cluster in the console.
///
/// The role's path and session are taken off, as the console does: single sign-on roles can be given as IAM shows them.
/// Access adds up with what a principal has already.
#[derive(Debug, clap::Args)]
pub struct GrantArgs {
    /// ARN=full, ARN=ns:NAMESPACE,… for the workloads of some namespaces, or ARN=impersonate when you bind its rights yourself
    #[arg(required = true, value_name = "ARN=ACCESS")]
    pub grants: Vec<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Take all access in the console from IAM users and roles.
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// ARN of the user or role
    #[arg(required = true, value_name = "ARN")]
    pub principals: Vec<String>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Show who may see the cluster in the console.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

#[derive(Serialize)]
struct Changed {
    changed: bool,
    changes: Vec<String>,
    grants: Vec<Row>,
}

impl Render for Changed {
    fn text(&self) -> String {
        if self.changes.is_empty() {
            return "nothing to do: the grants are as they should be".into();
        }
        let end = if self.changed {
            format!("done: {} granted", self.grants.len())
        } else {
            "nothing was changed".into()
        };
        format!("{}\n{end}", self.changes.join("\n"))
    }
}

#[derive(Serialize)]
struct Listed {
    grants: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    arn: String,
    access: &'static str,
    namespaces: Vec<String>,
}

impl Render for Listed {
    fn text(&self) -> String {
        if self.grants.is_empty() {
            return "nobody may see the cluster in the console".into();
        }
        let rows = self.grants.iter().map(|row| {
            [
                row.arn.clone(),
                row.access.to_owned(),
                row.namespaces.join(" "),
            ]
        });
        table(["ARN", "ACCESS", "NAMESPACES"], rows)
    }
}

/// Gives access.
pub fn grant(args: GrantArgs, context: &Context) -> Result<Exit, Failure> {
    let GrantArgs {
        grants,
        dry_run,
        kubernetes,
    } = args;
    let more = Grants::parse(&grants).map_err(|error| Failure::refused(&error))?;
    let decide = move |standing: &mut Grants| *standing = standing.merged(&more);
    change(&kubernetes, decide, dry_run, context)
}

/// Takes access.
pub fn revoke(args: RevokeArgs, context: &Context) -> Result<Exit, Failure> {
    let RevokeArgs {
        principals,
        dry_run,
        kubernetes,
    } = args;
    let parsed = principals.iter().map(|text| ConsoleArn::parse(text));
    let gone: Vec<_> = parsed
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::refused(&error))?;
    let decide = move |standing: &mut Grants| {
        for principal in &gone {
            standing.remove(principal);
        }
    };
    change(&kubernetes, decide, dry_run, context)
}

/// Lists who has access.
pub fn list(args: ListArgs, context: &Context) -> Result<Exit, Failure> {
    let ListArgs { kubernetes } = args;
    context.block_on(async {
        let cluster = Cluster::new(kubernetes.client().await?);
        let grants = console::read(&cluster.console().await?)?;
        context.print(&Listed {
            grants: rows(&grants),
        })?;
        Ok(Exit::Done)
    })
}

fn change(
    kubernetes: &KubernetesArgs,
    decide: impl FnOnce(&mut Grants),
    dry_run: bool,
    context: &Context,
) -> Result<Exit, Failure> {
    context.block_on(async {
        let cluster = Cluster::new(kubernetes.client().await?);
        let (grants, changes) = install::regrant(&cluster, decide, dry_run).await?;
        context.print(&Changed {
            changed: !dry_run && !changes.is_empty(),
            changes,
            grants: rows(&grants),
        })?;
        Ok(Exit::Done)
    })
}

fn rows(grants: &Grants) -> Vec<Row> {
    let row = |(arn, access): (&ConsoleArn, &Access)| {
        let (access, namespaces) = match access {
            Access::Full => ("full", Vec::new()),
            Access::Impersonate => ("impersonate", Vec::new()),
            Access::Namespaces(all) => ("namespaces", all.iter().cloned().collect()),
        };
        Row {
            arn: arn.to_string(),
            access,
            namespaces,
        }
    };
    grants.iter().map(row).collect()
}
