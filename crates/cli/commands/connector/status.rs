//! `irsa connector status`.

use irsa_connector::cluster::Cluster;
use irsa_connector::examine::{self, PodStatus};
use jiff::Timestamp;
use serde::Serialize;

use super::LookArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::{self, Failure};
use crate::visible::visible;

/// Show a connected cluster: its status in EKS, its activation, its agents and their last error.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to look at.
    #[command(flatten)]
    pub look: LookArgs,
}

#[derive(Serialize)]
struct Status {
    cluster_arn: String,
    status: String,
    provider: Option<String>,
    role_arn: Option<String>,
    registered: Option<Timestamp>,
    activation_id: Option<String>,
    activation_expires: Option<Timestamp>,
    activation_seconds_left: Option<i64>,
    pods: Option<Vec<PodStatus>>,
}

impl Render for Status {
    fn text(&self) -> String {
        let mut lines = vec![
            format!("cluster     {}", self.cluster_arn),
            format!("status      {}", visible(&self.status)),
        ];
        let mut line = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| format!("{name:<11} {}", visible(&value))));
        };
        line("provider", self.provider.clone());
        line("agent role", self.role_arn.clone());
        line("registered", self.registered.map(|at| at.to_string()));
        line("activation", self.activation_id.clone());
        if let (Some(expiry), Some(left)) = (self.activation_expires, self.activation_seconds_left)
        {
            let left = if left > 0 {
                format!("{} h {} min left", left / 3600, left % 3600 / 60)
            } else {
                "expired".to_owned()
            };
            line("expires", Some(format!("{expiry} ({left})")));
        }
        match &self.pods {
            None => {}
            Some(pods) if pods.is_empty() => line("pods", Some("none".to_owned())),
            Some(pods) => {
                for pod in pods {
                    let state = if pod.ready { "ready" } else { "not ready" };
                    let restarts = format!("{} restarts", pod.restarts);
                    let error = pod
                        .last_error
                        .iter()
                        .map(|error| format!("; last error: {error}"));
                    let error: String = error.collect();
                    line(
                        "pod",
                        Some(format!("{} {state}, {restarts}{error}", pod.name)),
                    );
                }
            }
        }
        lines.join("\n")
    }
}

/// Shows the status.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { look } = args;
    let LookArgs {
        registration,
        kubernetes,
    } = look;
    context.block_on(async {
        let session = registration.open().await?;
        let registration = &session.registration;
        let found = session
            .aws
            .describe_cluster(registration.name.as_str())
            .await?;
        let pods = match kubernetes.client().await {
            Ok(client) => examine::pods(&Cluster::new(client))
                .await
                .map_err(Failure::from),
            Err(error) => Err(error.into()),
        };
        let pods = match pods {
            Ok(pods) => Some(pods),
            // What EKS says is worth showing without the cluster.
            Err(failure) => {
                report::warning(&format!("the agents are not shown: {}", failure.message()));
                None
            }
        };
        let now = Timestamp::now();
        let cluster = found.unwrap_or_else(examine::unregistered);
        context.print(&Status {
            cluster_arn: registration.cluster_arn(),
            status: cluster.status,
            provider: cluster.provider,
            role_arn: cluster.role_arn,
            registered: cluster.created,
            activation_id: cluster.activation_id,
            activation_seconds_left: cluster
                .activation_expiry
                .map(|at| at.as_second() - now.as_second()),
            activation_expires: cluster.activation_expiry,
            pods,
        })?;
        Ok(Exit::Done)
    })
}
