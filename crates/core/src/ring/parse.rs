//! Reading and writing the record: strict, so that a damaged or foreign one is never acted on.

use std::collections::BTreeSet;

use super::{KeyRing, Stage};
use crate::explain::Explain;
use crate::issuer::IssuerUrl;
use crate::kid::Kid;
use crate::strict_json;

/// The version of the format. A ring of another version is refused.
pub const FORMAT: u32 = 1;
/// A Secret holds 1 MiB.
const MAX_BYTES: usize = 1 << 20;

/// Why bytes are no ring.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// Larger than any ring.
    #[error("the key ring has {0} bytes, expected at most {MAX_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or a member stands twice.
    #[error("the key ring is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// Written by a newer irsa.
    #[error("the key ring has format {found}, expected {FORMAT}")]
    Format {
        /// What it says.
        found: u64,
    },
    /// Members that this version does not know, or of another form.
    #[error("the key ring is damaged")]
    Shape(#[source] serde_json::Error),
    /// Of another issuer.
    #[error("the key ring is of the issuer \"{found}\", expected \"{expected}\"")]
    OtherIssuer {
        /// What it says.
        found: String,
        /// Ours.
        expected: String,
    },
    /// It contradicts itself.
    #[error("the key ring is damaged: {0}")]
    Contradiction(&'static str),
}

impl Explain for RingError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Format { .. } => "use the irsa that wrote it, or a newer one".into(),
            Self::OtherIssuer { .. } => "give the --state of this issuer: each issuer has its own".into(),
            Self::Shape(_) => {
                "use the irsa that wrote it, or a newer one; if that cannot read it either, move it away: the next run makes another from what it sees, with every wait from its beginning"
                    .into()
            }
            _ => "move it away: the next run makes another from what it sees, with every wait from its beginning"
                .into(),
        })
    }
}

impl KeyRing {
    /// Reads a ring of this issuer.
    pub fn parse(bytes: &[u8], issuer: &IssuerUrl) -> Result<Self, RingError> {
        if bytes.len() > MAX_BYTES {
            return Err(RingError::TooLarge(bytes.len()));
        }
        let value = strict_json::parse(bytes).map_err(RingError::Json)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(FORMAT.into()) {
            return Err(match format {
                Some(found) => RingError::Format { found },
                None => RingError::Contradiction("it does not say its format"),
            });
        }
        let ring: Self = serde_json::from_value(value).map_err(RingError::Shape)?;
        if ring.issuer != issuer.as_str() {
            return Err(RingError::OtherIssuer {
                found: ring.issuer,
                expected: issuer.as_str().to_owned(),
            });
        }
        ring.check()
            .map_or(Ok(ring), |fault| Err(RingError::Contradiction(fault)))
    }

    /// The ring as it is saved: JSON that a person can read.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists always serialise.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The first contradiction, if there is one.
    pub(crate) fn check(&self) -> Option<&'static str> {
        let count = |is: fn(&Stage) -> bool| self.keys.iter().filter(|key| is(&key.stage)).count();
        let kids: BTreeSet<&Kid> = self.keys.iter().map(|key| &key.kid).collect();
        if count(|stage| matches!(stage, Stage::Signing { .. })) != 1 {
            return Some("not exactly one key signs");
        }
        if count(|stage| matches!(stage, Stage::Next(_))) > 1 {
            return Some("more than one key is to sign next");
        }
        if kids.len() != self.keys.len() {
            return Some("a key stands twice");
        }
        if kids.iter().any(|kid| self.tombstones.contains(*kid)) {
            return Some("a key is spent and in use");
        }
        None
    }
}
