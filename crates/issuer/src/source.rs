//! From key files to a [`Site`], again whenever the files change, with the last good documents kept.
//!
//! Files are looked at, not watched: the state of ten thousand of them is read in some milliseconds, and it works on
//! every file system and mount, where notifications are lost on some. A change counts once it has been seen twice in
//! the same state, so that a file is not read while another program still writes it.

mod changes;
pub mod replica;

pub use changes::{Changes, Refused, Reloaded};

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use irsa_core::documents::{DocumentName, DocumentsError, IssuerDocuments};
use irsa_core::explain::Explain;
use irsa_core::issuer::{DISCOVERY_PATH, IssuerUrl, JwksUri};

use crate::keyset::{self, KeysetError, LoadedKeys, SourcedKey, Stamp};
use crate::serve::{Document, ServeError, ServedIssuer, ServedKey, Site};

/// An issuer and the files that hold its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSpec {
    /// The issuer.
    pub issuer: IssuerUrl,
    /// Where its JWKS is served, below the issuer; `<issuer>/keys.json` without.
    pub jwks_uri: Option<JwksUri>,
    /// Files, and directories of `*.pub` files.
    pub keys: Vec<PathBuf>,
}

/// Why an issuer has no documents.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its keys cannot be loaded.
    #[error(transparent)]
    Keys(#[from] KeysetError),
    /// Its keys make no documents.
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    /// They make documents that cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The documents of a shared store cannot be had, or are not the issuer's.
    #[error(transparent)]
    Replica(#[from] replica::ReplicaError),
}

impl Explain for SourceError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Keys(error) => error.help(),
            Self::Documents(error) => error.help(),
            Self::Serve(error) => error.help(),
            Self::Replica(error) => error.help(),
        }
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Replica(error) if error.retryable())
    }
}

impl IssuerSpec {
    /// Reads the key files and renders the documents.
    pub fn render(&self) -> Result<(IssuerDocuments, LoadedKeys), SourceError> {
        self.render_with(keyset::load(&self.keys)?)
    }

    fn render_with(&self, keys: LoadedKeys) -> Result<(IssuerDocuments, LoadedKeys), SourceError> {
        let (issuer, jwks_uri) = (self.issuer.clone(), self.jwks_uri.clone());
        Ok((
            IssuerDocuments::render(issuer, jwks_uri, keys.public_keys())?,
            keys,
        ))
    }

    /// The URL paths of its documents, whether it has any or not.
    fn paths(&self) -> Vec<String> {
        let default = self.issuer.default_jwks_uri();
        let jwks = self
            .jwks_uri
            .as_ref()
            .unwrap_or(&default)
            .below(&self.issuer);
        let base = self.issuer.path();
        let jwks = jwks.map(|path| format!("{base}/{path}"));
        [Some(format!("{base}{DISCOVERY_PATH}")), jwks]
            .into_iter()
            .flatten()
            .collect()
    }

    fn serve(&self, max_age: Duration) -> Result<(Vec<Document>, Vec<ServedKey>), SourceError> {
        let (documents, loaded) = self.render_with(keyset::load_regular(&self.keys)?)?;
        for warning in loaded.warnings_of_private() {
            tracing::warn!(issuer = %self.issuer, "{warning}");
        }
        let document = |name| {
            let path = format!("{}/{}", self.issuer.path(), documents.path(name));
            Document::new(name, path, documents.bytes(name).to_vec(), max_age)
        };
        let served = vec![
            document(DocumentName::Jwks)?,
            document(DocumentName::Discovery)?,
        ];
        let keys = documents.keys().keys().iter().map(|jwk| {
            let sourced = loaded.keys.iter().find(|sourced| sourced.key == jwk.key);
            ServedKey {
                kid: jwk.kid.clone(),
                since: sourced.map_or(std::time::UNIX_EPOCH, |s| keyset::written(&s.path)),
            }
        });
        let keys = keys.collect();
        Ok((served, keys))
    }
}

/// The issuers of an endpoint and what was last good of each.
#[derive(Debug)]
pub struct SiteSource {
    entries: Vec<Entry>,
    max_age: Duration,
}

#[derive(Debug, Clone)]
struct Entry {
    spec: IssuerSpec,
    loaded: Stamp,
    /// A state seen once that is not loaded yet.
    pending: Option<Stamp>,
    /// For how many looks in a row no state was seen twice.
    restless: u32,
    /// What the last of those looks read, once there were many: no key if nothing good.
    glimpsed: Option<Vec<SourcedKey>>,
    good: Option<(Vec<Document>, Vec<ServedKey>)>,
    problem: Option<String>,
}

impl SiteSource {
    /// Loads every issuer once. One that is bad does not stop the others: its paths answer 503. Two issuers at one
    /// path do, because nobody can say whose documents belong there.
    pub fn load(specs: Vec<IssuerSpec>, max_age: Duration) -> Result<(Self, Changes), ServeError> {
        let mut source = Self {
            entries: Vec::new(),
            max_age,
        };
        let changes = source.replace(specs, max_age)?;
        Ok((source, changes))
    }

    /// Takes another list of issuers and life in caches; those that were there before keep their last good documents.
    /// A list that cannot be served changes nothing.
    pub fn replace(
        &mut self,
        specs: Vec<IssuerSpec>,
        max_age: Duration,
    ) -> Result<Changes, ServeError> {
        let mut changes = Changes::default();
        let old: HashMap<&IssuerUrl, &Entry> = self
            .entries
            .iter()
            .map(|entry| (&entry.spec.issuer, entry))
            .collect();
        let mut entries = Vec::with_capacity(specs.len());
        for spec in specs {
            match old.get(&spec.issuer) {
                Some(before) if before.spec == spec && max_age == self.max_age => {
                    entries.push((*before).clone());
                }
                before => {
                    // The same issuer with other files: what is served stays until they are good.
                    let kept = before.filter(|before| before.spec.paths() == spec.paths());
                    let mut entry = Entry::new(spec, kept.and_then(|before| before.good.clone()));
                    entry.reload(max_age, Stamp::of(&entry.spec.keys), &mut changes);
                    entries.push(entry);
                }
            }
        }
        site(&entries)?;
        let names: HashSet<&IssuerUrl> = entries.iter().map(|entry| &entry.spec.issuer).collect();
        let gone = old.keys().filter(|issuer| !names.contains(**issuer));
        changes.removed.extend(gone.map(ToString::to_string));
        changes.removed.sort();
        self.entries = entries;
        self.max_age = max_age;
        Ok(changes)
    }

    /// The issuers in force.
    pub fn specs(&self) -> Vec<IssuerSpec> {
        self.entries
            .iter()
            .map(|entry| entry.spec.clone())
            .collect()
    }

    /// Looks at the files and loads what has changed and settled.
    pub fn poll(&mut self) -> Changes {
        let mut changes = Changes::default();
        for entry in &mut self.entries {
            let stamp = Stamp::of(&entry.spec.keys);
            if stamp == entry.loaded {
                entry.settled();
            } else if entry.pending.as_ref() == Some(&stamp) || entry.is_quiet_inside() {
                entry.reload(self.max_age, stamp, &mut changes);
            } else {
                entry.pending = Some(stamp);
            }
        }
        changes
    }

    /// Loads everything now, changed or not, as on SIGHUP.
    pub fn reload(&mut self) -> Changes {
        let mut changes = Changes::default();
        for entry in &mut self.entries {
            entry.reload(self.max_age, Stamp::of(&entry.spec.keys), &mut changes);
        }
        changes
    }

    /// What is to be served now.
    pub fn site(&self) -> Result<Site, ServeError> {
        site(&self.entries)
    }
}

/// Somebody who reads this sees neither the log nor the chain of causes.
fn with_cause(error: &SourceError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn site(entries: &[Entry]) -> Result<Site, ServeError> {
    Site::new(entries.iter().map(Entry::served).collect())
}

impl Entry {
    fn new(spec: IssuerSpec, good: Option<(Vec<Document>, Vec<ServedKey>)>) -> Self {
        Self {
            spec,
            loaded: Stamp::default(),
            pending: None,
            restless: 0,
            glimpsed: None,
            good,
            problem: None,
        }
    }

    fn settled(&mut self) {
        self.pending = None;
        self.restless = 0;
        self.glimpsed = None;
    }

    /// Whether files that are touched again and again hold what they held at the look before: somebody who touches
    /// them must not keep a change from being served. Counts a restless look.
    fn is_quiet_inside(&mut self) -> bool {
        self.restless = self.restless.saturating_add(1);
        if self.restless < RESTLESS_LOOKS {
            return false;
        }
        let keys = keyset::load_regular(&self.spec.keys);
        let seen = keys.map(|loaded| loaded.keys).unwrap_or_default();
        self.glimpsed.replace(seen.clone()) == Some(seen)
    }

    fn reload(&mut self, max_age: Duration, stamp: Stamp, changes: &mut Changes) {
        self.loaded = stamp;
        self.settled();
        let issuer = self.spec.issuer.to_string();
        match self.spec.serve(max_age) {
            Ok(good) => {
                let before = self.good.replace(good);
                self.problem = None;
                changes.reloaded.push(Reloaded {
                    issuer,
                    changed: self.differs(before.as_ref()),
                    withdrawn: self.withdrawn(before),
                });
            }
            Err(error) => {
                self.problem = Some(with_cause(&error));
                let last_good_kept = self.good.is_some();
                changes.refused.push(Refused {
                    issuer,
                    error,
                    last_good_kept,
                });
            }
        }
    }

    fn differs(&self, before: Option<&(Vec<Document>, Vec<ServedKey>)>) -> bool {
        let bodies = |good: &(Vec<Document>, Vec<ServedKey>)| {
            let all = good.0.iter();
            all.map(|document| document.body().clone())
                .collect::<Vec<_>>()
        };
        self.good.as_ref().map(bodies) != before.map(bodies)
    }

    /// The kids that were served before and are no more.
    fn withdrawn(&self, before: Option<(Vec<Document>, Vec<ServedKey>)>) -> Vec<String> {
        let served = |kid: &str| {
            self.good
                .iter()
                .flat_map(|(_, keys)| keys)
                .any(|key| key.kid == kid)
        };
        let before = before
            .into_iter()
            .flat_map(|(_, keys)| keys)
            .map(|key| key.kid);
        before.filter(|kid| !served(kid)).collect()
    }

    fn served(&self) -> ServedIssuer {
        let (documents, keys) = match (&self.good, &self.problem) {
            (Some((documents, keys)), _) => (Ok(documents.clone()), keys.clone()),
            (None, problem) => (Err(problem.clone().unwrap_or_default()), Vec::new()),
        };
        ServedIssuer {
            issuer: self.spec.issuer.to_string(),
            documents,
            paths: self.spec.paths(),
            keys,
        }
    }
}

/// Looks at files that never rest before their content is compared instead.
const RESTLESS_LOOKS: u32 = 5;

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
