//! What the status page shows besides what is served: other places of the documents, and the rotation.

use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use irsa_core::documents::DocumentName;
use irsa_core::explain::on_one_line;
use irsa_core::issuer::IssuerUrl;
use irsa_core::jwks::{Jwk, JwkSet};
use irsa_issuer::relying_party::{RelyingParty, TIMEOUT};
use irsa_issuer::serve::status::{Agreement, SinkLook};
use irsa_issuer::serve::{Metrics, SiteHandle};
use irsa_issuer::store::{AnyStore, DocumentStore as _, Look};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::from::{self, FromArgs};
use super::rotation::{Followed, PATIENCE};
use crate::args::duration;
use crate::commands::publish::Target;
use crate::report::Failure;

/// The status page at / of the admin port.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Status page")]
pub struct WatchArgs {
    /// Compare what is served with another place of the same documents (several: repeat it): public, which is the issuer
    /// URL as relying parties see it, dir:PATH or s3://BUCKET[/PREFIX]. With --issuer it is that issuer's place; the
    /// issuers of the configuration file stand at the paths of their URLs below it, those that it had at the start
    #[arg(long, env = "IRSA_COMPARE", value_name = "SINK", value_parser = Sink::parse, value_delimiter = ',', hide_env_values = true)]
    pub compare: Vec<Sink>,
    /// How long to wait between two comparisons
    #[arg(long, env = "IRSA_COMPARE_INTERVAL", value_name = "DURATION", value_parser = duration, default_value = "60s", hide_env_values = true)]
    pub compare_interval: Duration,
    /// Show this rotation (several: repeat it): a file that irsa rotate status -o json writes. It holds nothing secret
    #[arg(long, env = "IRSA_ROTATION_STATUS", value_name = "FILE", value_hint = ValueHint::FilePath, value_delimiter = ',', hide_env_values = true)]
    pub rotation_status: Vec<PathBuf>,
    /// Show at /status on the public port whether all is well, without names, keys and errors
    #[arg(long, env = "IRSA_PUBLIC_STATUS", hide_env_values = true)]
    pub public_status: bool,
}

impl WatchArgs {
    /// What nobody could see is not looked at.
    pub(super) fn check(&self, admin: Option<SocketAddr>) -> Result<(), Failure> {
        let flag = match (self.compare.is_empty(), self.rotation_status.is_empty()) {
            (false, _) => "--compare",
            (true, false) => "--rotation-status",
            (true, true) => return Ok(()),
        };
        if admin.is_some() {
            return Ok(());
        }
        Err(Failure::usage(
            format!("{flag} shows on the admin port, and there is none"),
            "add --admin-listen 127.0.0.1:9090",
        ))
    }
}

/// One more place of the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// The issuer URL, as relying parties fetch it.
    Public,
    /// A store.
    Store(Target),
}

impl Sink {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "public" {
            return Ok(Self::Public);
        }
        Target::parse(text)
            .map(Self::Store)
            .map_err(|error| format!("{error}, or public"))
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Store(target) => target.fmt(f),
        }
    }
}

/// Looks around for as long as the server runs.
pub(super) struct Watch {
    site: SiteHandle,
    metrics: Metrics,
    sinks: Vec<Watched>,
    relying_party: RelyingParty,
    rotations: Vec<Followed>,
    every: Duration,
    said: Said,
}

/// What was logged last of each place: the same is not logged at every look.
#[derive(Default)]
struct Said(HashMap<String, Agreement>);

impl Said {
    fn tell(&mut self, place: &str, found: &Agreement) {
        let before = self.0.insert(place.to_owned(), found.clone());
        if before.as_ref() == Some(found) {
            return;
        }
        match found {
            Agreement::Agrees if before.is_none() => {}
            Agreement::Agrees => tracing::info!(place, "holds the keys that are served here again"),
            Agreement::Differs { missing, foreign } => tracing::warn!(
                place,
                only_here = missing.join(" "),
                only_there = foreign.join(" "),
                "holds other keys than are served here"
            ),
            Agreement::Unreadable(why) => tracing::warn!(place, why, "cannot be read"),
        }
    }
}

/// An issuer's documents in a sink.
struct Watched {
    name: String,
    issuer: IssuerUrl,
    store: Option<AnyStore>,
}

impl Watch {
    /// What was asked for. `one` says that the issuer of a store stands at its root.
    pub(super) async fn new(
        args: WatchArgs,
        from: &FromArgs,
        issuers: Vec<IssuerUrl>,
        one: bool,
        (site, metrics): (SiteHandle, Metrics),
    ) -> Result<Self, Failure> {
        let WatchArgs {
            compare,
            compare_interval,
            rotation_status,
            public_status,
        } = args;
        if public_status {
            metrics.board().publish_summary();
        }
        let mut sinks = Vec::new();
        for sink in compare {
            let name = sink.to_string();
            let stores: Vec<(IssuerUrl, Option<AnyStore>)> = match sink {
                Sink::Public => issuers
                    .iter()
                    .map(|issuer| (issuer.clone(), None))
                    .collect(),
                Sink::Store(target) => {
                    let stores = from::stores_at(from, &target, issuers.clone(), one).await?;
                    stores
                        .into_iter()
                        .map(|(issuer, store)| (issuer, Some(store)))
                        .collect()
                }
            };
            sinks.extend(stores.into_iter().map(|(issuer, store)| Watched {
                name: name.clone(),
                issuer,
                store,
            }));
        }
        Ok(Self {
            site,
            metrics,
            sinks,
            relying_party: RelyingParty::new(from.ca_file.as_deref(), TIMEOUT),
            rotations: rotation_status.into_iter().map(Followed::new).collect(),
            every: compare_interval.max(Duration::from_secs(1)),
            said: Said::default(),
        })
    }

    /// Never returns.
    pub(super) async fn run(mut self) {
        if self.sinks.is_empty() && self.rotations.is_empty() {
            return pending().await;
        }
        loop {
            self.look_at_rotations().await;
            self.compare().await;
            sleep(self.every).await;
        }
    }

    /// One place after the other: this is no hurry, and must be no load.
    async fn compare(&mut self) {
        let mut looks = Vec::with_capacity(self.sinks.len());
        let served = self.served();
        for sink in &self.sinks {
            let url = sink.issuer.to_string();
            // What is not served here has nothing to be compared with; that it is not served is said elsewhere.
            let Some((path, keys)) = served.get(&url) else {
                continue;
            };
            let found = seen_in(sink, path, keys, &mut self.relying_party).await;
            self.said.tell(&format!("{} of {url}", sink.name), &found);
            looks.push(SinkLook {
                issuer: url,
                sink: sink.name.clone(),
                found,
                at: Timestamp::now(),
            });
        }
        self.metrics.board().sinks_seen(looks);
    }

    /// The JWKS of each issuer with its path below the issuer. One that is served can be read.
    fn served(&self) -> HashMap<String, (String, JwkSet)> {
        let wanted: HashMap<String, &IssuerUrl> = self
            .sinks
            .iter()
            .map(|sink| (sink.issuer.to_string(), &sink.issuer))
            .collect();
        let site = self.site.current();
        let documents = site
            .documents()
            .filter(|(_, document)| document.kind() == DocumentName::Jwks);
        documents
            .filter_map(|(url, document)| {
                let issuer = wanted.get(url)?;
                let path = document.path().strip_prefix(issuer.path())?;
                let keys = JwkSet::parse(document.body()).ok()?;
                Some((
                    url.to_owned(),
                    (path.trim_start_matches('/').to_owned(), keys),
                ))
            })
            .collect()
    }

    /// All at once: one that does not answer holds up no other.
    async fn look_at_rotations(&mut self) {
        let until = Instant::now() + PATIENCE;
        for followed in &mut self.rotations {
            followed.begin();
        }
        let board = self.metrics.board();
        let mut rotations = Vec::with_capacity(self.rotations.len());
        for followed in &mut self.rotations {
            let subject = followed.file.display().to_string();
            match followed.found(until).await {
                Ok(rotation) => {
                    rotations.push(rotation);
                    self.said.0.remove(&subject);
                }
                Err(why) => {
                    board.problem(Timestamp::now(), &subject, &why);
                    let found = Agreement::Unreadable(why);
                    self.said.tell(&subject, &found);
                }
            }
        }
        board.rotations_seen(rotations);
    }
}

async fn seen_in(
    sink: &Watched,
    path: &str,
    served: &JwkSet,
    relying_party: &mut RelyingParty,
) -> Agreement {
    let found = match &sink.store {
        None => match relying_party.keys(&sink.issuer).await {
            Ok(published) => Ok(published.keys),
            Err(error) => Err(on_one_line(&error)),
        },
        Some(store) => match store.look(path, None).await {
            Ok(Look::Found(stored)) => {
                JwkSet::parse(&stored.bytes).map_err(|error| on_one_line(&error))
            }
            Ok(Look::Absent | Look::Unchanged) => Err(format!("there is no {path}")),
            Err(error) => Err(on_one_line(&error)),
        },
    };
    match found {
        Ok(found) => compare(served, &found),
        Err(why) => Agreement::Unreadable(why),
    }
}

/// Kid and key: a sink that has another key under a kid of ours holds another key.
fn compare(served: &JwkSet, found: &JwkSet) -> Agreement {
    let only_in = |one: &JwkSet, other: &JwkSet| -> Vec<String> {
        let known = |jwk: &Jwk| other.find(&jwk.kid).any(|there| there.key == jwk.key);
        let lacking = one.keys().iter().filter(|jwk| !known(jwk));
        lacking.map(|jwk| jwk.kid.clone()).collect()
    };
    let (missing, foreign) = (only_in(served, found), only_in(found, served));
    if missing.is_empty() && foreign.is_empty() {
        Agreement::Agrees
    } else {
        Agreement::Differs { missing, foreign }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_named_as_they_were_typed() {
        for text in ["public", "dir:/srv/oidc", "s3://my-bucket/prod"] {
            assert_eq!(Sink::parse(text).unwrap().to_string(), text);
        }
        assert!(
            Sink::parse("https://h")
                .unwrap_err()
                .ends_with(", or public")
        );
    }
}
