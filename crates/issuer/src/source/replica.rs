//! From a shared store of documents to a [`Site`]: what was published is served as it is, byte for byte.
//!
//! Any number of such endpoints can run beside each other: none writes, and none knows of the others. Each look asks
//! the store whether the documents have changed; what is unchanged is not sent again. What cannot be read, or is not
//! the issuer's, is reported, and the last good documents are served on.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};
use irsa_core::discovery::{self, DiscoveryError};
use irsa_core::documents::DocumentName;
use irsa_core::explain::Explain;
use irsa_core::issuer::{DISCOVERY_PATH, IssuerUrl, JwksUri};
use irsa_core::jwks::{JwkSet, JwksError};
use irsa_core::publication::Stored;

use super::{Changes, Refused, Reloaded};
use crate::publish::PublishError;
use crate::serve::{Document, ServeError, ServedIssuer, ServedKey, Site};
use crate::store::{DocumentStore, Look};

/// Issuers looked at beside each other.
const AT_ONCE: usize = 16;

/// Why the documents in a store are not served.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The store.
    #[error(transparent)]
    Store(#[from] PublishError),
    /// Nothing is there.
    #[error("the store has no {path} for {issuer}")]
    Missing {
        /// Whose.
        issuer: IssuerUrl,
        /// Which document.
        path: String,
    },
    /// Not the issuer's discovery document.
    #[error("the discovery document in the store is not that of {issuer}")]
    Discovery {
        /// Whose it should be.
        issuer: IssuerUrl,
        /// Why not.
        source: DiscoveryError,
    },
    /// Keys that this endpoint does not serve.
    #[error("the keys of {issuer} are at {jwks_uri}, which is not below it")]
    Elsewhere {
        /// Whose.
        issuer: IssuerUrl,
        /// Where.
        jwks_uri: JwksUri,
    },
    /// Not a JWKS.
    #[error("the JWKS of {issuer} in the store cannot be read")]
    Jwks {
        /// Whose.
        issuer: IssuerUrl,
        /// Why not.
        source: JwksError,
    },
    /// A JWKS with which every token would be refused.
    #[error("the JWKS of {0} in the store has no key")]
    NoKeys(IssuerUrl),
    /// What cannot be a header or path of ours.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl Explain for ReplicaError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Store(error) => return error.help(),
            Self::Missing { issuer, .. } => {
                format!(
                    "publish it there: irsa publish --issuer {issuer} --to … FILE; or check --from"
                )
            }
            Self::Discovery { source, .. } => return source.help(),
            Self::Elsewhere { .. } => {
                "publish them below the issuer: irsa publish without --jwks-uri".into()
            }
            Self::Jwks { source, .. } => return source.help(),
            Self::NoKeys(_) => "publish the keys again: irsa publish".into(),
            Self::Serve(error) => return error.help(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.retryable())
    }
}

/// The issuers of an endpoint, their stores, and what was last good of each.
#[derive(Debug)]
pub struct Replica<S> {
    entries: Vec<Entry<S>>,
    max_age: Duration,
}

#[derive(Debug)]
struct Entry<S> {
    issuer: IssuerUrl,
    store: S,
    /// The documents as they were last seen, good or bad.
    discovery: Option<Stored>,
    jwks: Option<(String, Stored)>,
    /// Whether these are what is served.
    accepted: bool,
    good: Option<(Vec<Document>, Vec<ServedKey>)>,
    /// What was reported last; the same is not reported at every look.
    problem: Option<String>,
    seen: Option<SystemTime>,
}

impl<S: DocumentStore> Replica<S> {
    /// Issuers and their stores; nothing is read yet. Two issuers at one path are refused.
    pub fn new(issuers: Vec<(IssuerUrl, S)>, max_age: Duration) -> Result<Self, ServeError> {
        let entry = |(issuer, store)| Entry {
            issuer,
            store,
            discovery: None,
            jwks: None,
            accepted: false,
            good: None,
            problem: None,
            seen: None,
        };
        let replica = Self {
            entries: issuers.into_iter().map(entry).collect(),
            max_age,
        };
        replica.site()?;
        Ok(replica)
    }

    /// Looks at every issuer's documents: at most two requests for each.
    pub async fn look(&mut self, now: SystemTime) -> Changes {
        let max_age = self.max_age;
        let looks: Vec<Changes> = stream::iter(&mut self.entries)
            .map(|entry| entry.look(max_age, now))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut changes = Changes::default();
        for look in looks {
            changes.reloaded.extend(look.reloaded);
            changes.refused.extend(look.refused);
        }
        changes
    }

    /// What is to be served now.
    pub fn site(&self) -> Result<Site, ServeError> {
        Site::new(self.entries.iter().map(Entry::served).collect())
    }

    /// When the documents of each issuer were last seen good in the store.
    pub fn seen(&self) -> Vec<(String, SystemTime)> {
        let seen = |entry: &Entry<S>| Some((entry.issuer.to_string(), entry.seen?));
        self.entries.iter().filter_map(seen).collect()
    }
}

impl<S: DocumentStore> Entry<S> {
    async fn look(&mut self, max_age: Duration, now: SystemTime) -> Changes {
        let mut changes = Changes::default();
        match self.read(max_age, now).await {
            Ok(new) => {
                self.seen = Some(now);
                let recovered = self.problem.take().is_some();
                if let Some(good) = new {
                    let before = self.good.replace(good);
                    changes.reloaded.push(Reloaded {
                        issuer: self.issuer.to_string(),
                        changed: true,
                        withdrawn: self.withdrawn(before),
                    });
                } else if recovered {
                    tracing::info!(issuer = %self.issuer, "the store can be read again");
                }
            }
            Err(error) => {
                let text = error.to_string();
                if self.problem.as_ref() != Some(&text) {
                    changes.refused.push(Refused {
                        issuer: self.issuer.to_string(),
                        error: error.into(),
                        last_good_kept: self.good.is_some(),
                    });
                    self.problem = Some(text);
                }
            }
        }
        changes
    }

    /// The documents if they are new, `None` if they are those that are served.
    async fn read(
        &mut self,
        max_age: Duration,
        now: SystemTime,
    ) -> Result<Option<(Vec<Document>, Vec<ServedKey>)>, ReplicaError> {
        let path = DISCOVERY_PATH.trim_start_matches('/');
        if let Some(stored) = self.ask(path, self.discovery.as_ref()).await? {
            self.discovery = Some(stored);
            self.accepted = false;
        }
        let discovery_bytes = self.discovery.as_ref().map(|stored| stored.bytes.clone());
        let discovery_bytes = discovery_bytes.unwrap_or_default();
        let jwks_path = self.jwks_path(&discovery_bytes)?;
        let known = self.jwks.as_ref().filter(|(path, _)| *path == jwks_path);
        let known = known.map(|(_, stored)| stored);
        if let Some(stored) = self.ask(&jwks_path, known).await? {
            self.jwks = Some((jwks_path.clone(), stored));
            self.accepted = false;
        }
        if self.accepted {
            return Ok(None);
        }
        let jwks_bytes = self.jwks.as_ref().map(|(_, stored)| stored.bytes.clone());
        let jwks_bytes = jwks_bytes.unwrap_or_default();
        let keys = self.served_keys(&jwks_bytes, now)?;
        let document = |name, path: &str, bytes| {
            let path = format!("{}/{path}", self.issuer.path());
            Document::new(name, path, bytes, max_age)
        };
        let documents = vec![
            document(DocumentName::Jwks, &jwks_path, jwks_bytes)?,
            document(DocumentName::Discovery, path, discovery_bytes)?,
        ];
        self.accepted = true;
        Ok(Some((documents, keys)))
    }

    /// A document, if it is not the version that is known.
    async fn ask(
        &self,
        path: &str,
        known: Option<&Stored>,
    ) -> Result<Option<Stored>, ReplicaError> {
        let tag = known.map(|stored| stored.tag.as_str());
        match self.store.look(path, tag).await? {
            Look::Found(stored) => Ok((known != Some(&stored)).then_some(stored)),
            Look::Unchanged if known.is_some() => Ok(None),
            Look::Unchanged | Look::Absent => Err(ReplicaError::Missing {
                issuer: self.issuer.clone(),
                path: path.to_owned(),
            }),
        }
    }

    fn jwks_path(&self, discovery: &[u8]) -> Result<String, ReplicaError> {
        let issuer = self.issuer.clone();
        match discovery::parse(discovery, &self.issuer) {
            Ok(found) => match found.jwks_uri.below(&self.issuer) {
                Some(path) => Ok(path.to_owned()),
                None => Err(ReplicaError::Elsewhere {
                    issuer,
                    jwks_uri: found.jwks_uri,
                }),
            },
            Err(source) => Err(ReplicaError::Discovery { issuer, source }),
        }
    }

    fn served_keys(&self, jwks: &[u8], now: SystemTime) -> Result<Vec<ServedKey>, ReplicaError> {
        let set = JwkSet::parse(jwks).map_err(|source| ReplicaError::Jwks {
            issuer: self.issuer.clone(),
            source,
        })?;
        if set.keys().is_empty() {
            return Err(ReplicaError::NoKeys(self.issuer.clone()));
        }
        let before = self.good.as_ref().map_or(&[][..], |(_, keys)| keys);
        let known: HashMap<&str, SystemTime> = before
            .iter()
            .map(|key| (key.kid.as_str(), key.since))
            .collect();
        let key = |kid: &str| ServedKey {
            kid: kid.to_owned(),
            since: known.get(kid).copied().unwrap_or(now),
        };
        Ok(set.keys().iter().map(|jwk| key(&jwk.kid)).collect())
    }

    /// The kids that were served before and are no more.
    fn withdrawn(&self, before: Option<(Vec<Document>, Vec<ServedKey>)>) -> Vec<String> {
        let now = self.good.as_ref().map_or(&[][..], |(_, keys)| keys);
        let gone = |kid: &String| !now.iter().any(|key| key.kid == *kid);
        let before = before.into_iter().flat_map(|(_, keys)| keys);
        before.map(|key| key.kid).filter(gone).collect()
    }
}

impl<S> Entry<S> {
    fn served(&self) -> ServedIssuer {
        let base = self.issuer.path();
        let default = self.issuer.default_jwks_uri();
        let jwks = default.below(&self.issuer).unwrap_or_default();
        let (documents, keys) = match (&self.good, &self.problem) {
            (Some((documents, keys)), _) => (Ok(documents.clone()), keys.clone()),
            (None, problem) => (Err(problem.clone().unwrap_or_default()), Vec::new()),
        };
        ServedIssuer {
            issuer: self.issuer.to_string(),
            documents,
            paths: vec![format!("{base}{DISCOVERY_PATH}"), format!("{base}/{jwks}")],
            keys,
        }
    }
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
