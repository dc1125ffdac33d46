//! What to write so that a store holds an issuer's documents: decided here, done by a publisher.

use crate::change::{Change, Expected};
use crate::discovery::{self, DiscoveryError};
use crate::documents::{DocumentName, IssuerDocuments};
use crate::explain::Explain;
use crate::issuer::{IssuerUrl, JwksUri};
use crate::jwks::{Difference, JwkSet, JwksError};

/// A document as a store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The store's name for this version: a hash, an `ETag`.
    pub tag: String,
}

/// What stands in a store now.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The discovery document, if there is one.
    pub discovery: Option<Stored>,
    /// The JWKS at the place where ours belongs, if there is one.
    pub jwks: Option<Stored>,
    /// The JWKS that the discovery document points to, when that is another place: see [`other_jwks_path`].
    pub other_jwks: Option<Stored>,
}

/// Why nothing is written.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// Tokens signed with these keys would be refused from this moment on.
    #[error("publishing would drop {} that {} published for {issuer}: {}", plural(kids.len()), verb(kids.len()), quoted(kids))]
    WouldDrop {
        /// Whose keys.
        issuer: IssuerUrl,
        /// Which keys.
        kids: Vec<String>,
    },
    /// The same key ID for two keys.
    #[error("key \"{kid}\" is published for {issuer} with other numbers")]
    KeyReplaced {
        /// Whose key.
        issuer: IssuerUrl,
        /// Which key.
        kid: String,
    },
    /// `--withdraw` of a key that is to be published.
    #[error("key \"{kid}\" is to be withdrawn and is in the files given")]
    WithdrawnButGiven {
        /// Which key.
        kid: String,
    },
    /// The store holds a JWKS that we cannot read, so we cannot know what we would drop.
    #[error("the JWKS published for {issuer} cannot be read")]
    ForeignJwks {
        /// Whose.
        issuer: IssuerUrl,
        /// Why.
        source: JwksError,
    },
    /// The published discovery document points to keys that we cannot look at.
    #[error("the keys of {issuer} are published at {jwks_uri}, where they cannot be read")]
    JwksElsewhere {
        /// Whose.
        issuer: IssuerUrl,
        /// Where they should be.
        jwks_uri: JwksUri,
    },
    /// The store belongs to another issuer.
    #[error("the store holds the discovery document of another issuer than {issuer}")]
    ForeignDiscovery {
        /// Ours.
        issuer: IssuerUrl,
        /// What differs.
        source: DiscoveryError,
    },
}

impl Explain for PublicationError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::WouldDrop { kids, .. } => format!(
                "name the file with its public key too; or, when no token signed with it is alive, add {}",
                kids.iter().map(|kid| format!("--withdraw {kid:?}")).collect::<Vec<_>>().join(" ")
            ),
            Self::KeyReplaced { .. } => {
                "the published document was not made from this key; find out who wrote it before anything is replaced".into()
            }
            Self::WithdrawnButGiven { .. } => "leave its file out".into(),
            Self::JwksElsewhere { jwks_uri, .. } => format!("add --jwks-uri {jwks_uri}, or put the document there in order first"),
            Self::ForeignJwks { .. } | Self::ForeignDiscovery { .. } => {
                "nothing was written; choose another place with --to, or move the document away if it is not in use".into()
            }
        })
    }
}

/// The changes that make the store hold `wanted`, in the order of writing: JWKS first, so that no discovery
/// document ever points to keys that are not there.
///
/// A key that is published stays published unless its ID is in `withdraw`: dropping one by accident refuses every
/// token signed with it. An empty answer means that there is nothing to do.
pub fn plan(
    wanted: &IssuerDocuments,
    observed: &Observed,
    withdraw: &[String],
) -> Result<Vec<Change>, PublicationError> {
    let issuer = wanted.issuer();
    let discovery_change = plan_discovery(wanted, observed.discovery.as_ref())?;
    if let Some(kid) = withdraw.iter().find(|kid| wanted.keys().contains(kid)) {
        return Err(PublicationError::WithdrawnButGiven { kid: kid.clone() });
    }
    let (keys, dropped) = difference(wanted, observed)?;
    if let Some(kid) = keys.changed.first() {
        return Err(PublicationError::KeyReplaced {
            issuer: issuer.clone(),
            kid: kid.clone(),
        });
    }
    let kids: Vec<_> = dropped
        .into_iter()
        .filter(|kid| !withdraw.contains(kid))
        .collect();
    if !kids.is_empty() {
        return Err(PublicationError::WouldDrop {
            issuer: issuer.clone(),
            kids,
        });
    }
    let jwks_change = change(wanted, DocumentName::Jwks, observed.jwks.as_ref(), keys);
    Ok(jwks_change.into_iter().chain(discovery_change).collect())
}

fn plan_discovery(
    wanted: &IssuerDocuments,
    stored: Option<&Stored>,
) -> Result<Option<Change>, PublicationError> {
    if let Some(stored) = stored {
        discovery::parse(&stored.bytes, wanted.issuer()).map_err(|source| {
            PublicationError::ForeignDiscovery {
                issuer: wanted.issuer().clone(),
                source,
            }
        })?;
    }
    Ok(change(
        wanted,
        DocumentName::Discovery,
        stored,
        Difference::default(),
    ))
}

/// Where the published discovery document says the keys are, when that is below the issuer and not where we would
/// put them: what stands there is published too, and must be observed before anything is decided.
pub fn other_jwks_path(wanted: &IssuerDocuments, discovery: &Stored) -> Option<String> {
    let published = discovery::parse(&discovery.bytes, wanted.issuer()).ok()?;
    let path = published.jwks_uri.below(wanted.issuer())?;
    (published.jwks_uri != *wanted.jwks_uri()).then(|| path.to_owned())
}

/// Where the JWKS stays that the published discovery document points to, when the wanted one points to another place:
/// relying parties go on reading it for as long as they keep the old discovery document.
pub fn left_behind(wanted: &IssuerDocuments, observed: &Observed) -> Option<String> {
    observed.other_jwks.as_ref()?;
    other_jwks_path(wanted, observed.discovery.as_ref()?)
}

/// Key IDs that were to be withdrawn and are not published: done before, or mistyped.
pub fn not_published<'a>(observed: &Observed, withdraw: &'a [String]) -> Vec<&'a str> {
    let sets: Vec<JwkSet> = [&observed.jwks, &observed.other_jwks]
        .into_iter()
        .flatten()
        .filter_map(|stored| JwkSet::parse(&stored.bytes).ok())
        .collect();
    let published = |kid: &str| {
        let ignored = |set: &JwkSet| {
            set.ignored()
                .iter()
                .any(|jwk| jwk.kid.as_deref().unwrap_or_default() == kid)
        };
        sets.iter().any(|set| set.contains(kid) || ignored(set))
    };
    withdraw
        .iter()
        .map(String::as_str)
        .filter(|kid| !published(kid))
        .collect()
}

/// What changes in the keys, and the IDs of all entries that would be lost: those at the place where we write, and
/// those at another place that the discovery document points to now.
fn difference(
    wanted: &IssuerDocuments,
    observed: &Observed,
) -> Result<(Difference, Vec<String>), PublicationError> {
    let issuer = wanted.issuer();
    if let Some(discovery) = &observed.discovery
        && observed.other_jwks.is_none()
    {
        let published = discovery::parse(&discovery.bytes, issuer);
        let elsewhere = published
            .ok()
            .map(|found| found.jwks_uri)
            .filter(|uri| uri != wanted.jwks_uri());
        if let Some(jwks_uri) = elsewhere {
            return Err(PublicationError::JwksElsewhere {
                issuer: issuer.clone(),
                jwks_uri,
            });
        }
    }
    let read = |stored: &Option<Stored>| match stored {
        None => Ok(JwkSet::default()),
        Some(stored) => {
            JwkSet::parse(&stored.bytes).map_err(|source| PublicationError::ForeignJwks {
                issuer: issuer.clone(),
                source,
            })
        }
    };
    let (here, elsewhere) = (read(&observed.jwks)?, read(&observed.other_jwks)?);
    let keys = here.merge(&elsewhere).difference(wanted.keys());
    let mut dropped: Vec<String> = keys.removed.iter().map(|jwk| jwk.kid.clone()).collect();
    // Entries that we cannot use may still be somebody's: they are not lost in silence either.
    let ignored = here.ignored().iter().chain(elsewhere.ignored());
    dropped.extend(ignored.map(|jwk| jwk.kid.clone().unwrap_or_default()));
    Ok((keys, dropped))
}

fn change(
    wanted: &IssuerDocuments,
    name: DocumentName,
    stored: Option<&Stored>,
    keys: Difference,
) -> Option<Change> {
    let bytes = wanted.bytes(name);
    let expected = match stored {
        Some(stored) if stored.bytes == bytes => return None,
        Some(stored) => Expected::Unchanged(stored.tag.clone()),
        None => Expected::Absent,
    };
    let path = wanted.path(name).to_owned();
    Some(Change {
        name,
        path,
        bytes: bytes.to_vec(),
        expected,
        keys,
    })
}

fn plural(count: usize) -> String {
    if count == 1 {
        "a key".to_owned()
    } else {
        format!("{count} keys")
    }
}

const fn verb(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn quoted(kids: &[String]) -> String {
    kids.iter()
        .map(|kid| format!("\"{kid}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
#[path = "publication_tests.rs"]
mod tests;
