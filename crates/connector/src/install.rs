//! Brings a cluster's objects into the state of a registration, and takes them away again.

use tracing::info;

use crate::cluster::{Cluster, ClusterError, Installed};
use crate::grant::Grants;
use crate::json::at;
use crate::manifest::console::{self, ConsoleError, is_ours};
use crate::manifest::{CLUSTER_ANNOTATION, Kind, Manifest, NAMESPACE, ObjectRef, agent};

/// Why objects are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The console's rules.
    #[error(transparent)]
    Console(#[from] ConsoleError),
}

impl irsa_core::explain::Explain for InstallError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Cluster(error) => error.help(),
            Self::Console(error) => error.help(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Cluster(error) => error.retryable(),
            Self::Console(_) => false,
        }
    }
}

/// What became of one object.
#[derive(Debug)]
pub enum Removal {
    /// It was deleted; in a dry run it would be.
    Done(String),
    /// It was left alone, and why.
    Kept(String),
    /// It stands.
    Failed(Box<ClusterError>),
}

/// Finds out, without changing anything, whether [`apply`] can succeed: the right cluster, nobody else's connector, the
/// namespaces of the grants, and the right to write what is cluster-wide.
pub async fn preflight(
    cluster: &Cluster,
    cluster_arn: &str,
    manifests: &[Manifest],
    grants: &Grants,
    force: bool,
) -> Result<(), InstallError> {
    cluster.demand_free_for(cluster_arn).await?;
    cluster
        .demand_namespaces(grants.by_namespace().into_keys())
        .await?;
    let standing = cluster.console().await?;
    console::changes(&standing, &console::read(&standing)?.merged(grants))?;
    for manifest in manifests {
        // Others need the namespace, which a dry run does not make.
        if matches!(manifest.object().kind, Kind::ClusterRole) {
            cluster.apply(manifest, force, true).await?;
        }
    }
    Ok(())
}

/// Applies the connector's objects and adds the grants to those that stand.
pub async fn apply(
    cluster: &Cluster,
    manifests: &[Manifest],
    grants: &Grants,
    force: bool,
) -> Result<(), InstallError> {
    for manifest in manifests {
        if manifest.object().kind == Kind::Namespace
            && is_foreign(cluster, manifest.object()).await?
        {
            continue;
        }
        info!("apply {manifest}");
        cluster.apply(manifest, force, false).await?;
    }
    let standing = cluster.console().await?;
    let wanted = console::read(&standing)?.merged(grants);
    for change in console::changes(&standing, &wanted)? {
        info!("{} {}", change.verb(), change.object());
        cluster.change(&change).await?;
    }
    Ok(())
}

/// Takes these grants for the ones that should stand; says what is changed. With `dry_run` nothing is.
pub async fn regrant(
    cluster: &Cluster,
    decide: impl FnOnce(&mut Grants),
    dry_run: bool,
) -> Result<(Grants, Vec<String>), InstallError> {
    if cluster.installed().await? == Installed::Nothing {
        return Err(ClusterError::NotInstalled.into());
    }
    let standing = cluster.console().await?;
    let mut wanted = console::read(&standing)?;
    decide(&mut wanted);
    cluster
        .demand_namespaces(wanted.by_namespace().into_keys())
        .await?;
    let mut lines = Vec::new();
    for change in console::changes(&standing, &wanted)? {
        lines.push(format!("{} {}", change.verb(), change.object()));
        if !dry_run {
            cluster.change(&change).await?;
        }
    }
    Ok((wanted, lines))
}

/// Deletes every object that irsa made for this cluster. What somebody else made is left alone and named. A dry run is
/// one on the server: it finds out whether each may be deleted.
pub async fn remove(cluster: &Cluster, cluster_arn: &str, dry_run: bool) -> Vec<Removal> {
    let mut removals = Vec::new();
    match cluster.installed().await {
        Ok(Installed::Nothing) => {}
        Ok(Installed::For(arn)) if arn == cluster_arn => {}
        Ok(Installed::For(found)) => {
            return vec![Removal::Kept(format!(
                "the objects of this cluster, which is connected as {found}"
            ))];
        }
        Ok(Installed::Foreign) => {
            return vec![Removal::Kept(
                "the objects of a connector that irsa did not install".into(),
            )];
        }
        Err(error) => return vec![Removal::Failed(Box::new(error))],
    }
    match cluster.console().await {
        Ok(standing) => {
            // Cut off first, and bindings before the roles that they name.
            let mut ours: Vec<_> = standing
                .iter()
                .filter(|standing| is_ours(&standing.value))
                .map(|standing| &standing.object)
                .collect();
            ours.sort_by_key(|object| {
                let role = matches!(object.kind, Kind::ClusterRole | Kind::Role);
                (object.name != console::IMPERSONATION, role)
            });
            for object in ours {
                removals.extend(delete(cluster, object, dry_run).await);
            }
        }
        Err(error) => removals.push(Removal::Failed(Box::new(error))),
    }
    for object in agent::objects() {
        let removal = match cluster.read(&object).await {
            Ok(None) => continue,
            Ok(Some(value)) if is_state_secret(&object) => {
                // The agents made it; it goes with the StatefulSet that irsa made, or stays with a foreign one.
                drop(value);
                delete(cluster, &object, dry_run).await
            }
            Ok(Some(value)) if !is_ours(&value) => {
                Some(Removal::Kept(format!("{object} was not made by irsa")))
            }
            Ok(Some(value)) => {
                match at(&value, &["metadata", "annotations", CLUSTER_ANNOTATION]).as_str() {
                    Some(found) if found != cluster_arn => {
                        Some(Removal::Kept(format!("{object} belongs to {found}")))
                    }
                    _ => delete(cluster, &object, dry_run).await,
                }
            }
            Err(error) => Some(Removal::Failed(Box::new(error))),
        };
        removals.extend(removal);
    }
    removals
}

async fn delete(cluster: &Cluster, object: &ObjectRef, dry_run: bool) -> Option<Removal> {
    match cluster.delete(object, dry_run).await {
        Ok(true) => {
            if !dry_run {
                info!("delete {object}");
            }
            Some(Removal::Done(object.to_string()))
        }
        Ok(false) => None,
        Err(error) => Some(Removal::Failed(Box::new(error))),
    }
}

/// A namespace that stood before is used, but stays its owner's.
async fn is_foreign(cluster: &Cluster, object: &ObjectRef) -> Result<bool, ClusterError> {
    Ok(cluster
        .read(object)
        .await?
        .is_some_and(|value| !is_ours(&value)))
}

fn is_state_secret(object: &ObjectRef) -> bool {
    object.kind == Kind::Secret
        && object.namespace.as_deref() == Some(NAMESPACE)
        && agent::state_secrets().any(|name| name == object.name)
}
