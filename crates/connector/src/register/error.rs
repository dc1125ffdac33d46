//! Why a registration did not come to its end.

use std::time::Duration;

use irsa_core::explain::Explain;

use crate::call::{CallError, CallKind, Verdict};
use crate::journal::JournalError;
use crate::plan::PlanError;
use crate::undo::Reason;

/// Why a registration did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A look before anything was changed.
    #[error("AWS cannot be looked at, and nothing was changed")]
    Observe(#[source] Box<CallError>),
    /// AWS refuses for good; what this registration had made was taken back.
    #[error("\"{name}\" is not registered; {undone}")]
    Refused {
        /// Which cluster.
        name: String,
        /// What happened to the role.
        undone: Undone,
        /// Why.
        source: Box<CallError>,
    },
    /// It can go on from here.
    #[error("the registration of \"{name}\" is not complete; {}", stands(*registered))]
    Interrupted {
        /// Which cluster.
        name: String,
        /// Whether AWS knows the cluster.
        registered: bool,
        /// Why.
        source: Box<CallError>,
    },
    /// Nothing to do, or somebody else's.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The agents have not connected in time.
    #[error("\"{name}\" is not connected after {} s (status {status})", waited.as_secs())]
    NotConnected {
        /// Which cluster.
        name: String,
        /// Its status.
        status: String,
        /// How long.
        waited: Duration,
    },
}

/// What happened to what a refused registration had made.
#[derive(Debug)]
pub enum Undone {
    /// There was nothing of ours.
    Nothing,
    /// The role was deleted.
    Role(String),
    /// The role is left, and why.
    Kept {
        /// Which role.
        role: String,
        /// Why.
        reason: Reason,
    },
    /// The role is still there, though it should be gone.
    Stands {
        /// Which role.
        role: String,
        /// Why it could not be deleted.
        error: String,
    },
}

impl std::fmt::Display for Undone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("no role was made for it"),
            Self::Role(role) => write!(f, "role \"{role}\" was deleted again"),
            Self::Kept { role, reason } => write!(f, "role \"{role}\" is left: {reason}"),
            Self::Stands { role, error } => write!(f, "role \"{role}\" stands: {error}"),
        }
    }
}

fn stands(registered: bool) -> &'static str {
    if registered {
        "EKS knows it, and the journal has its activation"
    } else {
        "the journal knows how far it is"
    }
}

impl Explain for RegisterError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Observe(error) => error.help(),
            Self::Refused {
                undone: Undone::Stands { .. },
                name,
                ..
            } => Some(format!(
                "irsa connector deregister --name {name} deletes the role"
            )),
            Self::Refused { source, name, .. } if source.verdict() == Verdict::InUse => {
                Some(format!(
                    "irsa connector status --name {name} shows whose it is; if it is yours, irsa connector deregister --name {name} and register again, else choose another --name"
                ))
            }
            Self::Refused { source, .. } => source.help(),
            Self::Interrupted { source, .. } => {
                let again = "run the same command again: it goes on from here";
                let first = source.help().filter(|_| !source.retryable());
                Some(first.map_or_else(|| again.to_owned(), |help| format!("{help}; then {again}")))
            }
            Self::Plan(error) => error.help(),
            Self::Journal(error) => error.help(),
            Self::NotConnected { name, status, .. } if status == "FAILED" => Some(format!(
                "irsa connector deregister --name {name}, then register again"
            )),
            Self::NotConnected { name, .. } => Some(format!("irsa connector doctor --name {name}")),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Observe(error) => error.retryable(),
            Self::Refused { .. } => false,
            Self::Interrupted { source, .. } => {
                let later = [
                    Verdict::Wait,
                    Verdict::MakeServiceLinkedRole,
                    Verdict::InUse,
                ];
                let cut_off = matches!(source.kind, CallKind::Incomplete(_));
                cut_off || source.retryable() || later.contains(&source.verdict())
            }
            Self::Plan(error) => error.retryable(),
            Self::Journal(error) => error.retryable(),
            Self::NotConnected { status, .. } => status != "FAILED",
        }
    }
}
