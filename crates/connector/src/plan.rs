//! What a registration does next: decided from what AWS, the journal and the operator say, and from nothing else.

use std::collections::BTreeMap;
use std::fmt;

use irsa_core::explain::Explain;
use jiff::Timestamp;

use crate::journal::{Phase, Record};
use crate::provider::Provider;
use crate::role::{POLICY_NAME, Registration, SERVICE_LINKED_ROLE};

/// What the operator asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The cluster and its place.
    pub registration: Registration,
    /// Where it runs.
    pub provider: Provider,
    /// The agent role.
    pub role: RoleChoice,
    /// Tags of the cluster in EKS.
    pub tags: BTreeMap<String, String>,
}

/// Which role the agents take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChoice {
    /// One that irsa makes.
    Own {
        /// The ARN of a policy that bounds it (IAM, permissions boundary).
        boundary: Option<String>,
    },
    /// One that exists, by ARN.
    Given(String),
}

/// The cluster as EKS knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterRecord {
    /// `status`: `PENDING`, `ACTIVE`, `FAILED`, …
    pub status: String,
    /// When it was registered.
    pub created: Option<Timestamp>,
    /// Whether it is a connected cluster; otherwise it is one of EKS's own.
    pub connected: bool,
    /// The activation's ID.
    pub activation_id: Option<String>,
    /// Until when agents can register.
    pub activation_expiry: Option<Timestamp>,
    /// The agent role.
    pub role_arn: Option<String>,
    /// Where it runs.
    pub provider: Option<String>,
    /// The token of the request that registered it, if EKS says so.
    pub client_request_token: Option<String>,
    /// The mark of the registration that made it, from its tag.
    pub mark: Option<String>,
}

/// A role as IAM knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleRecord {
    /// Its ARN.
    pub arn: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What AWS says before anything is changed.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The cluster of this name.
    pub cluster: Option<ClusterRecord>,
    /// The role that irsa would make.
    pub own_role: Option<RoleRecord>,
    /// Whether the service-linked role exists; unknown when the operator may not look.
    pub service_linked_role: Option<bool>,
}

/// One change in AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `iam:CreateServiceLinkedRole`.
    CreateServiceLinkedRole,
    /// `iam:CreateRole`.
    CreateRole {
        /// The role's name.
        name: String,
        /// Its boundary.
        boundary: Option<String>,
    },
    /// `iam:PutRolePolicy`.
    PutRolePolicy {
        /// The role's name.
        role: String,
    },
    /// `eks:RegisterCluster`.
    RegisterCluster {
        /// The agent role.
        role_arn: String,
        /// Whether a run before may have sent the same request.
        again: bool,
    },
}

/// What to do in AWS, and from where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// These steps, then the agents get the code.
    Register(Vec<Step>),
    /// AWS is done; the agents may not have the code yet.
    Resume,
    /// Everything is done; the objects are brought up to date.
    Refresh,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The name belongs to a cluster of EKS.
    #[error("\"{0}\" is an EKS cluster of this account and Region, and no connected one")]
    EksCluster(String),
    /// The name belongs to a registration whose code is not here.
    #[error(
        "\"{name}\" is registered already (status {status}), and its activation code is not in the journal"
    )]
    Taken {
        /// Which cluster.
        name: String,
        /// Its status.
        status: String,
    },
    /// The agents can no longer register.
    #[error("the activation of \"{name}\" {what}")]
    Expired {
        /// Which cluster.
        name: String,
        /// Since when, or what AWS says.
        what: String,
    },
    /// It goes away at this moment.
    #[error("\"{0}\" is being deregistered")]
    Deleting(String),
    /// A role of this name is somebody else's.
    #[error("role \"{name}\" exists and has no tag {tag}={value}: it is not irsa's")]
    ForeignRole {
        /// Which role.
        name: String,
        /// The tag's key.
        tag: &'static str,
        /// The tag's value.
        value: String,
    },
}

impl Explain for PlanError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::EksCluster(_) => "choose another --name".into(),
            Self::Taken { name, .. } | Self::Expired { name, .. } => {
                format!(
                    "irsa connector deregister --name {name}, then register again; or choose another --name"
                )
            }
            Self::Deleting(_) => "run the same command again in a minute".into(),
            Self::ForeignRole { name, .. } => {
                format!("delete or rename role {name}, or give a role of yours with --role-arn")
            }
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Deleting(_))
    }
}

impl Request {
    /// The ARN of the agent role.
    pub fn role_arn(&self) -> String {
        match &self.role {
            RoleChoice::Own { .. } => self.registration.role_arn(),
            RoleChoice::Given(arn) => arn.clone(),
        }
    }

    /// Whether irsa makes the agent role.
    pub const fn owns_role(&self) -> bool {
        matches!(self.role, RoleChoice::Own { .. })
    }
}

/// Decides what a run does.
pub fn plan(
    request: &Request,
    observed: &Observed,
    record: Option<&Record>,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let name = request.registration.name.to_string();
    let phase = record.map(|record| &record.phase);
    let Some(cluster) = &observed.cluster else {
        // AWS knows nothing: a code that is still here is of a registration that was deleted since.
        let again = matches!(phase, Some(Phase::Registering));
        return Ok(Plan::Register(steps(request, observed, again)?));
    };
    if !cluster.connected {
        return Err(PlanError::EksCluster(name));
    }
    let same = |id: &str| {
        cluster
            .activation_id
            .as_deref()
            .is_none_or(|known| known == id)
    };
    match (cluster.status.as_str(), phase) {
        ("DELETING", _) => Err(PlanError::Deleting(name)),
        ("FAILED", _) => Err(PlanError::Expired {
            name,
            what: "has failed, as its code was wrong or too old".into(),
        }),
        (_, Some(Phase::Connected { activation_id })) if same(activation_id) => Ok(Plan::Refresh),
        (status, Some(Phase::Registered(activation))) if same(&activation.id) => {
            let expired = activation.expiry.filter(|expiry| *expiry <= now);
            match expired {
                Some(expiry) if status != "ACTIVE" => Err(PlanError::Expired {
                    name,
                    what: format!("expired at {expiry}"),
                }),
                _ => Ok(Plan::Resume),
            }
        }
        ("PENDING" | "CREATING", Some(Phase::Registering))
            if record.is_some_and(|record| is_lost_answer(cluster, record)) =>
        {
            Ok(Plan::Register(steps(request, observed, true)?))
        }
        (status, _) => Err(PlanError::Taken {
            name,
            status: status.to_owned(),
        }),
    }
}

/// Whether a registration is one that this journal's run asked for without seeing the answer: its code is lost.
///
/// Name, role and time are no proof: another operator registers the same name with the same role. It is ours by the mark
/// that the request wrote on it, or by the request's token if EKS says so; without either it is left alone. A connected
/// one is in use, whoever made it.
pub fn is_lost_answer(cluster: &ClusterRecord, record: &Record) -> bool {
    let ours = match (&cluster.mark, &cluster.client_request_token) {
        (Some(mark), _) => *mark == record.mark,
        (None, Some(token)) => *token == record.client_request_token,
        (None, None) => false,
    };
    ours && cluster.connected && cluster.status != "ACTIVE"
}

fn steps(request: &Request, observed: &Observed, again: bool) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    if let RoleChoice::Own { boundary } = &request.role {
        let name = request.registration.role_name();
        if observed.service_linked_role == Some(false) {
            steps.push(Step::CreateServiceLinkedRole);
        }
        match &observed.own_role {
            None => steps.push(Step::CreateRole {
                name: name.clone(),
                boundary: boundary.clone(),
            }),
            Some(role) if request.registration.owns(&role.tags) => {}
            Some(_) => {
                let (tag, value) = request.registration.role_tag();
                return Err(PlanError::ForeignRole { name, tag, value });
            }
        }
        // Always: a run before may have ended between the two.
        steps.push(Step::PutRolePolicy { role: name });
    }
    steps.push(Step::RegisterCluster {
        role_arn: request.role_arn(),
        again,
    });
    Ok(steps)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateServiceLinkedRole => {
                write!(f, "iam:CreateServiceLinkedRole {SERVICE_LINKED_ROLE}")
            }
            Self::CreateRole { name, boundary } => {
                write!(f, "iam:CreateRole {name}")?;
                match boundary {
                    Some(arn) => write!(f, " with boundary {arn}"),
                    None => Ok(()),
                }
            }
            Self::PutRolePolicy { role } => write!(f, "iam:PutRolePolicy {POLICY_NAME} on {role}"),
            Self::RegisterCluster { role_arn, again } => {
                write!(f, "eks:RegisterCluster with role {role_arn}")?;
                if *again {
                    f.write_str(", the request of the run before once more")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
