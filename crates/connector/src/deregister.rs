//! Takes a registration back. Each part is tried whatever became of the others, and each may already be done.

use irsa_core::explain::Explain;

use crate::aws::Aws;
use crate::call::CallError;
use crate::plan::ClusterRecord;
use crate::role::{Registration, role_name_of};

/// What became of one part.
#[derive(Debug)]
pub enum Part {
    /// It was there and is gone; in a dry run it would go.
    Done(String),
    /// It was not there.
    Absent(String),
    /// It was left alone, and why.
    Kept(String),
    /// It stands.
    Failed(String, Box<CallError>),
}

/// Not everything is gone.
#[derive(Debug, thiserror::Error)]
#[error("\"{name}\" is not taken back whole: {} stand", stands.join(", "))]
pub struct Incomplete {
    /// Which cluster.
    pub name: String,
    /// What stands.
    pub stands: Vec<String>,
    /// Whether a later run may succeed with nothing changed.
    pub later: bool,
    /// Why the first of them stands.
    pub source: Box<dyn std::error::Error + Send + Sync>,
    /// What to do about that.
    pub help: Option<String>,
}

impl Explain for Incomplete {
    fn help(&self) -> Option<String> {
        let again = "run the same command again: what is gone is passed over";
        Some(match &self.help {
            Some(help) => format!("{help}; then {again}"),
            None => again.into(),
        })
    }

    fn retryable(&self) -> bool {
        self.later
    }
}

/// Deregisters the cluster in EKS; a dry run only looks. The record is that of EKS before, for the parts that follow.
pub async fn cluster(
    aws: &Aws,
    registration: &Registration,
    dry_run: bool,
) -> (Part, Option<ClusterRecord>) {
    let name = registration.name.as_str();
    let what = format!("cluster \"{name}\" in EKS");
    let seen = match aws.describe_cluster(name).await {
        Ok(Some(cluster)) if !cluster.connected => {
            let why = format!("{what} is no connected cluster");
            return (Part::Kept(why), None);
        }
        Ok(seen) => seen,
        // The right to look may be missing where the right to deregister is there.
        Err(error) if error.is("AccessDeniedException") && !dry_run => None,
        Err(error) => return (Part::Failed(what, Box::new(error)), None),
    };
    if dry_run {
        let part = if seen.is_some() {
            Part::Done
        } else {
            Part::Absent
        };
        return (part(what), seen);
    }
    match aws.deregister(name).await {
        Ok(Some(cluster)) => {
            let seen = seen.or(Some(cluster));
            (Part::Done(what), seen)
        }
        Ok(None) => (Part::Absent(what), seen),
        Err(error) => (Part::Failed(what, Box::new(error)), seen),
    }
}

/// Deletes the agent role if its tag says that irsa made it for this cluster. `registered` is the role of the cluster as
/// EKS knew it, whatever its path; the role that irsa would have made is looked at in any case, for a run before may
/// have ended after the cluster was gone. A dry run only looks.
pub async fn role(
    aws: &Aws,
    registration: &Registration,
    registered: Option<&str>,
    dry_run: bool,
) -> Vec<Part> {
    let own = registration.role_name();
    let mut names = vec![own.clone()];
    if let Some(arn) = registered {
        match role_name_of(arn) {
            Some(name) if name != own => names.push(name.to_owned()),
            Some(_) => {}
            None => names.push(arn.to_owned()),
        }
    }
    let mut parts = Vec::new();
    for name in names {
        let what = format!("role \"{name}\"");
        let part = match aws.role(&name).await {
            Ok(None) => Part::Absent(what),
            Ok(Some(role)) if !registration.owns(&role.record.tags) => {
                Part::Kept(format!("{what} has no tag of irsa for this cluster"))
            }
            Ok(Some(_)) if dry_run => Part::Done(what),
            Ok(Some(_)) => match aws.delete_role(&name).await {
                Ok(()) => Part::Done(what),
                Err(error) => Part::Failed(what, Box::new(error)),
            },
            Err(error) => Part::Failed(what, Box::new(error)),
        };
        parts.push(part);
    }
    parts
}
