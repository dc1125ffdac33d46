//! Applies the manifest, removes it, and says how it stands. Each outside write is a [`Change`] first.

use std::fmt;

use irsa_core::api_answer::is_passing;
use irsa_core::explain::Explain;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;

use crate::certificate::{self, CertificateState};
use crate::live::status;
use crate::manifest::{MANAGED_BY, NAME};
use crate::unquoted;

/// An object by kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// API version, like `apps/v1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; none for objects of the whole cluster.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// What is to be done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It is not there yet.
    Create,
    /// It differs.
    Update,
    /// It is as it should be.
    Keep,
    /// It goes.
    Delete,
}

/// One intended write.
#[derive(Debug, Clone)]
pub struct Change {
    /// What.
    pub verb: Verb,
    /// Which object.
    pub object: Named,
    body: Value,
}

/// Why something could not be done. What was done before it stands.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The API server refuses or does not answer.
    #[error("{verb} {object} failed")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: Named,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// An object of our name that somebody else made.
    #[error(
        "{0} was not installed by irsa: it lacks the label app.kubernetes.io/managed-by={MANAGED_BY}"
    )]
    Foreign(Named),
    /// Somebody else writes the caBundle of the registration.
    #[error(
        "{object} has the annotation {annotation}: its caBundle is written by somebody else, who would take our CA out again"
    )]
    Injected {
        /// The registration.
        object: Named,
        /// The annotation.
        annotation: String,
    },
}

impl Explain for InstallError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Api { source, object, .. } if status(source) == Some(403) => format!(
                "a person with cluster-admin can do it; kubectl auth can-i '*' {} shows whether you may",
                object.kind.to_lowercase()
            ),
            Self::Api { object, source, .. } if status(source) == Some(404) => format!(
                "see that namespace {} exists: kubectl create namespace NAME",
                object.namespace.as_deref().unwrap_or("of the manifest")
            ),
            Self::Api {
                verb: "reading", ..
            } => "see that kubectl reaches the same cluster, and run the same command again".into(),
            Self::Api { .. } => {
                "run the same command again: what was done stands, and is not done twice".into()
            }
            Self::Foreign(object) => format!(
                "kubectl delete {} {}{} if it is to go",
                object.kind.to_lowercase(),
                object.name,
                object
                    .namespace
                    .as_ref()
                    .map(|it| format!(" -n {it}"))
                    .unwrap_or_default()
            ),
            Self::Injected { object, annotation } => format!(
                "nothing was written; kubectl annotate {} {} {annotation}- and run the same command again: the CA of \
                 now stays trusted for a day beside ours",
                object.kind.to_lowercase(),
                object.name
            ),
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Api { source, .. } => is_passing(status(source)),
            Self::Foreign(_) | Self::Injected { .. } => false,
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Keep => "keep",
            Verb::Delete => "delete",
        };
        write!(f, "{verb:6} {}", self.object)
    }
}

impl Named {
    fn of(object: &Value) -> Self {
        let text = |pointer| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Self {
            api_version: text("/apiVersion").unwrap_or_default(),
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
        }
    }

    fn api(&self, client: &Client) -> Api<DynamicObject> {
        let (group, version) = self
            .api_version
            .split_once('/')
            .unwrap_or(("", &self.api_version));
        let kind = GroupVersionKind::gvk(group, version, &self.kind);
        let resource = ApiResource::from_gvk(&kind);
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        }
    }

    fn error(&self, verb: &'static str) -> impl FnOnce(kube::Error) -> InstallError {
        let object = self.clone();
        move |source| InstallError::Api {
            verb,
            object,
            source: Box::new(unquoted::of_cluster(source)),
        }
    }
}

/// What applying these objects would change, as the API server sees it. Refuses a registration whose caBundle is
/// somebody else's: the webhook that would be installed could not become ready.
pub async fn plan(client: &Client, objects: &[Value]) -> Result<Vec<Change>, InstallError> {
    let mut changes = Vec::new();
    for body in objects {
        let object = Named::of(body);
        let api = object.api(client);
        let found = api
            .get_opt(&object.name)
            .await
            .map_err(object.error("reading"))?;
        let verb = match found {
            None => Verb::Create,
            Some(found) => {
                if let Some(annotation) = certificate::injector(&found.metadata) {
                    let annotation = annotation.to_owned();
                    return Err(InstallError::Injected { object, annotation });
                }
                let after = api
                    .patch(&object.name, &parameters().dry_run(), &Patch::Apply(body))
                    .await
                    .map_err(object.error("trying to apply"))?;
                if substance(found) == substance(after) {
                    Verb::Keep
                } else {
                    Verb::Update
                }
            }
        };
        changes.push(Change {
            verb,
            object,
            body: body.clone(),
        });
    }
    Ok(changes)
}

/// What removing these objects would delete, the last one first, with the Secret that the webhook made.
pub async fn plan_removal(client: &Client, objects: &[Value]) -> Result<Vec<Change>, InstallError> {
    let namespace = objects
        .iter()
        .find_map(|object| Named::of(object).namespace);
    let secret = Named {
        api_version: "v1".into(),
        kind: "Secret".into(),
        namespace,
        name: NAME.into(),
    };
    let all = objects.iter().rev().map(Named::of).chain([secret]);
    let mut changes = Vec::new();
    for object in all {
        let found = object.api(client).get_opt(&object.name).await;
        let Some(found) = found.map_err(object.error("reading"))? else {
            continue;
        };
        let labels = found.metadata.labels.unwrap_or_default();
        if labels
            .get("app.kubernetes.io/managed-by")
            .map(String::as_str)
            != Some(MANAGED_BY)
        {
            return Err(InstallError::Foreign(object));
        }
        changes.push(Change {
            verb: Verb::Delete,
            object,
            body: Value::Null,
        });
    }
    Ok(changes)
}

/// Makes one change.
pub async fn apply(client: &Client, change: &Change) -> Result<(), InstallError> {
    let Change { verb, object, body } = change;
    let api = object.api(client);
    match verb {
        Verb::Keep => Ok(()),
        Verb::Create | Verb::Update => api
            .patch(&object.name, &parameters(), &Patch::Apply(body))
            .await
            .map(drop)
            .map_err(object.error("applying")),
        Verb::Delete => match api.delete(&object.name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            // Somebody else was faster.
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) => Err(object.error("deleting")(error)),
        },
    }
}

/// Whoever installed another webhook of this name hands its fields over.
fn parameters() -> PatchParams {
    PatchParams::apply("irsa").force()
}

/// An object without what every write changes.
fn substance(mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    object.metadata.resource_version = None;
    object.metadata.generation = None;
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    value
}

/// How the webhook stands in a cluster.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Replicas wanted and replicas that are available; none without Deployment.
    pub replicas: Option<(i32, i32)>,
    /// Its CA and who trusts it; none when it has no Secret or no registration, with the reason.
    pub certificate: Result<CertificateState, String>,
}

impl Standing {
    /// What is wrong, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match self.replicas {
            None => problems.push(format!("there is no Deployment {NAME}")),
            Some((_, 0)) => problems.push("no replica is available".to_owned()),
            Some((wanted, available)) if available < wanted => {
                problems.push(format!("{available} of {wanted} replicas are available"));
            }
            Some(_) => {}
        }
        match &self.certificate {
            Err(why) => problems.push(why.clone()),
            Ok(state) => problems.extend(state.problems.iter().cloned()),
        }
        problems
    }
}

/// Looks at Deployment, Secret and registration. `now` is in Unix seconds.
pub async fn observe(client: &Client, namespace: &str, now: i64) -> Result<Standing, InstallError> {
    let named = |api_version: &str, kind: &str, namespace: Option<&str>| Named {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: namespace.map(str::to_owned),
        name: NAME.into(),
    };
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = deployments
        .get_opt(NAME)
        .await
        .map_err(named("apps/v1", "Deployment", Some(namespace)).error("reading"))?;
    let replicas = deployment.map(|deployment| {
        let wanted = deployment.spec.and_then(|spec| spec.replicas);
        let available = deployment
            .status
            .and_then(|status| status.available_replicas);
        (wanted.unwrap_or(1), available.unwrap_or(0))
    });
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = secrets
        .get_opt(NAME)
        .await
        .map_err(named("v1", "Secret", Some(namespace)).error("reading"))?;
    let registration = named(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        None,
    );
    let configuration = registration
        .api(client)
        .get_opt(NAME)
        .await
        .map_err(registration.error("reading"))?;
    let configuration = configuration.and_then(|found| serde_json::to_value(found).ok());
    let certificate = certificate::examine(secret, configuration, namespace, NAME, now);
    Ok(Standing {
        replicas,
        certificate,
    })
}
