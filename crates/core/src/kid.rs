//! The key ID as Kubernetes makes it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// A Kubernetes key ID: unpadded base64url of the SHA-256 of the key's SubjectPublicKeyInfo DER, 43 characters.
///
/// It depends on the public key alone, never on a file name, so a certificate, a private key and a bare public
/// key of one pair share it. Source: `keyIDFromPublicKey` in Kubernetes' `pkg/serviceaccount/jwt.go`. It is
/// neither the RFC 7638 thumbprint of a JWK nor IAM's CA thumbprint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(String);

impl Kid {
    /// The kid of a key whose SubjectPublicKeyInfo, re-encoded as Go does it, is `spki`.
    pub(crate) fn of_spki(spki: &[u8]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(spki)))
    }

    /// A kid as it was written: 43 characters of unpadded base64url that spell 32 bytes. `None` for anything else,
    /// as another issuer's key IDs may be.
    pub fn parse(text: &str) -> Option<Self> {
        let digest = URL_SAFE_NO_PAD.decode(text).ok()?;
        (digest.len() == 32).then(|| Self(text.to_owned()))
    }

    /// The kid as it stands in a token header and in a JWKS.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({})", self.0)
    }
}

impl serde::Serialize for Kid {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Kid {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &"a Kubernetes kid")
        })
    }
}
