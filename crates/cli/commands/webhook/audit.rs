//! `irsa webhook audit`.

use irsa_webhook::audit::{self, Finding, Sources};
use serde::Serialize;

use super::flags::InjectionArgs;
use super::sources::SourcesArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::output::{self, Render};
use crate::report::Failure;
use crate::visible::visible;

/// List pods that run without the role of their service account.
///
/// They were made while the webhook was away, or before the annotation, and use the node's role in silence.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this namespace [default: all]
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Exit with 3 if there are any
    #[arg(long)]
    pub check: bool,
    /// What pods get.
    #[command(flatten)]
    pub injection: InjectionArgs,
    /// Where roles come from besides annotations.
    #[command(flatten)]
    pub sources: SourcesArgs,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Found {
    rows: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    pod: String,
    service_account: String,
    role: String,
    problem: String,
    owner: String,
    fix: String,
}

impl From<&Finding> for Row {
    fn from(finding: &Finding) -> Self {
        Self {
            namespace: finding.namespace.clone(),
            pod: finding.pod.clone(),
            service_account: finding.account.clone(),
            role: finding.role.clone(),
            problem: finding.sentence(),
            owner: finding.owner.clone(),
            fix: finding.fix(),
        }
    }
}

impl Render for Found {
    fn text(&self) -> String {
        if self.rows.is_empty() {
            return "every pod has the role of its service account".to_owned();
        }
        let rows = self.rows.iter().map(|row| {
            [
                visible(&format!("{}/{}", row.namespace, row.pod)),
                visible(&row.service_account),
                visible(&row.owner),
                visible(&row.problem),
            ]
        });
        let table = output::table(["POD", "SERVICE ACCOUNT", "OWNER", "PROBLEM"], rows);
        let mut fixes: Vec<_> = self.rows.iter().map(|row| visible(&row.fix)).collect();
        fixes.dedup();
        format!("{table}\n\nto put it right:\n  {}", fixes.join("\n  "))
    }
}

/// Looks at every pod.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        namespace,
        check,
        injection,
        sources,
        kubernetes,
    } = args;
    let settings = injection.settings(context)?;
    let args = sources.over(context);
    let mut sources = Sources {
        associations: args.associations()?,
        ..Sources::default()
    };
    context.block_on(async {
        let client = kubernetes.client().await?;
        if let Some(namespace) = &args.config_map {
            sources.mappings = audit::config_map(&client, namespace).await?;
        }
        let findings = audit::audit(&client, &settings, namespace.as_deref(), &sources).await?;
        let any = !findings.is_empty();
        context.print(&Found {
            rows: findings.iter().map(Row::from).collect(),
        })?;
        Ok(if check && any {
            Exit::Differences
        } else {
            Exit::Done
        })
    })
}
