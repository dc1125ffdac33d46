//! Why the cluster is not as it should be.

use std::error::Error;

use irsa_core::api_answer::is_passing;
use irsa_core::explain::{Explain, on_one_line};

use crate::manifest::{NAMESPACE, ObjectRef, STATEFUL_SET};

/// Why the cluster is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No answer.
    #[error("{object} cannot be {action}: the API server does not answer")]
    Unreachable {
        /// What was tried.
        action: &'static str,
        /// On which object.
        object: String,
        /// Why.
        source: Cause,
    },
    /// The API server refuses.
    #[error("{object} cannot be {action}: the API server refuses with {code} {reason}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// On which object.
        object: String,
        /// The HTTP status.
        code: u16,
        /// Kubernetes' word for it, like `Forbidden`.
        reason: String,
        /// The API server's text.
        source: Cause,
    },
    /// Other fields' owners disagree.
    #[error("{object} has fields that somebody else owns")]
    Conflict {
        /// Which object.
        object: String,
        /// Which fields, and whose.
        source: Cause,
    },
    /// Somebody wrote it between our look and our write.
    #[error("{object} was changed by somebody else in this moment")]
    Changed {
        /// Which object.
        object: String,
    },
    /// The kubeconfig leads to a cluster that is connected otherwise.
    #[error("this cluster is connected as {found}, expected {expected}")]
    OtherCluster {
        /// The ARN in the cluster.
        found: String,
        /// The ARN of this registration.
        expected: String,
    },
    /// A connector that irsa did not install.
    #[error("StatefulSet {NAMESPACE}/{STATEFUL_SET} was not installed by irsa")]
    Foreign,
    /// Nothing to grant access to.
    #[error("there is no connector in this cluster")]
    NotInstalled,
    /// A grant for a namespace that does not exist.
    #[error("namespace \"{0}\" of a grant does not exist")]
    NoNamespace(String),
    /// The namespace of a connector before is still going away.
    #[error("namespace \"{NAMESPACE}\" is being deleted")]
    Terminating,
}

/// What the API server says, on one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Cause(String);

impl Explain for ClusterError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } => "check --kubeconfig and --context: kubectl version must work with them".into(),
            Self::Refused { code: 401 | 403, .. } => {
                "use a kubeconfig of a cluster administrator: who hands out rights in Kubernetes must have them".into()
            }
            Self::Refused { .. } if self.retryable() => "run the same command again".into(),
            Self::Refused { .. } => return None,
            Self::Conflict { .. } => "add --force-conflicts to take these fields over".into(),
            Self::Changed { .. } => "run the same command again: it reads what the other one wrote".into(),
            Self::OtherCluster { .. } => "choose the right cluster with --kubeconfig and --context".into(),
            Self::Foreign => format!(
                "deregister it with the tool that installed it, and kubectl delete namespace {NAMESPACE}; or keep it and use --out"
            ),
            Self::NotInstalled => "choose the connected cluster with --kubeconfig and --context".into(),
            Self::NoNamespace(name) => format!("kubectl create namespace {name}, or leave it out of the grant"),
            Self::Terminating => "run the same command again in a minute".into(),
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Changed { .. } | Self::Terminating => true,
            Self::Refused { code, .. } => is_passing(Some(*code)),
            _ => false,
        }
    }
}

pub(super) fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

/// kube's own text repeats itself; the API server's is enough.
pub(super) fn cause(error: &kube::Error) -> Cause {
    if let kube::Error::Api(status) = error {
        return Cause(status.message.clone());
    }
    let error: &dyn Error = error;
    Cause(on_one_line(error.source().map_or(error, |cause| cause)))
}

pub(super) fn failed(
    action: &'static str,
    object: &ObjectRef,
    error: &kube::Error,
) -> ClusterError {
    failed_on(action, object.to_string(), error)
}

pub(super) fn failed_on(action: &'static str, object: String, error: &kube::Error) -> ClusterError {
    let source = cause(error);
    match error {
        kube::Error::Api(status) => ClusterError::Refused {
            action,
            object,
            code: status.code,
            reason: status.reason.clone(),
            source,
        },
        _ => ClusterError::Unreachable {
            action,
            object,
            source,
        },
    }
}
