//! The documents of the issuer: in each place that they are written to, and as others show them.

use std::path::PathBuf;
use std::time::Duration;

use irsa_core::discovery;
use irsa_core::documents::IssuerDocuments;
use irsa_core::issuer::{DISCOVERY_PATH, IssuerUrl, JwksUri};
use irsa_core::jwks::JwkSet;
use irsa_core::keys::PublicKey;
use irsa_core::observation::{Published, Sink, clock_ahead};
use irsa_core::publication;
use irsa_issuer::answer::Answer;
use irsa_issuer::publish::dir::Directory;
use irsa_issuer::publish::s3::S3Store;
use irsa_issuer::publish::{self, Publisher};
use irsa_issuer::relying_party::{FetchError, RelyingParty};
use jiff::Timestamp;

use super::gates::Known;
use super::places::Buckets;
use crate::args::FetchArgs;
use crate::commands::publish::target::Target;
use crate::report::Failure;
use crate::settings;

/// The documents of an issuer everywhere.
pub(super) struct Sinks {
    pub(super) issuer: IssuerUrl,
    pub(super) jwks_uri: Option<JwksUri>,
    /// Where they are written to, by name.
    pub(super) places: Vec<(String, Place)>,
    /// Where else the JWKS must be the same.
    pub(super) served: Vec<String>,
    pub(super) relying_party: RelyingParty,
    /// What the answers of the last look said of themselves.
    pub(super) heard: Heard,
}

/// What answers with a JWKS say of themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// The longest that a cache may keep one of them.
    pub(super) max_age: Duration,
    /// The address that said so.
    pub(super) max_age_at: String,
    /// By how many seconds the clock of whoever serves the issuer URL is ahead of this host's, if that is certain.
    pub(super) ahead: Option<i64>,
}

impl Heard {
    fn hear(&mut self, answer: Answer, from: &str) {
        if answer.max_age > self.max_age {
            self.max_age = answer.max_age;
            from.clone_into(&mut self.max_age_at);
        }
    }
}

/// A place that documents are written to.
pub(super) enum Place {
    Directory(PathBuf),
    S3(Box<S3Store>),
}

impl Place {
    /// Opens each target once.
    pub(super) async fn open(
        targets: Vec<Target>,
        buckets: &mut Buckets<'_>,
    ) -> Result<Vec<(String, Self)>, Failure> {
        let mut places: Vec<(String, Self)> = Vec::new();
        for target in targets {
            let name = target.to_string();
            if places.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let place = match target {
                Target::Directory(path) => Self::Directory(path),
                Target::S3(location) => Self::S3(Box::new(buckets.at(&location).await?)),
            };
            places.push((name, place));
        }
        Ok(places)
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let stored = match self {
            Self::Directory(root) => Directory::new(root.clone()).get(path).await?,
            Self::S3(store) => store.get(path).await?,
        };
        Ok(stored.map(|stored| stored.bytes))
    }
}

fn remember(known: &mut Known, set: &JwkSet) {
    for jwk in set.keys() {
        known.insert(jwk.key.kid(), jwk.key.clone());
    }
}

impl Sinks {
    /// Opens each place. Nothing has been heard yet.
    pub(super) async fn open(
        (issuer, jwks_uri): (IssuerUrl, Option<JwksUri>),
        to: Vec<Target>,
        served: Vec<String>,
        fetch: &FetchArgs,
        buckets: &mut Buckets<'_>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            issuer,
            jwks_uri,
            places: Place::open(to, buckets).await?,
            served,
            relying_party: RelyingParty::new(fetch.ca_file.as_deref(), fetch.timeout),
            heard: Heard::default(),
        })
    }

    /// Where the JWKS stands.
    fn jwks_uri(&self) -> JwksUri {
        let given = self.jwks_uri.clone();
        given.unwrap_or_else(|| self.issuer.default_jwks_uri())
    }

    /// Refuses places whose discovery document names another JWKS: somebody made it so, and a rotation does not move it.
    pub(super) async fn unless_moved(&self) -> Result<(), Failure> {
        let ours = self.jwks_uri();
        for (name, place) in &self.places {
            let stored = place.get(DISCOVERY_PATH.trim_start_matches('/')).await?;
            // One that cannot be read is told where it is to be written anew.
            let document = stored.and_then(|bytes| discovery::parse(&bytes, &self.issuer).ok());
            let Some(there) = document.map(|document| document.jwks_uri) else {
                continue;
            };
            if there != ours {
                let message = format!(
                    "the discovery document in {name} names the JWKS {there}, expected {ours}"
                );
                let help = match there.below(&self.issuer) {
                    Some(_) => format!(
                        "add --jwks-uri {there}, or jwks_uri: {there} to the issuer in the configuration file"
                    ),
                    None => settings::moved_away(&self.issuer),
                };
                return Err(Failure::usage(message, help));
            }
        }
        Ok(())
    }

    /// The path of the JWKS in a sink.
    fn jwks_path(&self) -> Result<String, Failure> {
        let uri = self.jwks_uri();
        uri.below(&self.issuer).map(str::to_owned).ok_or_else(|| {
            Failure::usage(
                format!("{uri} is not below the issuer {}", self.issuer),
                settings::moved_away(&self.issuer),
            )
        })
    }

    /// What stands in each place.
    pub(super) async fn written(&self, known: &mut Known) -> Result<Vec<Sink>, Failure> {
        let path = self.jwks_path()?;
        let mut sinks = Vec::new();
        for (name, place) in &self.places {
            let set = match place.get(&path).await? {
                Some(bytes) => JwkSet::parse(&bytes)?,
                None => JwkSet::default(),
            };
            remember(known, &set);
            sinks.push(Sink {
                name: name.clone(),
                published: Published::of(&set),
            });
        }
        Ok(sinks)
    }

    /// What anyone gets at the issuer URL.
    pub(super) async fn public(&mut self, known: &mut Known) -> Result<Published, Failure> {
        self.heard = Heard::default();
        let asked = Timestamp::now();
        match self.relying_party.keys(&self.issuer).await {
            Ok(found) => {
                self.heard.hear(found.answer, self.issuer.as_str());
                let date = found.answer.date;
                self.heard.ahead =
                    date.map(|date| clock_ahead(date.as_second(), asked, Timestamp::now()));
                remember(known, &found.keys);
                Ok(Published::of(&found.keys))
            }
            // Before the first publication nothing is there.
            Err(FetchError::Status { status, .. }) if status.as_u16() == 404 => {
                Ok(Published::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the other addresses show.
    pub(super) async fn served(&mut self, known: &mut Known) -> Result<Vec<Sink>, Failure> {
        let mut sinks = Vec::new();
        for url in &self.served {
            let set = match self.relying_party.ask(url).await {
                Ok((bytes, answer)) => {
                    self.heard.hear(answer, url);
                    JwkSet::parse(&bytes).map_err(|source| FetchError::Jwks {
                        url: url.clone(),
                        source,
                    })?
                }
                Err(FetchError::Status { status, .. }) if status.as_u16() == 404 => {
                    JwkSet::default()
                }
                Err(error) => return Err(error.into()),
            };
            remember(known, &set);
            sinks.push(Sink {
                name: url.clone(),
                published: Published::of(&set),
            });
        }
        Ok(sinks)
    }

    /// Writes a set of keys into one place, and the discovery document beside it.
    pub(super) async fn write(
        &self,
        sink: &str,
        edit: impl FnOnce(&mut Vec<PublicKey>),
        withdraw: &[String],
    ) -> Result<(), Failure> {
        let found = self.places.iter().find(|(name, _)| name == sink);
        match found {
            Some((_, Place::Directory(root))) => {
                let locked = Directory::new(root.clone()).lock()?;
                self.rewrite(&locked, edit, withdraw).await
            }
            Some((_, Place::S3(store))) => self.rewrite(&**store, edit, withdraw).await,
            None => Err(Failure::failed(
                format!("{sink} is not among the places of the documents"),
                "this is a bug in irsa: report it with the command line",
            )),
        }
    }

    async fn rewrite(
        &self,
        publisher: &impl Publisher,
        edit: impl FnOnce(&mut Vec<PublicKey>),
        withdraw: &[String],
    ) -> Result<(), Failure> {
        let stored = publisher.get(&self.jwks_path()?).await?;
        let set = match stored {
            Some(stored) => JwkSet::parse(&stored.bytes)?,
            None => JwkSet::default(),
        };
        let mut keys: Vec<PublicKey> = set.keys().iter().map(|jwk| jwk.key.clone()).collect();
        edit(&mut keys);
        let documents = IssuerDocuments::render(self.issuer.clone(), self.jwks_uri.clone(), &keys)?;
        let observed = publish::observe(publisher, &documents).await?;
        let changes = publication::plan(&documents, &observed, withdraw)?;
        Ok(publish::apply(publisher, &changes).await?)
    }
}
