//! Looks at everything that the doctor and the status need; changes nothing, and lets no failed look stop the others.

use irsa_core::explain::on_one_line;
use jiff::Timestamp;
use kube::Client;
use serde::Serialize;
use serde_json::Value;

use crate::aws::{Aws, Caller};
use crate::call::CallError;
use crate::cluster::{Cluster, ClusterError};
use crate::doctor::{Facts, KubernetesFacts, PodFacts, secret_state};
use crate::json::at;
use crate::manifest::{ACTIVATION_SECRET, Kind, NAMESPACE, ObjectRef, STATEFUL_SET};
use crate::plan::ClusterRecord;
use crate::principal::ConsoleArn;
use crate::role::{Registration, SERVICE_LINKED_ROLE, role_name_of};

/// The containers of a connector pod, in the order of starting.
const CONTAINERS: [&str; 3] = ["connector-init", "connector-agent", "connector-proxy"];

/// One pod of the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodStatus {
    /// Its name.
    pub name: String,
    /// Whether it serves.
    pub ready: bool,
    /// How often its containers were started again.
    pub restarts: u64,
    /// What last went wrong, as Kubernetes names it.
    pub last_error: Option<String>,
}

/// The connector's pods in short.
pub async fn pods(cluster: &Cluster) -> Result<Vec<PodStatus>, ClusterError> {
    Ok(cluster.pods().await?.iter().map(pod_status).collect())
}

/// What stands for a cluster that EKS does not know.
pub fn unregistered() -> ClusterRecord {
    ClusterRecord {
        status: "not registered".to_owned(),
        ..ClusterRecord::default()
    }
}

/// Everything that the doctor asks for.
pub async fn facts(
    aws: &Aws,
    registration: &Registration,
    caller: &Caller,
    client: Result<Client, String>,
    now: Timestamp,
) -> Facts {
    let eks = said(aws.describe_cluster(registration.name.as_str()).await);
    let registered = eks.as_ref().ok().and_then(Option::as_ref);
    let role_name = registered
        .and_then(|cluster| cluster.role_arn.as_deref())
        .and_then(role_name_of)
        .map_or_else(|| registration.role_name(), str::to_owned);
    let kubernetes = match client {
        Ok(client) => kubernetes(&Cluster::new(client))
            .await
            .map_err(|error| on_one_line(&error)),
        Err(why) => Err(why),
    };
    Facts {
        registration: registration.clone(),
        now,
        caller: ConsoleArn::parse(&caller.arn).ok(),
        service_linked_role: said(aws.role(SERVICE_LINKED_ROLE).await).map(|role| role.is_some()),
        role: said(aws.role(&role_name).await),
        policy: said(aws.agent_policy(&role_name).await),
        eks,
        kubernetes,
    }
}

async fn kubernetes(cluster: &Cluster) -> Result<KubernetesFacts, ClusterError> {
    let installed = cluster.installed().await?;
    let secret = ObjectRef::namespaced(Kind::Secret, NAMESPACE, ACTIVATION_SECRET);
    let secret = zeroized(cluster.read(&secret).await?);
    let set = ObjectRef::namespaced(Kind::StatefulSet, NAMESPACE, STATEFUL_SET);
    let set = cluster.read(&set).await?;
    let mut pods = Vec::new();
    for pod in cluster.pods().await? {
        let logs = logs(cluster, &pod).await;
        pods.push(PodFacts { pod, logs });
    }
    Ok(KubernetesFacts {
        installed,
        activation: secret_state(secret.0.as_ref()),
        activation_id: set.as_ref().and_then(activation_id),
        console: cluster.console().await?,
        pods,
        nodes: cluster.nodes().await.map_err(|error| on_one_line(&error)),
    })
}

async fn logs(cluster: &Cluster, pod: &Value) -> Vec<(String, String)> {
    let name = at(pod, &["metadata", "name"]).as_str().unwrap_or_default();
    let mut logs = Vec::new();
    for container in CONTAINERS {
        for previous in [true, false] {
            if let Some(text) = cluster.log(name, container, previous).await {
                logs.push((container.to_owned(), text));
            }
        }
    }
    logs
}

/// The ID that the init container is started with.
fn activation_id(set: &Value) -> Option<String> {
    let containers = at(set, &["spec", "template", "spec", "initContainers"]).as_array()?;
    let variables = containers
        .iter()
        .filter_map(|c| at(c, &["env"]).as_array())
        .flatten();
    let id = variables
        .filter(|variable| at(variable, &["name"]) == "EKS_ACTIVATION_ID")
        .find_map(|variable| at(variable, &["value"]).as_str());
    id.map(str::to_owned)
}

fn pod_status(pod: &Value) -> PodStatus {
    let list = |key: &str| {
        at(pod, &["status", key])
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let containers: Vec<_> = [list("initContainerStatuses"), list("containerStatuses")].concat();
    let ready = list("conditions")
        .iter()
        .any(|c| at(c, &["type"]) == "Ready" && at(c, &["status"]) == "True");
    let unscheduled = list("conditions")
        .iter()
        .find(|c| at(c, &["type"]) == "PodScheduled" && at(c, &["status"]) == "False")
        .map(|c| text(at(c, &["message"])));
    let waiting = containers.iter().find_map(|container| {
        let waiting = at(container, &["state", "waiting"]);
        let reason = at(waiting, &["reason"]).as_str()?;
        (reason != "PodInitializing" && reason != "ContainerCreating")
            .then(|| format!("{}: {reason}", text(at(container, &["name"]))))
    });
    let ended = containers.iter().find_map(|container| {
        let ended = at(container, &["lastState", "terminated"]);
        let code = at(ended, &["exitCode"])
            .as_i64()
            .filter(|code| *code != 0)?;
        Some(format!(
            "{}: {} with {code}",
            text(at(container, &["name"])),
            text(at(ended, &["reason"]))
        ))
    });
    PodStatus {
        name: text(at(pod, &["metadata", "name"])),
        ready,
        restarts: containers
            .iter()
            .filter_map(|c| at(c, &["restartCount"]).as_u64())
            .sum(),
        last_error: unscheduled.or(waiting).or(ended),
    }
}

/// A Secret that was read, wiped when it goes.
fn zeroized(value: Option<Value>) -> Wiped {
    Wiped(value)
}

struct Wiped(Option<Value>);

impl Drop for Wiped {
    fn drop(&mut self) {
        if let Some(value) = &mut self.0 {
            crate::manifest::wipe(value);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn said<T>(asked: Result<T, CallError>) -> Result<T, String> {
    asked.map_err(|error| on_one_line(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_told_in_short() {
        let ready = json!({"metadata": {"name": "p"}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "a", "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}],
        }});
        assert_eq!(
            pod_status(&ready),
            PodStatus {
                name: "p".into(),
                ready: true,
                restarts: 2,
                last_error: Some("a: Error with 1".into())
            }
        );
        let waiting = json!({"metadata": {"name": "p"}, "status": {
            "initContainerStatuses": [{"name": "i", "restartCount": 0, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
            "containerStatuses": [{"name": "a", "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}],
        }});
        assert_eq!(
            pod_status(&waiting).last_error.as_deref(),
            Some("i: CrashLoopBackOff")
        );
        assert_eq!(pod_status(&json!({})).last_error, None);
    }
}
