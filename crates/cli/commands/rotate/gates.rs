//! What in the cluster keeps a key, how long its tokens live, and who uses them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use irsa_core::api_answer::is_passing;
use irsa_core::explain::Explain;
use irsa_core::keys::PublicKey;
use irsa_core::kid::Kid;
use irsa_core::observation::{Hold, Lifetimes};
use irsa_core::token::signature::signer;
use irsa_webhook::role::clamp_expiration;
use k8s_openapi::api::core::v1::{
    Node, Pod, Secret, ServiceAccount, ServiceAccountTokenProjection,
};
use kube::api::ListParams;
use kube::{Api, Client, Error};
use serde::de::DeserializeOwned;

use crate::kubernetes::status;

/// Objects that one page of a list holds.
const PAGE: u32 = 500;
/// The life of a projected token that asks for none, in seconds.
const DEFAULT_SECONDS: i64 = 3600;
/// How long the pod identity webhook makes tokens live, in seconds; the prefix of its annotations stands before it.
const LIFE_ANNOTATION: &str = "token-expiration";

/// Public keys that were seen anywhere.
pub(super) type Known = BTreeMap<Kid, PublicKey>;

/// Why the cluster cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("the {what} of the cluster cannot be listed")]
pub(super) struct GateError {
    what: &'static str,
    #[source]
    source: Box<Error>,
}

impl Explain for GateError {
    fn help(&self) -> Option<String> {
        Some(match status(&self.source) {
            Some(403) => format!(
                "allow it to list {} in all namespaces: a key must not go while something there needs it",
                self.what
            ),
            _ => "see the log of the API server".into(),
        })
    }

    fn retryable(&self) -> bool {
        is_passing(status(&self.source))
    }
}

/// The objects of a cluster.
pub(super) struct Cluster {
    client: Client,
    life_annotation: String,
}

impl Cluster {
    /// The cluster of a configuration. `prefix` is that of the pod identity webhook's annotations.
    pub(super) fn new(config: &kube::Config, prefix: &str) -> Result<Self, GateError> {
        let client = Client::try_from(config.clone()).map_err(|source| GateError {
            what: "objects",
            source: Box::new(source),
        })?;
        Ok(Self {
            client,
            life_annotation: format!("{prefix}/{LIFE_ANNOTATION}"),
        })
    }

    /// What keeps keys. A token in a Secret never expires: what it is signed with must stay. One that names no key of
    /// ours, as those of old clusters, belongs to the key that made its signature.
    pub(super) async fn holds(
        &self,
        known: &Known,
    ) -> Result<BTreeMap<Kid, BTreeSet<Hold>>, GateError> {
        let mut holds: BTreeMap<Kid, BTreeSet<Hold>> = BTreeMap::new();
        let only = ListParams::default().fields("type=kubernetes.io/service-account-token");
        self.each::<Secret>("Secrets", only, |secret| {
            let token = secret.data.as_ref().and_then(|data| data.get("token"));
            let text = token.and_then(|token| std::str::from_utf8(&token.0).ok());
            let Some(kid) = text.and_then(|text| signer(text, known)) else {
                return;
            };
            let metadata = &secret.metadata;
            let name = format!(
                "{}/{}",
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.name.as_deref().unwrap_or_default()
            );
            holds
                .entry(kid)
                .or_default()
                .insert(Hold::LegacySecret { name });
        })
        .await?;
        Ok(holds)
    }

    /// The longest lives that pods ask for now, and that the annotations of service accounts promise to those to come. A
    /// token without an audience is for the API server alone.
    pub(super) async fn lifetimes(&self) -> Result<Lifetimes, GateError> {
        let mut longest = Lifetimes::default();
        self.each::<Pod>("Pods", ListParams::default(), |pod| {
            for token in tokens_of(pod) {
                longest.count(life(token), is_external(token));
            }
        })
        .await?;
        self.each::<ServiceAccount>("ServiceAccounts", ListParams::default(), |account| {
            let annotations = account.metadata.annotations.as_ref();
            let promised = annotations.and_then(|all| all.get(&self.life_annotation)?.parse().ok());
            // What the webhook makes of it: whoever may write an annotation must not hold a key for ever.
            let life = promised.map(clamp_expiration).map(u64::try_from);
            if let Some(Ok(life)) = life {
                longest.count(Duration::from_secs(life), true);
            }
        })
        .await?;
        Ok(longest)
    }

    /// The names of the control-plane nodes, whether they are ready or not.
    pub(super) async fn control_planes(&self) -> Result<BTreeSet<String>, GateError> {
        let mut found = BTreeSet::new();
        let only = ListParams::default().labels("node-role.kubernetes.io/control-plane");
        self.each::<Node>("Nodes", only, |node| {
            found.extend(node.metadata.name.clone());
        })
        .await?;
        Ok(found)
    }

    /// Looks at every pod.
    pub(super) async fn pods(&self, look: impl FnMut(&Pod)) -> Result<(), GateError> {
        self.each("Pods", ListParams::default(), look).await
    }

    async fn each<K>(
        &self,
        what: &'static str,
        params: ListParams,
        mut look: impl FnMut(&K),
    ) -> Result<(), GateError>
    where
        K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let mut params = params.limit(PAGE);
        loop {
            let page = api.list(&params).await.map_err(|source| GateError {
                what,
                source: Box::new(source),
            })?;
            page.items.iter().for_each(&mut look);
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => return Ok(()),
            }
        }
    }
}

/// The projected tokens of a pod.
pub(super) fn tokens_of(pod: &Pod) -> impl Iterator<Item = &ServiceAccountTokenProjection> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let sources = volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| volume.projected.as_ref()?.sources.as_ref());
    sources
        .flatten()
        .filter_map(|source| source.service_account_token.as_ref())
}

/// How long such a token lives.
pub(super) fn life(token: &ServiceAccountTokenProjection) -> Duration {
    let seconds = token.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Whether it is for somebody else than the API server.
pub(super) fn is_external(token: &ServiceAccountTokenProjection) -> bool {
    token
        .audience
        .as_deref()
        .is_some_and(|audience| !audience.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn projection(audience: Option<&str>, seconds: Option<i64>) -> ServiceAccountTokenProjection {
        ServiceAccountTokenProjection {
            audience: audience.map(str::to_owned),
            expiration_seconds: seconds,
            path: "token".into(),
        }
    }

    #[test]
    fn an_audience_makes_a_token_external_and_an_empty_one_does_not() {
        assert!(is_external(&projection(Some("vault"), None)));
        assert!(!is_external(&projection(Some(""), None)));
        assert!(!is_external(&projection(None, None)));
        assert_eq!(life(&projection(None, None)), Duration::from_hours(1));
        assert_eq!(life(&projection(None, Some(600))), Duration::from_mins(10));
    }
}
