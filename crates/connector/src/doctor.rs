//! Why a connected cluster is not seen in the console: the known failures, each as one question with its answer.
//!
//! Nothing is asked here: [`Facts`] are what others found, and [`diagnose`] says what they mean.

mod agents;
mod console;

use jiff::Timestamp;
use serde_json::Value;

use crate::aws::RoleDetail;
use crate::cluster::Installed;
use crate::json::at;
use crate::manifest::console::Standing;
use crate::plan::ClusterRecord;
use crate::policy::{agent_policy, trusts_systems_manager};
use crate::principal::ConsoleArn;
use crate::role::{Registration, SERVICE_LINKED_ROLE, role_name_of};

/// What could be found out; a text is why it could not.
#[derive(Debug)]
pub struct Facts {
    /// The cluster that is meant.
    pub registration: Registration,
    /// When this was asked.
    pub now: Timestamp,
    /// Who asks, as the console names them.
    pub caller: Option<ConsoleArn>,
    /// The cluster in EKS.
    pub eks: Result<Option<ClusterRecord>, String>,
    /// Whether the service-linked role exists.
    pub service_linked_role: Result<bool, String>,
    /// The agent role.
    pub role: Result<Option<RoleDetail>, String>,
    /// The agent policy of a role that irsa made.
    pub policy: Result<Option<Value>, String>,
    /// What Kubernetes says, or why it says nothing.
    pub kubernetes: Result<KubernetesFacts, String>,
}

/// What Kubernetes says.
#[derive(Debug)]
pub struct KubernetesFacts {
    /// Whose connector runs.
    pub installed: Installed,
    /// What the activation Secret holds.
    pub activation: SecretState,
    /// The activation ID that the workload has.
    pub activation_id: Option<String>,
    /// The console's rules.
    pub console: Vec<Standing>,
    /// The pods.
    pub pods: Vec<PodFacts>,
    /// All nodes, or why they cannot be seen.
    pub nodes: Result<Vec<Value>, String>,
}

/// What stands in the activation Secret; never the code itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretState {
    /// There is no such Secret.
    Absent,
    /// Nothing under the key that the pods read.
    Empty,
    /// A text that is no activation code: 20 to 250 printable characters (SSM API, `ActivationCode`).
    NoCode,
    /// Encoded twice, so that the agents send base64 of the code.
    TwiceEncoded,
    /// What may be a code.
    Plausible,
}

/// One pod with the ends of its logs.
#[derive(Debug)]
pub struct PodFacts {
    /// The pod as the API server returns it.
    pub pod: Value,
    /// Container names and the ends of their logs.
    pub logs: Vec<(String, String)>,
}

/// How one question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It may be meant so.
    Doubtful,
    /// It keeps the cluster from being seen.
    Bad,
}

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub about: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Finding {
    fn good(about: &'static str, found: impl Into<String>) -> Self {
        Self {
            about,
            verdict: Verdict::Good,
            found: found.into(),
            help: None,
        }
    }

    fn new(
        about: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            about,
            verdict,
            found: found.into(),
            help: Some(help.into()),
        }
    }

    fn bad(about: &'static str, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(about, Verdict::Bad, found, help)
    }

    fn doubtful(about: &'static str, found: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(about, Verdict::Doubtful, found, help)
    }
}

/// Every question, in the order in which a connection comes about.
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![registration(facts), service_linked_role(facts)];
    findings.extend(agent_role(facts));
    match &facts.kubernetes {
        Ok(kubernetes) => {
            findings.extend(agents::diagnose(facts, kubernetes));
            findings.extend(console::diagnose(facts, kubernetes));
        }
        Err(why) => findings.push(Finding::doubtful(
            "kubernetes",
            format!("the cluster was not looked at: {why}"),
            "give --kubeconfig FILE and --context NAME of the connected cluster",
        )),
    }
    findings
}

/// What the activation Secret's data is.
pub fn secret_state(secret: Option<&Value>) -> SecretState {
    use base64::Engine as _;
    let Some(secret) = secret else {
        return SecretState::Absent;
    };
    let encoded = at(secret, &["data", "code"]).as_str().unwrap_or_default();
    let engine = base64::prelude::BASE64_STANDARD;
    let code = zeroize::Zeroizing::new(engine.decode(encoded).unwrap_or_default());
    if code.is_empty() {
        return SecretState::Empty;
    }
    let printable = code.iter().all(u8::is_ascii_graphic);
    if !printable || !(20..=250).contains(&code.len()) {
        return SecretState::NoCode;
    }
    // A code has no padding, and base64 of a code always has some or is longer.
    let inner = zeroize::Zeroizing::new(engine.decode(code.as_slice()).unwrap_or_default());
    let twice = code.ends_with(b"=") && inner.len() >= 20 && inner.iter().all(u8::is_ascii_graphic);
    if twice {
        SecretState::TwiceEncoded
    } else {
        SecretState::Plausible
    }
}

fn registration(facts: &Facts) -> Finding {
    const ABOUT: &str = "registration";
    let name = &facts.registration.name;
    let again = format!("irsa connector deregister --name {name}, then register again");
    let cluster = match &facts.eks {
        Err(why) => {
            return Finding::doubtful(ABOUT, why, "irsa connector permissions --for observe");
        }
        Ok(None) => {
            return Finding::bad(
                ABOUT,
                format!(
                    "EKS knows no cluster \"{name}\" in {}",
                    facts.registration.region
                ),
                format!("check --name and --region, or irsa connector register --name {name}"),
            );
        }
        Ok(Some(cluster)) => cluster,
    };
    if !cluster.connected {
        return Finding::bad(
            ABOUT,
            format!("\"{name}\" is an EKS cluster, no connected one"),
            "check --name",
        );
    }
    let left = cluster
        .activation_expiry
        .map(|expiry| (expiry, expiry <= facts.now));
    match (cluster.status.as_str(), left) {
        ("ACTIVE", _) => Finding::good(ABOUT, "ACTIVE"),
        ("FAILED", _) => Finding::bad(ABOUT, "FAILED: the code was wrong or too old", again),
        (status, Some((expiry, true))) => Finding::bad(
            ABOUT,
            format!("{status}, and the activation expired at {expiry}"),
            again,
        ),
        (status, Some((expiry, false))) => Finding::bad(
            ABOUT,
            format!("{status}: no agent has connected yet; the activation expires at {expiry}"),
            "see the findings below; if there is none, wait a minute",
        ),
        (status, None) => Finding::bad(
            ABOUT,
            format!("{status}: no agent has connected yet"),
            "see the findings below; an activation lasts three days",
        ),
    }
}

fn service_linked_role(facts: &Facts) -> Finding {
    const ABOUT: &str = "service-linked role";
    match &facts.service_linked_role {
        Ok(true) => Finding::good(ABOUT, SERVICE_LINKED_ROLE),
        Ok(false) => Finding::bad(
            ABOUT,
            format!("{SERVICE_LINKED_ROLE} does not exist"),
            format!(
                "aws iam create-service-linked-role --aws-service-name {}",
                crate::role::SERVICE_PRINCIPAL
            ),
        ),
        Err(why) => Finding::doubtful(ABOUT, why, "irsa connector permissions --for observe"),
    }
}

fn agent_role(facts: &Facts) -> Vec<Finding> {
    const ABOUT: &str = "agent role";
    let again = format!(
        "irsa connector deregister --name {0}, then register again",
        facts.registration.name
    );
    let role = match &facts.role {
        Err(why) => {
            return vec![Finding::doubtful(
                ABOUT,
                why,
                "irsa connector permissions --for observe",
            )];
        }
        Ok(None) => return vec![Finding::bad(ABOUT, "it does not exist", again)],
        Ok(Some(role)) => role,
    };
    let name = role_name_of(&role.record.arn).unwrap_or(&role.record.arn);
    let mut findings = Vec::new();
    if trusts_systems_manager(&role.trust) {
        findings.push(Finding::good(ABOUT, role.record.arn.clone()));
    } else {
        findings.push(Finding::bad(
            ABOUT,
            format!("the trust policy of \"{name}\" does not name ssm.amazonaws.com"),
            format!(
                "aws iam update-assume-role-policy --role-name {name} --policy-document '{}'",
                crate::policy::trust_policy()
            ),
        ));
    }
    if facts.registration.owns(&role.record.tags) {
        let wanted = agent_policy(facts.registration.region.partition());
        let name_of_policy = crate::role::POLICY_NAME;
        match &facts.policy {
            Ok(Some(found)) if *found == wanted => {
                findings.push(Finding::good("agent policy", name_of_policy));
            }
            Ok(_) => findings.push(Finding::bad(
                "agent policy",
                format!("\"{name_of_policy}\" on \"{name}\" is missing or was changed"),
                format!("aws iam put-role-policy --role-name {name} --policy-name {name_of_policy} --policy-document '{wanted}'"),
            )),
            Err(why) => findings.push(Finding::doubtful("agent policy", why, "irsa connector permissions --for observe")),
        }
    }
    findings
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
