//! The Kubernetes API: objects applied, read and deleted one at a time.

mod error;

use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, LogParams, Patch, PatchParams,
    PostParams, Preconditions,
};
use serde_json::Value;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use crate::json::at;
use crate::manifest::console::{
    ConsoleChange, FULL, FULL_BINDING, IMPERSONATION, NAMESPACE_BINDING, NAMESPACE_ROLE,
    RESTRICTED, RESTRICTED_BINDING, Standing, is_ours,
};
pub use error::{Cause, ClusterError};
use error::{cause, code, failed, failed_on};

use crate::manifest::{
    CLUSTER_ANNOTATION, FIELD_MANAGER, Kind, Manifest, NAMESPACE, ObjectRef, STATEFUL_SET,
};

/// A cluster's API server.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

/// Whose connector runs in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// None.
    Nothing,
    /// One that irsa installed for this cluster ARN.
    For(String),
    /// One that somebody else installed.
    Foreign,
}

impl Cluster {
    /// A cluster that this client reaches.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Server-side apply. `force` takes fields over from other owners; `dry_run` changes nothing.
    pub async fn apply(
        &self,
        manifest: &Manifest,
        force: bool,
        dry_run: bool,
    ) -> Result<(), ClusterError> {
        let object = manifest.object();
        let mut params = PatchParams::apply(FIELD_MANAGER);
        if force {
            params = params.force();
        }
        if dry_run {
            params = params.dry_run();
        }
        let patch = Patch::Apply(manifest.expose_value());
        let api = self.api(object);
        let work = api.patch(&object.name, &params, &patch);
        // An answer that the client cannot read would be logged whole, a Secret's content with it.
        let done = work.with_subscriber(NoSubscriber::default()).await;
        done.map(drop).map_err(|error| match code(&error) {
            409 => ClusterError::Conflict {
                object: object.to_string(),
                source: cause(&error),
            },
            _ => failed("applied", object, &error),
        })
    }

    /// Makes one edit of the console's rules, on the version that was read.
    pub async fn change(&self, change: &ConsoleChange) -> Result<(), ClusterError> {
        let object = change.object();
        let lost_race = |error: kube::Error, action| match code(&error) {
            409 => ClusterError::Changed {
                object: object.to_string(),
            },
            _ => failed(action, object, &error),
        };
        match change {
            ConsoleChange::Create(manifest) => {
                let made: Result<DynamicObject, _> =
                    serde_json::from_value(manifest.expose_value().clone());
                let made =
                    made.map_err(|error| failed("made", object, &kube::Error::SerdeError(error)))?;
                let params = PostParams {
                    field_manager: Some(FIELD_MANAGER.to_owned()),
                    ..PostParams::default()
                };
                let done = self.api(object).create(&params, &made).await;
                done.map(drop).map_err(|error| lost_race(error, "made"))
            }
            ConsoleChange::Replace(manifest) => {
                // The whole list was read and is written back on its version, so nobody's entry is lost by force.
                let params = PatchParams::apply(FIELD_MANAGER).force();
                let patch = Patch::Apply(manifest.expose_value());
                let done = self.api(object).patch(&object.name, &params, &patch).await;
                done.map(drop).map_err(|error| lost_race(error, "changed"))
            }
            ConsoleChange::Delete {
                resource_version, ..
            } => {
                let params = DeleteParams::default().preconditions(Preconditions {
                    resource_version: Some(resource_version.clone()),
                    uid: None,
                });
                match self.api(object).delete(&object.name, &params).await {
                    Err(error) if code(&error) != 404 => Err(lost_race(error, "deleted")),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Deletes an object, or finds out on the server whether it could be; says whether it was there.
    pub async fn delete(&self, object: &ObjectRef, dry_run: bool) -> Result<bool, ClusterError> {
        let params = DeleteParams {
            dry_run,
            ..DeleteParams::background()
        };
        match self.api(object).delete(&object.name, &params).await {
            Ok(_) => Ok(true),
            Err(error) if code(&error) == 404 => Ok(false),
            Err(error) => Err(failed("deleted", object, &error)),
        }
    }

    /// Reads an object.
    pub async fn read(&self, object: &ObjectRef) -> Result<Option<Value>, ClusterError> {
        let fail = |error| failed("read", object, &error);
        // A Secret that is read must not be logged.
        let api = self.api(object);
        let work = api.get_opt(&object.name);
        let found = work.with_subscriber(NoSubscriber::default()).await;
        let found = found.map_err(fail)?;
        found
            .map(|found| serde_json::to_value(found).map_err(|e| fail(kube::Error::SerdeError(e))))
            .transpose()
    }

    /// Whose connector runs here.
    pub async fn installed(&self) -> Result<Installed, ClusterError> {
        let object = ObjectRef::namespaced(Kind::StatefulSet, NAMESPACE, STATEFUL_SET);
        Ok(match self.read(&object).await? {
            None => Installed::Nothing,
            Some(value) if is_ours(&value) => {
                let arn = at(&value, &["metadata", "annotations", CLUSTER_ANNOTATION]).as_str();
                arn.map_or(Installed::Foreign, |arn| Installed::For(arn.to_owned()))
            }
            Some(_) => Installed::Foreign,
        })
    }

    /// Refuses when a connector of somebody else or of another registration runs here.
    pub async fn demand_free_for(&self, cluster_arn: &str) -> Result<(), ClusterError> {
        match self.installed().await? {
            Installed::Nothing => {}
            Installed::For(arn) if arn == cluster_arn => {}
            Installed::For(found) => {
                return Err(ClusterError::OtherCluster {
                    found,
                    expected: cluster_arn.to_owned(),
                });
            }
            Installed::Foreign => return Err(ClusterError::Foreign),
        }
        let namespace = ObjectRef::cluster(Kind::Namespace, NAMESPACE);
        match self.read(&namespace).await? {
            Some(value) if at(&value, &["status", "phase"]) == "Terminating" => {
                Err(ClusterError::Terminating)
            }
            _ => Ok(()),
        }
    }

    /// Refuses when a namespace does not exist.
    pub async fn demand_namespaces<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ClusterError> {
        for name in names {
            let object = ObjectRef::cluster(Kind::Namespace, name);
            if self.read(&object).await?.is_none() {
                return Err(ClusterError::NoNamespace(name.to_owned()));
            }
        }
        Ok(())
    }

    /// The console's rules as they stand, in all namespaces.
    pub async fn console(&self) -> Result<Vec<Standing>, ClusterError> {
        let mut standing = Vec::new();
        for (kind, name) in [
            (Kind::ClusterRole, IMPERSONATION),
            (Kind::ClusterRoleBinding, IMPERSONATION),
            (Kind::ClusterRole, FULL),
            (Kind::ClusterRoleBinding, FULL_BINDING),
            (Kind::ClusterRole, RESTRICTED),
            (Kind::ClusterRoleBinding, RESTRICTED_BINDING),
        ] {
            let object = ObjectRef::cluster(kind, name);
            if let Some(value) = self.read(&object).await? {
                standing.push(Standing { object, value });
            }
        }
        for (kind, name) in [
            (Kind::Role, NAMESPACE_ROLE),
            (Kind::RoleBinding, NAMESPACE_BINDING),
        ] {
            let everywhere = ObjectRef::cluster(kind, name);
            let named = ListParams::default().fields(&format!("metadata.name={name}"));
            for value in self.list(&everywhere, &named).await? {
                let namespace = at(&value, &["metadata", "namespace"])
                    .as_str()
                    .unwrap_or_default();
                let object = ObjectRef::namespaced(kind, namespace, name);
                standing.push(Standing { object, value });
            }
        }
        Ok(standing)
    }

    /// The connector's pods.
    pub async fn pods(&self) -> Result<Vec<Value>, ClusterError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &core("Pod", "pods"));
        let labelled = ListParams::default().labels("app=eks-connector");
        values(api.list(&labelled).await, "the connector's pods")
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<Value>, ClusterError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &core("Node", "nodes"));
        values(api.list(&ListParams::default()).await, "the nodes")
    }

    /// The last lines of a container's log; nothing when there is none yet. `previous` asks for the run before.
    pub async fn log(&self, pod: &str, container: &str, previous: bool) -> Option<String> {
        let api: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.client.clone(), NAMESPACE);
        let params = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(200),
            limit_bytes: Some(256 * 1024),
            previous,
            ..LogParams::default()
        };
        let work = api.logs(pod, &params);
        work.with_subscriber(NoSubscriber::default()).await.ok()
    }

    async fn list(
        &self,
        object: &ObjectRef,
        params: &ListParams,
    ) -> Result<Vec<Value>, ClusterError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(object.kind));
        values(
            api.list(params).await,
            &format!("all {}", object.kind.plural()),
        )
    }

    fn api(&self, object: &ObjectRef) -> Api<DynamicObject> {
        let resource = resource(object.kind);
        match &object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }
}

fn resource(kind: Kind) -> ApiResource {
    let api_version = kind.api_version();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.as_str().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

fn core(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

fn values(
    listed: kube::Result<kube::core::ObjectList<DynamicObject>>,
    what: &str,
) -> Result<Vec<Value>, ClusterError> {
    let fail = |error: kube::Error| failed_on("read", what.to_owned(), &error);
    let listed = listed.map_err(fail)?;
    let items = listed.items.into_iter().map(serde_json::to_value);
    items
        .collect::<Result<_, _>>()
        .map_err(|error| fail(kube::Error::SerdeError(error)))
}
