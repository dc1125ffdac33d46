//! The two public documents of an issuer, rendered together so that they cannot disagree.

use crate::discovery;
use crate::explain::Explain;
use crate::issuer::{DISCOVERY_PATH, IssuerUrl, JwksUri};
use crate::jwks::{JwkSet, MAX_KEYS};
use crate::key_error::KeyError;
use crate::keys::PublicKey;
use crate::kid::Kid;

/// The names of the documents: there are no others, so a publisher cannot be asked to write anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentName {
    /// The keys. First, because nothing may point to keys that are not there.
    Jwks,
    /// `.well-known/openid-configuration`.
    Discovery,
}

impl DocumentName {
    /// In the order in which they are written.
    pub const ALL: [Self; 2] = [Self::Jwks, Self::Discovery];

    /// The media type (RFC 7517, section 8.5, for the JWKS), as kube-apiserver sends it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Discovery => "application/json",
            Self::Jwks => "application/jwk-set+json",
        }
    }

    /// What metrics and messages call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
        }
    }
}

/// The documents of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerDocuments {
    issuer: IssuerUrl,
    jwks_uri: JwksUri,
    jwks_path: String,
    keys: JwkSet,
    discovery: Vec<u8>,
    jwks: Vec<u8>,
}

/// Why no documents can be made.
#[derive(Debug, thiserror::Error)]
pub enum DocumentsError {
    /// An issuer without keys would make every token unverifiable.
    #[error("issuer {0} has no key")]
    NoKeys(IssuerUrl),
    /// A key that no relying party should trust.
    #[error("key \"{kid}\" of issuer {issuer} is {reason}")]
    Key {
        /// Whose key.
        issuer: IssuerUrl,
        /// Which key.
        kid: Kid,
        /// Why not.
        reason: KeyError,
    },
    /// More keys than AWS reads.
    #[error(
        "issuer {issuer} has {count} keys, expected at most {MAX_KEYS}, the most that AWS reads"
    )]
    TooManyKeys {
        /// Whose keys.
        issuer: IssuerUrl,
        /// RSA or EC.
        kind: &'static str,
        /// How many.
        count: usize,
    },
    /// The JWKS cannot be put where the discovery document says it is.
    #[error("jwks_uri {jwks_uri} is not below the issuer {issuer}")]
    JwksElsewhere {
        /// The issuer.
        issuer: IssuerUrl,
        /// Where the keys should be.
        jwks_uri: JwksUri,
    },
}

impl Explain for DocumentsError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoKeys(_) => "name at least one file with a public key".into(),
            Self::Key { reason, .. } => return reason.help(),
            Self::TooManyKeys { .. } => "withdraw keys whose tokens have expired".into(),
            Self::JwksElsewhere { issuer, .. } => {
                format!(
                    "use {} or another path below the issuer",
                    issuer.default_jwks_uri()
                )
            }
        })
    }
}

impl IssuerDocuments {
    /// Renders both documents. Duplicate keys are dropped; the order of the rest is kept.
    pub fn render<'a>(
        issuer: IssuerUrl,
        jwks_uri: Option<JwksUri>,
        keys: impl IntoIterator<Item = &'a PublicKey>,
    ) -> Result<Self, DocumentsError> {
        let set = JwkSet::from_keys(keys);
        if set.keys().is_empty() {
            return Err(DocumentsError::NoKeys(issuer));
        }
        let rsa = set
            .keys()
            .iter()
            .filter(|jwk| jwk.key.rsa_bits().is_some())
            .count();
        for (kind, count) in [("RSA", rsa), ("EC", set.keys().len() - rsa)] {
            if count > MAX_KEYS {
                return Err(DocumentsError::TooManyKeys {
                    issuer,
                    kind,
                    count,
                });
            }
        }
        for jwk in set.keys() {
            if let Err(reason) = jwk.key.publishable() {
                return Err(DocumentsError::Key {
                    issuer,
                    kid: jwk.key.kid(),
                    reason,
                });
            }
        }
        let jwks_uri = jwks_uri.unwrap_or_else(|| issuer.default_jwks_uri());
        let Some(jwks_path) = jwks_uri.below(&issuer).map(str::to_owned) else {
            return Err(DocumentsError::JwksElsewhere { issuer, jwks_uri });
        };
        let discovery = discovery::to_bytes(&issuer, &jwks_uri, &set.algorithms());
        let jwks = set.to_bytes();
        Ok(Self {
            issuer,
            jwks_uri,
            jwks_path,
            keys: set,
            discovery,
            jwks,
        })
    }

    /// Whose documents these are.
    pub fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// Where the JWKS is fetched.
    pub fn jwks_uri(&self) -> &JwksUri {
        &self.jwks_uri
    }

    /// The keys in the JWKS.
    pub fn keys(&self) -> &JwkSet {
        &self.keys
    }

    /// The bytes of a document.
    pub fn bytes(&self, name: DocumentName) -> &[u8] {
        match name {
            DocumentName::Discovery => &self.discovery,
            DocumentName::Jwks => &self.jwks,
        }
    }

    /// Where a document stands below the issuer, without a leading slash.
    pub fn path(&self, name: DocumentName) -> &str {
        match name {
            DocumentName::Discovery => DISCOVERY_PATH.trim_start_matches('/'),
            DocumentName::Jwks => &self.jwks_path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Curve;
    use crate::issuer::TrailingSlash;
    use crate::private::PrivateKeyPem;

    fn issuer() -> IssuerUrl {
        IssuerUrl::parse("https://h/a", TrailingSlash::Refuse).unwrap()
    }

    #[test]
    fn both_documents_name_the_same_place() {
        let key = PrivateKeyPem::from_scalar(Curve::P384, &[1]).unwrap();
        let documents = IssuerDocuments::render(issuer(), None, [key.public_key()]).unwrap();
        assert_eq!(documents.path(DocumentName::Jwks), "keys.json");
        assert_eq!(
            documents.path(DocumentName::Discovery),
            ".well-known/openid-configuration"
        );
        let read = discovery::parse(documents.bytes(DocumentName::Discovery), &issuer()).unwrap();
        assert_eq!(
            (read.jwks_uri.as_str(), read.algorithms),
            ("https://h/a/keys.json", vec!["ES384".to_owned()])
        );
    }

    #[test]
    fn an_issuer_without_usable_keys_has_no_documents() {
        assert!(matches!(
            IssuerDocuments::render(issuer(), None, []),
            Err(DocumentsError::NoKeys(_))
        ));
        let small = PublicKey::from_rsa_numbers(&[0xff; 128], &[3]).unwrap();
        let error = IssuerDocuments::render(issuer(), None, [&small]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("RSA 1024 bits, expected at least 2048"),
            "{error}"
        );
    }
}
