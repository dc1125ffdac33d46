//! `irsa webhook audit`.

use irsa_webhook::audit::{self, Finding};
use serde::Serialize;

use super::flags::InjectionArgs;
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
    /// Namespace of the ConfigMap "pod-identity-webhook", if the webhook watches it
    #[arg(long, value_name = "NAME")]
    pub config_map: Option<String>,
    /// Exit with 3 if there are any
    #[arg(long)]
    pub check: bool,
    /// What pods get.
    #[command(flatten)]
    pub injection: InjectionArgs,
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
        config_map,
        check,
        injection,
        kubernetes,
    } = args;
    let settings = injection.settings(context)?;
    context.block_on(async {
        let client = kubernetes.client().await?;
        let findings = audit::audit(
            &client,
            &settings,
            namespace.as_deref(),
            config_map.as_deref(),
        )
        .await?;
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
