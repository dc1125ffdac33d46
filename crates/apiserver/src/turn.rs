//! One node at a time: a Lease in the cluster that a node holds while it restarts its API server.

use std::time::Duration;

use irsa_core::explain::Explain;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::live::{ApiServer, LiveError};

/// Where the Lease is.
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
/// Its name.
const NAME: &str = "irsa-rollout";

/// The right to restart an API server. It runs out by itself when its holder dies.
#[derive(Debug, Clone)]
pub struct Turn {
    holder: String,
}

/// Why it is not this node's turn.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Another run is at it.
    #[error(
        "\"{holder}\" is rolling out since {since}, and has its turn until {until} at the latest"
    )]
    Taken {
        /// Which run: the host's name and what is its own.
        holder: String,
        /// Since when.
        since: String,
        /// When its turn runs out by itself.
        until: String,
    },
    /// The API server does not answer.
    #[error(transparent)]
    Live(#[from] LiveError),
}

impl Explain for TurnError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Taken { .. } => Some(format!(
                "one API server at a time: run it again when that one is through (Lease kube-system/{NAME} runs out by itself)"
            )),
            Self::Live(error) => error.help(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Taken { .. } => true,
            Self::Live(error) => error.retryable(),
        }
    }
}

impl Turn {
    /// Takes the turn for as long as a rollout may last. `holder` is the name of this run, which no other has; the turn
    /// of a run that `died` is taken over at once.
    pub async fn take(
        server: &ApiServer,
        holder: &str,
        died: &[String],
        lasts: Duration,
        now: Timestamp,
    ) -> Result<Self, TurnError> {
        let lease = |version: Option<&str>| {
            json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": NAME, "namespace": "kube-system", "resourceVersion": version},
                "spec": {
                    "holderIdentity": holder,
                    "leaseDurationSeconds": lasts.as_secs().max(1),
                    "acquireTime": micro(now),
                    "renewTime": micro(now),
                },
            })
        };
        let turn = Self {
            holder: holder.to_owned(),
        };
        match server.create(LEASES, "for its turn", &lease(None)).await {
            Ok(_) => return Ok(turn),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        let path = format!("{LEASES}/{NAME}");
        let found = match server.read(&path, "for its turn").await {
            // It went in this moment: somebody else may take it before us.
            Err(error) if error.is_not_found() => Value::Null,
            other => other?,
        };
        if let Some([holder, since, until]) = taken(&found, died, now) {
            return Err(TurnError::Taken {
                holder,
                since,
                until,
            });
        }
        let version = found
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str);
        match server.replace(&path, "for its turn", &lease(version)).await {
            Ok(_) => Ok(turn),
            Err(error) if error.is_conflict() || error.is_not_found() => Err(TurnError::Taken {
                holder: "another".to_owned(),
                since: now.to_string(),
                until: now
                    .saturating_add(lasts)
                    .map_or_else(|_| now.to_string(), |until| until.to_string()),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the turn back. When that fails it runs out by itself. Nothing is done to a turn that somebody else has
    /// taken since, be it between our look and our word.
    pub async fn give_back(self, server: &ApiServer) -> Result<(), TurnError> {
        let path = format!("{LEASES}/{NAME}");
        let found = match server.read(&path, "for its turn").await {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        let Some(options) = deletion(&found, &self.holder) else {
            return Ok(());
        };
        match server.delete(&path, "for its turn", &options).await {
            Err(error) if !error.is_conflict() && !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// What deletes a Lease (`DeleteOptions`) only while it is the one that was read, if this run holds it.
fn deletion(lease: &Value, holder: &str) -> Option<Value> {
    let text = |pointer| lease.pointer(pointer).and_then(Value::as_str);
    if text("/spec/holderIdentity") != Some(holder) {
        return None;
    }
    Some(json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {
            "uid": text("/metadata/uid")?,
            "resourceVersion": text("/metadata/resourceVersion")?,
        },
    }))
}

/// Who holds a Lease that has not run out, and may still be alive; since when and until when.
fn taken(lease: &Value, died: &[String], now: Timestamp) -> Option<[String; 3]> {
    let spec = lease.get("spec")?;
    let holder = spec
        .get("holderIdentity")?
        .as_str()
        .filter(|holder| !holder.is_empty() && !died.iter().any(|died| died == holder))?;
    let since = spec.get("renewTime")?.as_str()?;
    let seconds = spec.get("leaseDurationSeconds")?.as_i64()?;
    let until = since
        .parse::<Timestamp>()
        .ok()?
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .ok()?;
    (until > now).then(|| [holder.to_owned(), since.to_owned(), until.to_string()])
}

/// `MicroTime`, as Kubernetes writes it.
fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_somebody_elses_until_it_runs_out() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let lease = json!({"spec": {"holderIdentity": "a", "leaseDurationSeconds": 60, "renewTime": "2026-11-22T10:00:00.000000Z"}});
        let now = at("2026-11-22T10:00:59Z");
        let [holder, _, until] = taken(&lease, &[], now).unwrap();
        assert_eq!(
            [holder.as_str(), until.as_str()],
            ["a", "2026-11-22T10:01:00Z"]
        );
        assert_eq!(taken(&lease, &["b".into()], now).unwrap()[0], "a");
        let died = ["b".to_owned(), "a".to_owned()];
        assert_eq!(taken(&lease, &died, now), None, "a run that was killed");
        assert_eq!(taken(&lease, &[], at("2026-11-22T10:01:00Z")), None);
        assert_eq!(taken(&Value::Null, &[], now), None);
        assert_eq!(micro(now), "2026-11-22T10:00:59.000000Z");
    }

    #[test]
    fn a_turn_is_given_back_only_while_it_is_the_one_that_was_read() {
        let lease = json!({
            "metadata": {"uid": "u-1", "resourceVersion": "41"},
            "spec": {"holderIdentity": "ours"},
        });
        let options = deletion(&lease, "ours").unwrap();
        let only = json!({"uid": "u-1", "resourceVersion": "41"});
        assert_eq!(options["preconditions"], only);
        assert_eq!(deletion(&lease, "another"), None);
        let bare = json!({"spec": {"holderIdentity": "ours"}});
        assert_eq!(deletion(&bare, "ours"), None, "nothing to hold it to");
        assert_eq!(deletion(&Value::Null, "ours"), None);
    }
}
