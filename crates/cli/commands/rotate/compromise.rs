//! `irsa rotate --compromised`: who loses its tokens, and whether that is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, IsTerminal as _};

use irsa_core::kid::Kid;
use irsa_core::observation::Hold;
use irsa_core::policy::{RotationPolicy, spell};
use irsa_core::ring::KeyRing;
use irsa_core::rotation::Suspects;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;

use super::gates::{Cluster, Known, is_external, life, tokens_of};
use crate::output::table;
use crate::report::{self, Failure};
use crate::visible::visible;

/// What breaks when a key goes at once.
#[derive(Debug, Serialize)]
pub(super) struct Breaks {
    /// Pods with tokens that the key may have signed.
    pub(super) workloads: Vec<Workload>,
    /// Secrets with tokens of the key: they never expire, and end here.
    pub(super) secrets: Vec<String>,
}

/// Pods of one owner.
#[derive(Debug, Serialize)]
pub(super) struct Workload {
    namespace: String,
    kind: String,
    name: String,
    pods: usize,
    /// Whom their tokens are for; empty for the API server alone.
    audiences: BTreeSet<String>,
    /// The longest life of these tokens.
    token_seconds: u64,
}

impl Breaks {
    /// Looks at every pod and Secret.
    pub(super) async fn find(
        kid: &Kid,
        ring: &KeyRing,
        cluster: &Cluster,
        known: &Known,
    ) -> Result<Self, Failure> {
        let Some(suspects) = Suspects::of(kid, ring) else {
            return Ok(Self {
                workloads: Vec::new(),
                secrets: Vec::new(),
            });
        };
        let mut found: BTreeMap<(String, String, String), Workload> = BTreeMap::new();
        cluster
            .pods(|pod| {
                if suspects.has(created(pod)) && !has_ended(pod) {
                    count(pod, &mut found);
                }
            })
            .await?;
        let mut holds = cluster.holds(known).await?;
        let secrets = holds.remove(kid).unwrap_or_default();
        let secrets = secrets.into_iter().filter_map(|hold| match hold {
            Hold::LegacySecret { name } => Some(name),
            Hold::StaleTokens { .. } => None,
        });
        Ok(Self {
            workloads: found.into_values().collect(),
            secrets: secrets.collect(),
        })
    }

    /// The list, and what else must be done by hand.
    pub(super) fn text(&self, kid: &Kid, policy: &RotationPolicy) -> String {
        let mut text = if self.workloads.is_empty() && self.secrets.is_empty() {
            format!("no pod and no Secret has a token of {kid}\n")
        } else {
            let rows = self.workloads.iter().map(|workload| {
                let audiences: Vec<&str> = workload.audiences.iter().map(String::as_str).collect();
                [
                    visible(&workload.namespace),
                    visible(&workload.kind),
                    visible(&workload.name),
                    workload.pods.to_string(),
                    visible(&audiences.join(", ")),
                    spell(std::time::Duration::from_secs(workload.token_seconds)).to_string(),
                ]
            });
            let heading = ["namespace", "kind", "workload", "pods", "tokens for", "for"];
            format!(
                "tokens of these are refused until kubelet has brought new ones (at four fifths of their life) or the pods \
                 are made anew:\n\n{}\n",
                table(heading, rows)
            )
        };
        for secret in &self.secrets {
            text.push_str("\nits token never works again: delete the Secret and make it anew: ");
            text.push_str(&visible(secret));
        }
        let caches = spell(policy.assumptions().caches);
        let advice = format!(
            "\nRelying parties that keep a JWKS accept whoever has the key for up to {caches} more. To shut them out at once, deny \
             sts:AssumeRoleWithWebIdentity to the issuer's provider in the trust policies of roles that matter, and end \
             sessions that began before now with a deny on aws:TokenIssueTime."
        );
        text.push_str(&advice);
        text
    }
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn count(pod: &Pod, found: &mut BTreeMap<(String, String, String), Workload>) {
    let mut tokens = tokens_of(pod).peekable();
    if tokens.peek().is_none() {
        return;
    }
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let (kind, name) = owner(pod);
    let key = (namespace.clone(), kind.clone(), name.clone());
    let workload = found.entry(key).or_insert_with(|| Workload {
        namespace,
        kind,
        name,
        pods: 0,
        audiences: BTreeSet::new(),
        token_seconds: 0,
    });
    workload.pods += 1;
    for token in tokens {
        workload.token_seconds = workload.token_seconds.max(life(token).as_secs());
        if is_external(token) {
            workload.audiences.extend(token.audience.clone());
        }
    }
}

/// Who made a pod: what a person knows and can restart. A ReplicaSet stands for its Deployment.
fn owner(pod: &Pod) -> (String, String) {
    let metadata = &pod.metadata;
    let owners = metadata.owner_references.iter().flatten();
    let controller = owners
        .into_iter()
        .find(|owner| owner.controller == Some(true));
    let Some(controller) = controller else {
        return ("Pod".into(), metadata.name.clone().unwrap_or_default());
    };
    let hash = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get("pod-template-hash"));
    let deployment = hash.and_then(|hash| controller.name.strip_suffix(hash)?.strip_suffix('-'));
    match deployment {
        Some(name) if controller.kind == "ReplicaSet" => ("Deployment".into(), name.to_owned()),
        _ => (controller.kind.clone(), controller.name.clone()),
    }
}

/// Shows what breaks, and asks whether that is wanted unless it was said already.
pub(super) fn confirm(
    kid: &Kid,
    breaks: &Breaks,
    policy: &RotationPolicy,
    yes: bool,
) -> Result<(), Failure> {
    report::note(&breaks.text(kid, policy));
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            format!("every living token of {kid} would be refused, and nobody can be asked"),
            "add --yes if that is wanted; nothing was changed",
        ));
    }
    report::note(&format!("Refuse every living token of {kid}? Type yes:"));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::system("the answer cannot be read", &error))?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Failure::usage("it was not wanted", "nothing was changed"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn pods_are_told_by_what_a_person_can_restart() {
        let owned = |kind: &str, name: &str| json!([{"apiVersion": "v1", "kind": kind, "name": name, "uid": "1", "controller": true}]);
        let of = |references: serde_json::Value| {
            owner(&pod(
                json!({"metadata": {"name": "web-7f9-x2", "labels": {"pod-template-hash": "7f9"}, "ownerReferences": references}}),
            ))
        };
        assert_eq!(
            of(owned("ReplicaSet", "web-7f9")),
            ("Deployment".into(), "web".into())
        );
        assert_eq!(
            of(owned("DaemonSet", "agent")),
            ("DaemonSet".into(), "agent".into())
        );
        assert_eq!(of(json!([])), ("Pod".into(), "web-7f9-x2".into()));
    }

    #[test]
    fn workloads_are_counted_with_whom_their_tokens_are_for() {
        let one = |name: &str, audience: &str, seconds: u64| {
            pod(
                json!({"metadata": {"namespace": "shop", "name": name, "ownerReferences":
                [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "1", "controller": true}]},
                "spec": {"containers": [], "volumes": [{"name": "t", "projected": {"sources": [
                    {"serviceAccountToken": {"audience": audience, "expirationSeconds": seconds, "path": "t"}}]}}]}}),
            )
        };
        let mut found = BTreeMap::new();
        count(&one("db-0", "sts.amazonaws.com", 86400), &mut found);
        count(&one("db-1", "", 3607), &mut found);
        count(
            &pod(json!({"metadata": {"name": "bare"}, "spec": {"containers": []}})),
            &mut found,
        );
        let workloads: Vec<Workload> = found.into_values().collect();
        assert_eq!(workloads.len(), 1);
        assert_eq!((workloads[0].pods, workloads[0].token_seconds), (2, 86400));
        assert_eq!(
            workloads[0].audiences,
            BTreeSet::from(["sts.amazonaws.com".to_owned()])
        );
    }

    #[test]
    fn a_pod_that_has_ended_has_no_token_any_more() {
        let made = |phase: &str| {
            pod(
                json!({"metadata": {"name": "p", "creationTimestamp": "1970-01-01T00:16:41Z"}, "status": {"phase": phase}}),
            )
        };
        for (phase, ended) in [("Running", false), ("Succeeded", true), ("Failed", true)] {
            assert_eq!(has_ended(&made(phase)), ended, "{phase}");
        }
        assert_eq!(
            created(&made("Running")),
            Some(Timestamp::from_second(1001).unwrap())
        );
    }
}
