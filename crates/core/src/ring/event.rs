//! The history of a ring: who did what to which key, when, and why.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::kid::Kid;

/// An entry of the history. It is written before what it tells of is done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, by the clock of the run.
    pub at: Timestamp,
    /// Which run: host and process.
    pub by: String,
    /// What.
    pub what: What,
    /// To which key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kid: Option<Kid>,
    /// Where: an API server or a sink.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// Why, in words.
    pub why: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The ring was made from what stood in the world.
    Begun,
    /// A rotation was asked for.
    Requested,
    /// The waits of earlier runs were said to have been a mistake.
    Shortened,
    /// A key was created.
    Created,
    /// A key of others was taken into the ring.
    Adopted,
    /// A key was written into a JWKS.
    Published,
    /// An API server was given a key to verify with.
    Trusted,
    /// It was decided that a key signs from now on.
    Chosen,
    /// An API server was switched to sign with a key.
    Promoted,
    /// A key that had never signed was given up.
    Abandoned,
    /// A key was declared compromised.
    Compromised,
    /// It was decided that a key leaves the JWKS.
    Retired,
    /// A key was taken out of a JWKS.
    Withdrawn,
    /// It was decided that a key leaves the API servers.
    Disowned,
    /// A key was taken from an API server.
    Distrusted,
    /// The private half of a key was destroyed.
    Erased,
    /// A key is spent.
    Buried,
    /// An API server that is gone was struck off.
    Forgotten,
}

impl What {
    /// One word, as it stands in the record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Requested => "requested",
            Self::Shortened => "shortened",
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::Published => "published",
            Self::Trusted => "trusted",
            Self::Chosen => "chosen",
            Self::Promoted => "promoted",
            Self::Abandoned => "abandoned",
            Self::Compromised => "compromised",
            Self::Retired => "retired",
            Self::Withdrawn => "withdrawn",
            Self::Disowned => "disowned",
            Self::Distrusted => "distrusted",
            Self::Erased => "erased",
            Self::Buried => "buried",
            Self::Forgotten => "forgotten",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
