//! One service account, read from the API server now.

use irsa_core::api_answer::is_passing;
use irsa_core::explain::Explain;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::core::{PartialObjectMeta, Status};
use kube::{Api, Client, ResourceExt as _};

use crate::identity::Identity;
use crate::unquoted;

/// Why a service account cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("service account \"{namespace}/{name}\" cannot be read")]
pub struct LiveError {
    namespace: String,
    name: String,
    source: Box<kube::Error>,
}

impl Explain for LiveError {
    fn help(&self) -> Option<String> {
        Some(match status(&self.source) {
            Some(401 | 403) => format!(
                "kubectl auth can-i get serviceaccounts -n {} shows whether you may",
                self.namespace
            ),
            _ => "kubectl get --raw /readyz shows whether the API server answers".to_owned(),
        })
    }

    fn retryable(&self) -> bool {
        is_passing(status(&self.source))
    }
}

/// The HTTP status of an API server's refusal.
pub(crate) fn status(error: &kube::Error) -> Option<u16> {
    answer(error).map(|status| status.code)
}

/// An API server's refusal.
pub(crate) fn answer(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// Reads one service account, past every cache: none when it does not exist.
pub async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
    prefix: &str,
) -> Result<Option<Identity>, LiveError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let found = api
        .get_metadata_opt(name)
        .await
        .map_err(|source| LiveError {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            source: Box::new(unquoted::of_cluster(source)),
        })?;
    Ok(found.map(|found| identity(&found, prefix)))
}

/// What a service account's metadata says.
pub(crate) fn identity(found: &PartialObjectMeta<ServiceAccount>, prefix: &str) -> Identity {
    let annotations = found
        .annotations()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    Identity::from_annotations(prefix, annotations)
}

/// Why, in few words, for people who created a pod.
pub(crate) fn reason(error: &LiveError) -> String {
    in_words(answer(&error.source))
}

/// The same of any answer; none if there was no answer.
pub(crate) fn in_words(answer: Option<&Status>) -> String {
    match answer {
        Some(status) => format!("the API server says {} {}", status.code, status.reason),
        None => "the API server does not answer".to_owned(),
    }
}
