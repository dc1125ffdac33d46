//! Questions about the connector's pods.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Facts, Finding, KubernetesFacts, PodFacts, SecretState};
use crate::cluster::Installed;
use crate::json::at;
use crate::manifest::{ACTIVATION_SECRET, NAMESPACE, REPLICAS};
use crate::plan::ClusterRecord;

/// A text in a log, and what it means.
struct Sign {
    /// In the log of which container; any if empty.
    container: &'static str,
    /// All of these stand on one line.
    texts: &'static [&'static str],
    found: &'static str,
    help: &'static str,
}

/// Signs in logs. Lines of logs are not repeated: a foreign text could hold anything.
const SIGNS: [Sign; 9] = [
    Sign {
        container: "connector-init",
        texts: &["InvalidActivation"],
        found: "Systems Manager refuses the activation: its code is wrong, expired or used up",
        help: "irsa connector deregister --name NAME, then register again",
    },
    Sign {
        container: "connector-init",
        texts: &["state cannot be deserialized"],
        found: "a state Secret of the agents is damaged",
        help: "kubectl -n eks-connector delete secret eks-connector-state-0 eks-connector-state-1, then register again",
    },
    Sign {
        container: "connector-proxy",
        texts: &["Failed to process updates for"],
        found: "a rotated key was not saved in its Secret: the pod will not connect again after a restart",
        help: "do not restart it; irsa connector deregister --name NAME, then register again",
    },
    Sign {
        container: "connector-agent",
        texts: &["InvalidSignatureException"],
        found: "Systems Manager does not know the agent's key: a rotated key was lost in a restart",
        help: "irsa connector deregister --name NAME, then register again",
    },
    Sign {
        container: "",
        texts: &["exec format error"],
        found: "the image is for another processor",
        help: "the connector runs on amd64 nodes only",
    },
    Sign {
        container: "",
        texts: &["no such host"],
        found: "a host name is not known: DNS of the pods, or a Region without the service",
        help: "the pods need DNS for ssm.REGION.amazonaws.com and ssmmessages.REGION.amazonaws.com",
    },
    Sign {
        container: "",
        texts: &["i/o timeout"],
        found: "a connection gets no answer",
        help: "the pods need outbound 443 to ssm.REGION.amazonaws.com and ssmmessages.REGION.amazonaws.com",
    },
    Sign {
        container: "",
        texts: &["connection refused"],
        found: "a connection is refused",
        help: "the pods need outbound 443 to ssm.REGION.amazonaws.com and ssmmessages.REGION.amazonaws.com",
    },
    Sign {
        container: "",
        texts: &["x509:"],
        found: "a certificate is not trusted: something between the pods and AWS ends TLS",
        help: "let ssm.REGION.amazonaws.com and ssmmessages.REGION.amazonaws.com through without inspection",
    },
];

pub(super) fn diagnose(facts: &Facts, kubernetes: &KubernetesFacts) -> Vec<Finding> {
    let mut findings = vec![installed(facts, kubernetes)];
    if kubernetes.installed == Installed::Nothing {
        return findings;
    }
    let cluster = facts.eks.as_ref().ok().and_then(Option::as_ref);
    findings.extend(activation(facts, kubernetes, cluster));
    findings.push(nodes(kubernetes));
    findings.extend(pods(kubernetes));
    findings.extend(logs(facts, kubernetes));
    findings
}

fn installed(facts: &Facts, kubernetes: &KubernetesFacts) -> Finding {
    const ABOUT: &str = "connector";
    let wanted = facts.registration.cluster_arn();
    match &kubernetes.installed {
        Installed::For(arn) if *arn == wanted => {
            Finding::good(ABOUT, "installed by irsa for this registration")
        }
        Installed::For(arn) => Finding::bad(
            ABOUT,
            format!("this cluster is connected as {arn}, expected {wanted}"),
            "choose the right cluster with --kubeconfig and --context, or the right --name",
        ),
        Installed::Foreign => Finding::doubtful(
            ABOUT,
            "it was not installed by irsa: which registration it belongs to is not known",
            "its agent's log names the cluster: kubectl -n eks-connector logs eks-connector-0 -c connector-agent | grep eks_c:",
        ),
        Installed::Nothing => Finding::bad(
            ABOUT,
            format!("there is no StatefulSet in namespace {NAMESPACE}"),
            format!(
                "irsa connector register --name {} … --apply goes on from its journal",
                facts.registration.name
            ),
        ),
    }
}

fn activation(
    facts: &Facts,
    kubernetes: &KubernetesFacts,
    cluster: Option<&ClusterRecord>,
) -> Vec<Finding> {
    const ABOUT: &str = "activation";
    let again = format!(
        "irsa connector deregister --name {}, then register again",
        facts.registration.name
    );
    let connected = cluster.is_some_and(|cluster| cluster.status == "ACTIVE");
    let known = cluster.and_then(|cluster| cluster.activation_id.as_deref());
    let mut findings = Vec::new();
    if let (Some(known), Some(found)) = (known, kubernetes.activation_id.as_deref())
        && known != found
    {
        findings.push(Finding::bad(
            ABOUT,
            "the pods have the ID of another activation than EKS: the cluster was registered again since",
            again.clone(),
        ));
    }
    let found = match kubernetes.activation {
        SecretState::Plausible => {
            findings.push(Finding::good(
                ABOUT,
                format!("Secret {ACTIVATION_SECRET} holds a code"),
            ));
            return findings;
        }
        SecretState::Absent => "does not exist",
        SecretState::Empty => "has nothing under \"code\"",
        SecretState::NoCode => "holds no activation code (20 to 250 printable characters)",
        SecretState::TwiceEncoded => "holds the code encoded twice in base64",
    };
    let found = format!("Secret {ACTIVATION_SECRET} {found}");
    findings.push(if connected {
        // Agents that registered before go on; a new one could not.
        Finding::doubtful(ABOUT, found, again)
    } else {
        Finding::bad(ABOUT, found, again)
    });
    findings
}

fn nodes(kubernetes: &KubernetesFacts) -> Finding {
    const ABOUT: &str = "nodes";
    let nodes = match &kubernetes.nodes {
        Ok(nodes) => nodes,
        Err(why) => {
            return Finding::doubtful(ABOUT, why, "use a kubeconfig that may list nodes");
        }
    };
    let fits = |node: &&Value| {
        let labels = at(node, &["metadata", "labels"]);
        at(labels, &["kubernetes.io/arch"]) == "amd64"
            && at(labels, &["kubernetes.io/os"]) == "linux"
    };
    let fitting = nodes.iter().filter(fits).count();
    if fitting == 0 {
        Finding::bad(
            ABOUT,
            format!(
                "none of {} nodes is Linux on amd64, the only one that AWS supports",
                nodes.len()
            ),
            "add an amd64 node",
        )
    } else {
        Finding::good(
            ABOUT,
            format!("{fitting} of {} are Linux on amd64", nodes.len()),
        )
    }
}

fn pods(kubernetes: &KubernetesFacts) -> Vec<Finding> {
    const ABOUT: &str = "pods";
    if kubernetes.pods.is_empty() {
        return vec![Finding::bad(
            ABOUT,
            "there is none",
            format!(
                "kubectl -n {NAMESPACE} describe statefulset eks-connector shows why none is made"
            ),
        )];
    }
    let mut findings: Vec<_> = kubernetes.pods.iter().filter_map(pod).collect();
    let ready = kubernetes
        .pods
        .iter()
        .filter(|facts| is_ready(&facts.pod))
        .count();
    if findings.is_empty() && ready >= REPLICAS as usize {
        findings.push(Finding::good(ABOUT, format!("{ready} ready")));
    } else if ready == 0 && findings.is_empty() {
        findings.push(Finding::bad(ABOUT, "none is ready yet", "wait a minute"));
    } else if findings.is_empty() {
        findings.push(Finding::doubtful(
            ABOUT,
            format!("{ready} of {REPLICAS} ready"),
            "one is enough to be connected; wait a minute",
        ));
    }
    findings
}

/// What keeps one pod from running.
fn pod(facts: &PodFacts) -> Option<Finding> {
    const ABOUT: &str = "pods";
    let name = pod_name(&facts.pod);
    let status = at(&facts.pod, &["status"]);
    let unscheduled = items(at(status, &["conditions"]))
        .find(|c| at(c, &["type"]) == "PodScheduled" && at(c, &["status"]) == "False");
    if let Some(condition) = unscheduled {
        let message = at(condition, &["message"]).as_str().unwrap_or_default();
        let help = if message.contains("taint") {
            "take the taint off a node, or add a node without one"
        } else if message.contains("affinity") || message.contains("selector") {
            "the connector needs a Linux node on amd64"
        } else {
            "add a node, or free CPU and memory for it"
        };
        return Some(Finding::bad(
            ABOUT,
            format!("{name} finds no node: {message}"),
            help,
        ));
    }
    let containers = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|key| items(at(status, &[key])));
    for container in containers {
        let waiting = at(container, &["state", "waiting"]);
        let reason = at(waiting, &["reason"]).as_str().unwrap_or_default();
        let image = at(container, &["image"]).as_str().unwrap_or_default();
        let of = at(container, &["name"]).as_str().unwrap_or_default();
        match reason {
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => {
                return Some(Finding::bad(
                    ABOUT,
                    format!("{name}: image {image} cannot be pulled ({reason})"),
                    "let the nodes reach public.ecr.aws, or register with --image-mirror REGISTRY",
                ));
            }
            "CrashLoopBackOff"
            | "RunContainerError"
            | "CreateContainerConfigError"
            | "CreateContainerError" => {
                return Some(Finding::bad(
                    ABOUT,
                    format!("{name}: container {of} does not run ({reason})"),
                    format!("kubectl -n {NAMESPACE} logs {name} -c {of} --previous"),
                ));
            }
            _ => {}
        }
    }
    None
}

fn logs(facts: &Facts, kubernetes: &KubernetesFacts) -> Vec<Finding> {
    let region = facts.registration.region.as_str();
    let name = facts.registration.name.as_str();
    // The log of the run before, that of this run and those of the other pods mostly say the same.
    let mut seen: BTreeMap<(usize, &str), BTreeSet<&str>> = BTreeMap::new();
    for pod in &kubernetes.pods {
        for (container, log) in &pod.logs {
            for (number, sign) in SIGNS.iter().enumerate() {
                if sign.is_in(container, log) {
                    let pods = seen.entry((number, container)).or_default();
                    pods.insert(pod_name(&pod.pod));
                }
            }
        }
    }
    let findings = seen.iter().filter_map(|((number, container), pods)| {
        let sign = SIGNS.get(*number)?;
        let pods: Vec<_> = pods.iter().copied().collect();
        let found = format!("{}: {container}: {}", pods.join(", "), sign.found);
        let help = sign.help.replace("REGION", region).replace("NAME", name);
        Some(Finding::bad("logs", found, help))
    });
    findings.collect()
}

impl Sign {
    fn is_in(&self, container: &str, log: &str) -> bool {
        let here = self.container.is_empty() || self.container == container;
        here && log
            .lines()
            .any(|line| self.texts.iter().all(|text| line.contains(text)))
    }
}

pub(super) fn is_ready(pod: &Value) -> bool {
    items(at(pod, &["status", "conditions"]))
        .any(|c| at(c, &["type"]) == "Ready" && at(c, &["status"]) == "True")
}

fn pod_name(pod: &Value) -> &str {
    at(pod, &["metadata", "name"]).as_str().unwrap_or_default()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
