//! What in the cluster keeps a key, and how long its tokens live.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use irsa_core::explain::Explain;
use irsa_core::kid::Kid;
use irsa_core::observation::{Hold, Lifetimes};
use irsa_core::token::Token;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::{Api, Client, Error};

/// Objects that one page of a list holds.
const PAGE: u32 = 500;

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
        Some(match &*self.source {
            Error::Api(status) if status.code == 403 => format!(
                "allow it to list {} in all namespaces: a key must not go while something there needs it",
                self.what
            ),
            _ => "see the log of the API server".into(),
        })
    }

    fn retryable(&self) -> bool {
        !matches!(&*self.source, Error::Api(status) if status.code < 500 && status.code != 429)
    }
}

/// What keeps keys, and the longest tokens that pods ask for now.
pub(super) async fn look(
    config: &kube::Config,
) -> Result<(BTreeMap<Kid, BTreeSet<Hold>>, Lifetimes), GateError> {
    let fail = |what, source| GateError {
        what,
        source: Box::new(source),
    };
    let client = Client::try_from(config.clone()).map_err(|source| fail("Secrets", source))?;
    let secrets = secrets(client.clone())
        .await
        .map_err(|source| fail("Secrets", source))?;
    let longest = pods(client).await.map_err(|source| fail("Pods", source))?;
    Ok((secrets, longest))
}

/// Tokens in Secrets never expire: what they are signed with must stay.
async fn secrets(client: Client) -> Result<BTreeMap<Kid, BTreeSet<Hold>>, Error> {
    let api: Api<Secret> = Api::all(client);
    let mut params = ListParams::default()
        .fields("type=kubernetes.io/service-account-token")
        .limit(PAGE);
    let mut holds: BTreeMap<Kid, BTreeSet<Hold>> = BTreeMap::new();
    loop {
        let page = api.list(&params).await?;
        for secret in &page.items {
            let token = secret.data.as_ref().and_then(|data| data.get("token"));
            let text = token.and_then(|token| std::str::from_utf8(&token.0).ok());
            let kid = text.and_then(|text| Token::parse(text).ok());
            let Some(kid) = kid.as_ref().and_then(Token::kid).and_then(Kid::parse) else {
                continue;
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
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(holds),
        }
    }
}

/// The longest lives that projected volumes ask for. Without an audience the token is for the API server.
async fn pods(client: Client) -> Result<Lifetimes, Error> {
    let api: Api<Pod> = Api::all(client);
    let mut params = ListParams::default().limit(PAGE);
    let mut longest = Lifetimes::default();
    loop {
        let page = api.list(&params).await?;
        let volumes = page
            .items
            .iter()
            .filter_map(|pod| pod.spec.as_ref()?.volumes.as_ref());
        let sources = volumes
            .flatten()
            .filter_map(|volume| volume.projected.as_ref()?.sources.as_ref());
        for source in sources.flatten() {
            let Some(token) = &source.service_account_token else {
                continue;
            };
            let seconds = token.expiration_seconds.unwrap_or(3600);
            let life = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
            let for_server = token.audience.as_deref().is_none_or(str::is_empty);
            let side = if for_server {
                &mut longest.cluster
            } else {
                &mut longest.public
            };
            *side = life.max(*side);
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(longest),
        }
    }
}
