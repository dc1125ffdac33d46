//! What to write so that a store holds an issuer's documents: decided here, done by a publisher.

use crate::change::{Change, Expected};
use crate::discovery::{self, DiscoveryError};
use crate::documents::{DocumentName, IssuerDocuments};
use crate::explain::Explain;
use crate::issuer::IssuerUrl;
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
    /// The JWKS, if there is one.
    pub jwks: Option<Stored>,
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
    let (keys, dropped) = difference(wanted, observed.jwks.as_ref())?;
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

/// What changes in the keys, and the IDs of all entries that the rewriting would lose.
fn difference(
    wanted: &IssuerDocuments,
    stored: Option<&Stored>,
) -> Result<(Difference, Vec<String>), PublicationError> {
    let published = match stored {
        None => JwkSet::default(),
        Some(stored) => {
            JwkSet::parse(&stored.bytes).map_err(|source| PublicationError::ForeignJwks {
                issuer: wanted.issuer().clone(),
                source,
            })?
        }
    };
    let keys = published.difference(wanted.keys());
    let mut dropped: Vec<String> = keys.removed.iter().map(|jwk| jwk.kid.clone()).collect();
    // Entries that we cannot use may still be somebody's: they are not lost in silence either.
    dropped.extend(
        published
            .ignored()
            .iter()
            .map(|jwk| jwk.kid.clone().unwrap_or_default()),
    );
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
mod tests {
    use super::*;
    use crate::algorithm::Curve;
    use crate::issuer::TrailingSlash;
    use crate::keys::PublicKey;
    use crate::private::PrivateKeyPem;

    fn key(scalar: u8) -> PublicKey {
        PrivateKeyPem::from_scalar(Curve::P256, &[scalar])
            .unwrap()
            .public_key()
            .clone()
    }

    fn documents(issuer: &str, keys: &[PublicKey]) -> IssuerDocuments {
        let issuer = IssuerUrl::parse(issuer, TrailingSlash::Refuse).unwrap();
        IssuerDocuments::render(issuer, None, keys).unwrap()
    }

    fn wanted(keys: &[u8]) -> IssuerDocuments {
        documents(
            "https://h/a",
            &keys.iter().map(|scalar| key(*scalar)).collect::<Vec<_>>(),
        )
    }

    fn holding(documents: &IssuerDocuments) -> Observed {
        let stored = |name| {
            Some(Stored {
                bytes: documents.bytes(name).to_vec(),
                tag: "t".into(),
            })
        };
        Observed {
            discovery: stored(DocumentName::Discovery),
            jwks: stored(DocumentName::Jwks),
        }
    }

    #[test]
    fn an_empty_store_gets_the_keys_first() {
        let changes = plan(&wanted(&[1]), &Observed::default(), &[]).unwrap();
        let names: Vec<_> = changes.iter().map(|change| change.name).collect();
        assert_eq!(names, DocumentName::ALL);
        assert!(
            changes
                .iter()
                .all(|change| change.expected == Expected::Absent)
        );
    }

    #[test]
    fn a_second_run_changes_nothing() {
        assert!(
            plan(&wanted(&[1, 2]), &holding(&wanted(&[1, 2])), &[])
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn adding_a_key_rewrites_the_jwks_that_was_read() {
        let changes = plan(&wanted(&[1, 2]), &holding(&wanted(&[1])), &[]).unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].expected, Expected::Unchanged("t".into()));
        assert_eq!(changes[0].keys.added[0].kid, key(2).kid().as_str());
        assert!(
            changes[0].to_string().contains("\n  + key "),
            "{}",
            changes[0]
        );
    }

    #[test]
    fn a_published_key_is_dropped_only_by_name() {
        let observed = holding(&wanted(&[1, 2]));
        let error = plan(&wanted(&[2]), &observed, &[]).unwrap_err();
        let kid = key(1).kid().to_string();
        assert!(error.to_string().contains(&kid), "{error}");
        assert!(
            error
                .help()
                .unwrap()
                .contains(&format!("--withdraw \"{kid}\""))
        );
        let changes = plan(&wanted(&[2]), &observed, std::slice::from_ref(&kid)).unwrap();
        assert_eq!(changes[0].keys.removed[0].kid, kid);
        let both = plan(&wanted(&[1, 2]), &observed, &[kid]);
        assert!(matches!(
            both,
            Err(PublicationError::WithdrawnButGiven { .. })
        ));
    }

    #[test]
    fn entries_that_we_cannot_use_are_not_lost_either() {
        let mut observed = holding(&wanted(&[1]));
        let stored = observed.jwks.as_mut().unwrap();
        stored.bytes = br#"{"keys":[{"kty":"OKP","kid":"edwards"}]}"#.to_vec();
        assert!(
            plan(&wanted(&[1]), &observed, &[])
                .unwrap_err()
                .to_string()
                .contains("edwards")
        );
        assert!(plan(&wanted(&[1]), &observed, &["edwards".into()]).is_ok());
    }

    #[test]
    fn the_seeds_duplicate_with_an_empty_kid_goes_only_by_name() {
        let mut observed = holding(&wanted(&[1]));
        let stored = observed.jwks.as_mut().unwrap();
        let text = String::from_utf8(stored.bytes.clone()).unwrap();
        let entry = text
            .trim_start_matches("{\"keys\":[")
            .trim_end_matches("]}");
        let empty = entry.replace(key(1).kid().as_str(), "");
        stored.bytes = format!("{{\"keys\":[{entry},{empty}]}}").into_bytes();
        let error = plan(&wanted(&[1]), &observed, &[]).unwrap_err();
        assert!(
            error.help().unwrap().ends_with("--withdraw \"\""),
            "{:?}",
            error.help()
        );
        assert_eq!(
            plan(&wanted(&[1]), &observed, &[String::new()])
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn another_issuers_store_and_unreadable_keys_are_left_alone() {
        let other = documents("https://h/b", &[key(1)]);
        let error = plan(&wanted(&[1]), &holding(&other), &[]).unwrap_err();
        assert!(matches!(error, PublicationError::ForeignDiscovery { .. }));
        let mut observed = holding(&wanted(&[1]));
        observed.jwks.as_mut().unwrap().bytes = b"<html>".to_vec();
        let error = plan(&wanted(&[1]), &observed, &[]).unwrap_err();
        assert!(matches!(error, PublicationError::ForeignJwks { .. }));
    }
}
