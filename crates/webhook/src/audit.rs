//! Finds pods that run without the role of their service account: pods that were made while the webhook was away, or
//! before the annotation. Their SDKs fall back to the node's role in silence.

use std::collections::BTreeMap;

use irsa_core::api_answer::is_passing;
use irsa_core::explain::Explain;
use k8s_openapi::api::core::v1::{ConfigMap, Pod as PodObject, ServiceAccount};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use crate::association::Associations;
use crate::decision::{Injection, Known, Mode, decide};
use crate::identity::{Identity, parse_expiration};
use crate::injection::{self, Fate};
use crate::live;
use crate::manifest::NAME;
use crate::mapping::{MappingError, Mappings};
use crate::pod::Pod;
use crate::role::is_role_arn;
use crate::settings::{SKIP_LABEL, Settings};
use crate::unquoted;

/// A pod without the role of its service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
    /// Its service account.
    pub account: String,
    /// The role that it should have, or where its agent listens.
    pub role: String,
    /// What is wrong.
    pub fault: Fault,
    /// What made it, as `Kind/name`; empty for a pod that nobody makes again.
    pub owner: String,
}

/// What is wrong with a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing of the injection is there in these containers.
    Missing(Vec<String>),
    /// These containers have another role than the service account says now.
    OtherRole {
        /// The containers.
        containers: Vec<String>,
        /// The role that they have; none when the variable holds something else.
        role: Option<String>,
    },
    /// The webhook would not inject it either, for this reason.
    Refused(String),
    /// The pod keeps the webhook away by label.
    Skipped,
}

/// Why the cluster cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The API server refuses or does not answer.
    #[error("{0} cannot be listed")]
    List(&'static str, #[source] Box<kube::Error>),
    /// The ConfigMap is bad.
    #[error("ConfigMap {0}/{NAME} cannot be used")]
    Mappings(String, #[source] MappingError),
}

impl Explain for AuditError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::List(what, error) if live::status(error) == Some(403) => {
                format!("kubectl auth can-i list {what} --all-namespaces shows whether you may")
            }
            Self::List(..) => {
                "kubectl get --raw /readyz shows whether the API server answers".into()
            }
            Self::Mappings(namespace, _) => {
                format!("kubectl -n {namespace} edit configmap {NAME}")
            }
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::List(_, error) if is_passing(live::status(error)))
    }
}

/// Where roles come from besides annotations.
#[derive(Debug, Default)]
pub struct Sources {
    /// The ConfigMap.
    pub mappings: Mappings,
    /// The container credentials file.
    pub associations: Associations,
}

/// Looks at every pod of a namespace, or of all, that has not ended.
pub async fn audit(
    client: &Client,
    settings: &Settings,
    namespace: Option<&str>,
    sources: &Sources,
) -> Result<Vec<Finding>, AuditError> {
    let accounts = accounts(client, settings, namespace).await?;
    let resource = ApiResource::erase::<PodObject>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    // Those that have ended need no role, and may be many.
    let mut page = ListParams::default()
        .limit(PAGE)
        .fields("status.phase!=Succeeded,status.phase!=Failed");
    let mut findings = Vec::new();
    loop {
        let list = api
            .list(&page)
            .await
            .map_err(|error| AuditError::List("pods", Box::new(unquoted::of_cluster(error))))?;
        for object in list.items {
            let Ok(json) = serde_json::to_value(object) else {
                continue;
            };
            findings.extend(look(settings, &accounts, sources, &json));
        }
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(findings),
        }
    }
}

type Accounts = BTreeMap<(String, String), Identity>;

async fn accounts(
    client: &Client,
    settings: &Settings,
    namespace: Option<&str>,
) -> Result<Accounts, AuditError> {
    let api: Api<PartialObjectMeta<ServiceAccount>> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut accounts = Accounts::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list_metadata(&page).await.map_err(|error| {
            AuditError::List("serviceaccounts", Box::new(unquoted::of_cluster(error)))
        })?;
        for found in list.items {
            let annotations = found
                .annotations()
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()));
            let identity = Identity::from_annotations(&settings.annotation_prefix, annotations);
            accounts.insert(
                (found.namespace().unwrap_or_default(), found.name_any()),
                identity,
            );
        }
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(accounts),
        }
    }
}

/// The entries of the ConfigMap of this namespace; none when it does not exist.
pub async fn config_map(client: &Client, namespace: &str) -> Result<Mappings, AuditError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = api
        .get_opt(NAME)
        .await
        .map_err(|error| AuditError::List("configmaps", Box::new(unquoted::of_cluster(error))))?;
    let entries = found.and_then(|map| map.data).unwrap_or_default();
    match entries.get("config") {
        None => Ok(Mappings::default()),
        Some(text) => {
            Mappings::parse(text).map_err(|error| AuditError::Mappings(namespace.to_owned(), error))
        }
    }
}

/// What is wrong with one pod of a service account with these annotations, if anything. Pure.
pub fn examine(settings: &Settings, identity: &Identity, pod: &Value) -> Option<Finding> {
    let key = (
        string(pod, "/metadata/namespace").to_owned(),
        string(pod, "/spec/serviceAccountName").to_owned(),
    );
    let accounts = [(key, identity.clone())].into();
    look(settings, &accounts, &Sources::default(), pod)
}

fn look(
    settings: &Settings,
    accounts: &Accounts,
    sources: &Sources,
    json: &Value,
) -> Option<Finding> {
    let text = json.to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).ok()?;
    // What kubelet runs from a file has no service account.
    if pod.annotation("kubernetes.io/config.mirror").is_some() {
        return None;
    }
    let namespace = string(json, "/metadata/namespace");
    let account = pod.service_account();
    let identity = accounts.get(&(namespace.to_owned(), account.to_owned()));
    let known = Known {
        associated: sources.associations.contains(namespace, account),
        identity,
        mapping: sources.mappings.find(namespace, account),
        exact_mapping: sources.mappings.exact(namespace, account),
    };
    let wish = pod
        .annotation(&settings.annotation("token-expiration"))
        .and_then(parse_expiration);
    let injection = decide(settings, known, wish, 0)?;
    let role = match &injection.mode {
        Mode::WebIdentity { role } => role,
        Mode::ContainerCredentials { full_uri } => full_uri,
    };
    let fault = fault(settings, json, &pod, &injection)?;
    Some(Finding {
        namespace: namespace.to_owned(),
        pod: string(json, "/metadata/name").to_owned(),
        account: account.to_owned(),
        role: role.clone(),
        fault,
        owner: owner(json, &pod),
    })
}

/// Why a pod does not have what would be injected, if it does not.
fn fault(settings: &Settings, json: &Value, pod: &Pod<'_>, injection: &Injection) -> Option<Fault> {
    let patch = injection::build(settings, pod, injection);
    let refused = patch
        .notes
        .iter()
        .find(|note| matches!(note.reason(), "TokenVolumeTaken" | "MountPathTaken"));
    let missing: Vec<_> = patch
        .containers
        .iter()
        .filter(|(_, fate)| {
            matches!(fate, Fate::Injected { variables, mounted }
            if *mounted || variables.iter().any(|name| SAY_HOW.contains(name)))
        })
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(note) = refused {
        return Some(Fault::Refused(note.sentence()));
    }
    if missing.is_empty() {
        let Mode::WebIdentity { role } = &injection.mode else {
            return None;
        };
        let (containers, role) = other_role(json, role)?;
        return Some(Fault::OtherRole { containers, role });
    }
    Some(if pod.label(SKIP_LABEL).is_some() {
        Fault::Skipped
    } else {
        Fault::Missing(missing)
    })
}

/// The containers with a role of their own that the webhook wrote: with the token's file beside it.
fn other_role(json: &Value, role: &str) -> Option<(Vec<String>, Option<String>)> {
    let mut names = Vec::new();
    let mut other = None;
    for list in ["/spec/containers", "/spec/initContainers"] {
        for container in json
            .pointer(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let env = container.get("env").and_then(Value::as_array);
            let value = |name: &str| {
                let mut all = env.into_iter().flatten();
                let found = all.find(|one| string(one, "/name") == name)?;
                found.get("value").and_then(Value::as_str)
            };
            if let (Some(found), Some(_)) =
                (value("AWS_ROLE_ARN"), value("AWS_WEB_IDENTITY_TOKEN_FILE"))
                && found != role
            {
                names.push(string(container, "/name").to_owned());
                // What is no ARN may be anything that somebody put into a variable.
                other.get_or_insert_with(|| is_role_arn(found).then(|| found.to_owned()));
            }
        }
    }
    other.map(|role| (names, role))
}

/// Who makes the pod again: for a `ReplicaSet` of a Deployment the Deployment, whose hash ends its name.
fn owner(json: &Value, pod: &Pod<'_>) -> String {
    let owner = pod.owner().unwrap_or_default();
    let hash = pod.label("pod-template-hash").unwrap_or_default();
    let deployment = owner
        .strip_prefix("ReplicaSet/")
        .and_then(|name| name.strip_suffix(hash))
        .and_then(|name| name.strip_suffix('-'))
        .filter(|_| !hash.is_empty());
    match deployment {
        Some(name) => format!("Deployment/{name}"),
        None if owner.is_empty() && json.pointer("/metadata/ownerReferences/0").is_some() => {
            "unknown".to_owned()
        }
        None => owner,
    }
}

impl Finding {
    /// What is wrong, in one sentence.
    pub fn sentence(&self) -> String {
        match &self.fault {
            Fault::Missing(containers) => format!("not injected: {}", containers.join(", ")),
            Fault::OtherRole { containers, role } => {
                let role = role
                    .as_deref()
                    .unwrap_or("no ARN of a role in AWS_ROLE_ARN");
                format!("has {role}: {}", containers.join(", "))
            }
            Fault::Refused(why) => why.clone(),
            Fault::Skipped => format!("keeps the webhook away by the label {SKIP_LABEL}"),
        }
    }

    /// What puts it right, to be pasted where it can be.
    pub fn fix(&self) -> String {
        let namespace = &self.namespace;
        match (&self.fault, self.owner.split_once('/')) {
            (Fault::Refused(_), _) => "change the pod's volumes, then make it again".into(),
            (Fault::Skipped, _) => "take the label away if the pod is to have the role".into(),
            (_, Some((kind @ ("Deployment" | "StatefulSet" | "DaemonSet"), name))) => format!(
                "kubectl -n {namespace} rollout restart {}/{name}",
                kind.to_lowercase()
            ),
            (_, Some(_)) => format!("kubectl -n {namespace} delete pod {}", self.pod),
            (_, None) => format!(
                "make pod {} again: nothing else does (kubectl get pod -o yaml, delete, apply)",
                self.pod
            ),
        }
    }
}

fn string<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The variables that say which role, or which agent.
const SAY_HOW: [&str; 2] = ["AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
/// Objects of a page.
const PAGE: u32 = 500;

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
