//! What a pod of a service account has in its hands: its role, and the very kind of token that kubelet mounts.

use irsa_core::api_answer::is_passing;
use irsa_core::explain::Explain;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::live::status;
use crate::unquoted;

/// Why the cluster does not tell.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Pods cannot be read.
    #[error("pods of namespace \"{0}\" cannot be read")]
    Pods(String, #[source] Box<kube::Error>),
    /// No such pod.
    #[error("pod \"{namespace}/{name}\" does not exist")]
    NoPod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The API server makes no token.
    #[error("the API server makes no token for service account \"{namespace}/{name}\"")]
    Token {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What it says.
        source: Box<kube::Error>,
    },
}

impl Explain for ProbeError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Pods(namespace, _) => {
                format!("kubectl auth can-i list pods -n {namespace} shows whether you may")
            }
            Self::NoPod { namespace, .. } => format!("kubectl get pods -n {namespace}"),
            Self::Token {
                namespace, name, ..
            } => format!(
                "kubectl create token {name} -n {namespace} says more; it needs create on serviceaccounts/token"
            ),
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Pods(_, source) | Self::Token { source, .. } => is_passing(status(source)),
            Self::NoPod { .. } => false,
        }
    }
}

/// A pod by name, or every pod of the service account that has not ended, the newest first.
pub async fn pods(
    client: &Client,
    namespace: &str,
    account: &str,
    name: Option<&str>,
) -> Result<Vec<Value>, ProbeError> {
    let resource = ApiResource::erase::<Pod>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let fault =
        |source| ProbeError::Pods(namespace.to_owned(), Box::new(unquoted::of_cluster(source)));
    if let Some(name) = name {
        let found = api.get_opt(name).await.map_err(fault)?;
        let found = found.and_then(|pod| serde_json::to_value(pod).ok());
        return found.map(|pod| vec![pod]).ok_or_else(|| ProbeError::NoPod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        });
    }
    let selector =
        format!("spec.serviceAccountName={account},status.phase!=Succeeded,status.phase!=Failed");
    let list = api
        .list(&ListParams::default().fields(&selector))
        .await
        .map_err(fault)?;
    let mut items = list.items;
    items.sort_by(|a, b| {
        let made = |pod: &DynamicObject| pod.metadata.creation_timestamp.clone();
        made(b).cmp(&made(a))
    });
    Ok(items
        .into_iter()
        .filter_map(|pod| serde_json::to_value(pod).ok())
        .collect())
}

/// A token like the one that kubelet mounts: of the same audience and life, and bound to the pod if there is one.
pub async fn token(
    client: &Client,
    namespace: &str,
    account: &str,
    audience: &str,
    seconds: i64,
    pod: Option<&Value>,
) -> Result<Zeroizing<String>, ProbeError> {
    let text = |pointer: &str| {
        pod.and_then(|pod| pod.pointer(pointer))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![audience.to_owned()],
            expiration_seconds: Some(seconds),
            bound_object_ref: pod.map(|_| BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: text("/metadata/name"),
                uid: text("/metadata/uid"),
            }),
        },
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let made = api
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .map_err(|source| ProbeError::Token {
            namespace: namespace.to_owned(),
            name: account.to_owned(),
            source: Box::new(unquoted::of_cluster(source)),
        })?;
    Ok(Zeroizing::new(
        made.status.map(|status| status.token).unwrap_or_default(),
    ))
}
