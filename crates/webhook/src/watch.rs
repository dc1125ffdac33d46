//! Follows the service accounts, the ConfigMap and the container credentials file.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::sleep;

use crate::accounts::Listing;
use crate::association::Associations;
use crate::identities::{Identities, Source};
use crate::live;
use crate::mapping::Mappings;
use crate::metrics::Metrics;

/// Follows every service account for ever. Only metadata comes over the wire.
pub async fn accounts(
    client: Client,
    identities: Arc<Identities>,
    prefix: String,
    metrics: Metrics,
) {
    let api: Api<PartialObjectMeta<ServiceAccount>> = Api::all(client);
    let events = watch_objects(api, watcher::Config::default()).default_backoff();
    follow_accounts(events, &identities, &prefix, &metrics).await;
}

async fn follow_accounts(
    events: impl Stream<Item = watcher::Result<Event<PartialObjectMeta<ServiceAccount>>>>,
    identities: &Identities,
    prefix: &str,
    metrics: &Metrics,
) {
    let source = &identities.sources.accounts;
    let mut events = pin!(events);
    let mut listing = Listing::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listing = Listing::default(),
            Ok(Event::InitApply(found)) => {
                let (namespace, name) = names(&found);
                listing.add(&namespace, &name, live::identity(&found, prefix));
            }
            Ok(Event::InitDone) => {
                identities.accounts.replace(std::mem::take(&mut listing));
                source.synced();
                let (all, roles) = identities.accounts.count();
                tracing::info!(
                    service_accounts = all,
                    with_role = roles,
                    "service accounts listed"
                );
            }
            Ok(Event::Apply(found)) => {
                let (namespace, name) = names(&found);
                let identity = live::identity(&found, prefix);
                identities.accounts.apply(&namespace, &name, identity);
                source.well();
                metrics.account_seen();
            }
            Ok(Event::Delete(found)) => {
                let (namespace, name) = names(&found);
                identities.accounts.delete(&namespace, &name);
                source.well();
            }
            Err(error) => failed(source, "serviceaccounts", &error, metrics),
        }
    }
}

fn names(found: &PartialObjectMeta<ServiceAccount>) -> (String, String) {
    (found.namespace().unwrap_or_default(), found.name_any())
}

/// Follows the ConfigMap `pod-identity-webhook` for ever. When it is deleted its entries go; when it is bad the
/// entries before it stay.
pub async fn config_map(
    client: Client,
    namespace: String,
    identities: Arc<Identities>,
    metrics: Metrics,
) {
    let api: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
    let mut events = pin!(watch_objects(api, config).default_backoff());
    let source = &identities.sources.config_map;
    let mut found = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => found = None,
            Ok(Event::InitApply(map)) => found = Some(map),
            Ok(Event::InitDone) => {
                take_map(&identities, found.take().as_ref(), &metrics);
            }
            Ok(Event::Apply(map)) => take_map(&identities, Some(&map), &metrics),
            Ok(Event::Delete(_)) => take_map(&identities, None, &metrics),
            Err(error) => failed(source, "configmaps", &error, &metrics),
        }
    }
}

fn take_map(identities: &Identities, map: Option<&ConfigMap>, metrics: &Metrics) {
    let source = &identities.sources.config_map;
    let text = map
        .and_then(|map| map.data.as_ref())
        .and_then(|entries| entries.get("config"));
    let mappings = match text.map(String::as_str).map(Mappings::parse) {
        None => Mappings::default(),
        Some(Ok(mappings)) => mappings,
        Some(Err(error)) => {
            // Its first reading must not keep the webhook from serving those with annotations.
            source.synced();
            source.failed(error.to_string());
            metrics.source_failed("config_map");
            tracing::error!(%error, "ConfigMap {CONFIG_MAP} not taken, the last good one stays");
            return;
        }
    };
    for problem in &mappings.problems {
        tracing::warn!(problem, "an entry of ConfigMap {CONFIG_MAP} is passed over");
    }
    tracing::info!(entries = mappings.len(), "ConfigMap {CONFIG_MAP} taken");
    identities.mappings.store(Arc::new(mappings));
    source.synced();
}

/// The API server refuses or does not answer; the watch goes on by itself.
fn failed(source: &Source, resource: &'static str, error: &watcher::Error, metrics: &Metrics) {
    let problem = match cause(error) {
        Some(status) if status.code == 403 || status.code == 401 => format!(
            "the API server refuses to list and watch {resource} ({} {}); grant get, list and watch",
            status.code, status.reason
        ),
        answer => live::in_words(answer),
    };
    // An expired watch is how every long one ends: it is listed again at once.
    if cause(error).is_some_and(|status| status.code == 410) {
        tracing::debug!(resource, "the watch expired, listing again");
        return;
    }
    tracing::warn!(resource, problem, "watch interrupted, what was seen stays");
    metrics.source_failed(resource);
    source.failed(problem);
}

fn cause(error: &watcher::Error) -> Option<&kube::core::Status> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => live::answer(error),
        watcher::Error::WatchError(status) => Some(status),
        watcher::Error::NoResourceVersion => None,
    }
}

/// Follows the container credentials file for ever, by reading it: kubelet swaps folders under mounted files, which
/// notifications report differently or not at all. A missing or empty file clears the set, a bad one changes nothing.
pub async fn associations(
    path: PathBuf,
    every: Duration,
    identities: Arc<Identities>,
    metrics: Metrics,
) {
    let source = &identities.sources.file;
    let mut last: Option<Vec<u8>> = None;
    loop {
        let mut is_there = true;
        let read = match tokio::fs::read(&path).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                is_there = false;
                Ok(Vec::new())
            }
            read => read,
        };
        match read {
            Ok(bytes) if last.as_ref() == Some(&bytes) => {}
            Ok(bytes) => {
                match Associations::parse(&bytes) {
                    Ok(associations) => {
                        let file = path.display();
                        if is_there {
                            let service_accounts = associations.len();
                            tracing::info!(%file, service_accounts, "container credentials file taken");
                        } else {
                            tracing::warn!(
                                %file,
                                "no such file: until there is one, no service account gets credentials from an agent"
                            );
                        }
                        identities.associations.store(Arc::new(associations));
                        source.synced();
                    }
                    Err(error) => {
                        // Its first reading must not keep the webhook from serving everybody else.
                        source.synced();
                        source.failed(format!("{}: {error}", path.display()));
                        metrics.source_failed("file");
                        tracing::error!(file = %path.display(), %error, "not taken, the last good one stays");
                    }
                }
                last = Some(bytes);
            }
            Err(error) => {
                source.failed(format!("{}: {error}", path.display()));
                metrics.source_failed("file");
                tracing::warn!(file = %path.display(), %error, "cannot be read, the last good one stays");
            }
        }
        sleep(every).await;
    }
}

/// Upstream's name, which no flag changes.
const CONFIG_MAP: &str = "pod-identity-webhook";
