//! Waiting for the agents.

use std::time::Duration;

use irsa_core::explain::Explain as _;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::aws::Aws;
use crate::plan::{ClusterRecord, Request};
use crate::register::{RegisterError, Timing};

/// Waits until the cluster is connected, and logs every change of its status.
pub async fn await_connected(
    aws: &Aws,
    request: &Request,
    limit: Duration,
    timing: Timing,
) -> Result<ClusterRecord, RegisterError> {
    let name = request.registration.name.as_str();
    let start = Instant::now();
    let mut shown = String::new();
    loop {
        // One bad answer must not end a wait of minutes.
        let status = match aws.describe_cluster(name).await {
            Ok(Some(cluster)) if cluster.status == "ACTIVE" => return Ok(cluster),
            Ok(Some(cluster)) => cluster.status,
            Ok(None) => "not registered".to_owned(),
            Err(error) if error.retryable() => {
                warn!("{error}");
                shown.clone()
            }
            Err(error) => {
                return Err(RegisterError::Interrupted {
                    name: name.to_owned(),
                    registered: true,
                    source: Box::new(error),
                });
            }
        };
        if status != shown {
            info!(%status, "waiting until \"{name}\" is connected");
            shown.clone_from(&status);
        }
        let waited = start.elapsed();
        if status == "FAILED" || status == "not registered" || waited + timing.poll > limit {
            return Err(RegisterError::NotConnected {
                name: name.to_owned(),
                status,
                waited,
            });
        }
        sleep(timing.poll).await;
    }
}
