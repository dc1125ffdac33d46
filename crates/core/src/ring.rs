//! The saved record of an issuer's keys: which there are, how far each one is, and since when.
//!
//! The ring is a record of clocks and intentions, not the truth: each run looks at the world again and believes the
//! world. What only the ring knows is *since when* something is so, *what was decided* and must be gone through with,
//! and *which kids are spent* and must never come back. If it is lost, [`crate::rotation::rebuild`] makes another from
//! the world, with every clock at zero.
//!
//! ```text
//!   Next ──────────► Signing ──────────► Draining ──────────► tombstone
//!   published,       the one key that    no longer signs;     spent: removed and
//!   trusted, ages    servers shall use   leaves both tracks   reported wherever seen
//!     │                                    ▲
//!     └────────── given up, never signed ──┘
//! ```
//!
//! The **generation** counts the saves. A store accepts a save only over the generation that it was made from, so of
//! two runs one is refused; and a fact about a node's files that bears an older generation than an intention is no
//! answer to that intention.

mod event;
mod left;
mod parse;
pub mod timing;
mod transition;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::event::{Event, What};
pub use self::left::LeftBehind;
pub use self::parse::{FORMAT, RingError};
use self::timing::Timing;
pub(crate) use self::transition::after;
pub use self::transition::{Lease, LeaseHeld};
use crate::issuer::IssuerUrl;
use crate::kid::Kid;
use crate::observation::{Disk, Lifetimes, StaleTokens};

/// The record. Its fields change through its methods only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRing {
    format: u32,
    issuer: String,
    generation: u64,
    written: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    lease: Option<Lease>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    requested: Option<Timestamp>,
    #[serde(skip_serializing_if = "Timing::is_empty", default)]
    timing: Timing,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    keys_place: Option<String>,
    keys: Vec<RingKey>,
    tombstones: BTreeSet<Kid>,
    servers: BTreeMap<String, ServerRecord>,
    history: Vec<Event>,
}

/// A key that is not spent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingKey {
    /// Which key.
    pub kid: Kid,
    /// When it came into the ring.
    pub created: Timestamp,
    /// Since when it is known to be in foreign hands: no wait is kept for it any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compromised: Option<Timestamp>,
    /// How far it is.
    pub stage: Stage,
}

/// How far a key is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Stage {
    /// It has never signed, and no server has it at its signing path.
    Next(Seen),
    /// The one key that every server shall sign with. From the moment that this is saved it may have signed.
    Signing {
        /// When that was decided.
        since: Timestamp,
        /// Where it is seen. The waits hold for the last server as for the first.
        seen: Seen,
        /// The longest tokens that were asked for while it signed.
        longest: Lifetimes,
    },
    /// It shall sign no more.
    Draining {
        /// The generation in which that was decided.
        intent: u64,
        /// Since when no server signs with it, in memory or on disk.
        quiet_since: Option<Timestamp>,
        /// The longest tokens that were asked for while it signed.
        longest: Lifetimes,
        /// Its way out of the JWKS.
        public: Track,
        /// Its way out of the API servers.
        cluster: Track,
    },
}

/// Since when a key has been where it must be, without a gap in what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// In the public JWKS and in every sink.
    pub published: Option<Timestamp>,
    /// In every API server, in memory and on disk.
    pub trusted: Option<Timestamp>,
}

impl Seen {
    /// Since when it is in both.
    pub fn everywhere(&self) -> Option<Timestamp> {
        Some(self.published?.max(self.trusted?))
    }
}

/// One of the two ways that a drained key goes. Each goes in one direction only: what has been decided to leave
/// leaves, so that a late removal by a run that was overtaken is still right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Track {
    /// It stays.
    Held,
    /// It has been decided, in this generation, that it goes.
    Leaving {
        /// The generation.
        intent: u64,
    },
    /// It was seen to be gone. Should it come back, it goes again.
    Gone {
        /// The generation in which that was decided.
        intent: u64,
    },
}

/// What was last seen of an API server's files, by a run on its node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRecord {
    /// What the files said; nothing until a run on that node has looked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<Disk>,
    /// The generation that the run worked on when it looked.
    pub generation: u64,
    /// Whether its clients read new tokens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stale: Option<StaleRecord>,
}

/// What is known of the clients of an API server that never read a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleRecord {
    /// Its counter when it was last seen.
    pub seen: StaleTokens,
    /// When a run last saw that it had risen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rose: Option<Timestamp>,
}

impl KeyRing {
    /// A ring of these keys, not saved yet.
    pub(crate) fn new(issuer: &IssuerUrl, keys: Vec<RingKey>, now: Timestamp) -> Self {
        Self {
            format: FORMAT,
            issuer: issuer.as_str().to_owned(),
            generation: 0,
            written: now,
            lease: None,
            requested: None,
            timing: Timing::default(),
            keys_place: None,
            keys,
            tombstones: BTreeSet::new(),
            servers: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    /// Whose keys these are.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// How often it was saved.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// When it was last saved, by the clock of the run that did so.
    pub const fn written(&self) -> Timestamp {
        self.written
    }

    /// When a rotation was asked for, if one was.
    pub const fn requested(&self) -> Option<Timestamp> {
        self.requested
    }

    /// The waits that runs were told to keep.
    pub const fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The name of the place where the private keys rest, once a run has seen it.
    pub fn keys_place(&self) -> Option<&str> {
        self.keys_place.as_deref()
    }

    /// Who acts now.
    pub const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// All keys that are not spent, oldest first.
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// One of them.
    pub fn key(&self, kid: &Kid) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.kid == *kid)
    }

    /// The key that servers shall sign with.
    pub fn signing(&self) -> Option<&RingKey> {
        let signs = |key: &&RingKey| matches!(key.stage, Stage::Signing { .. });
        self.keys.iter().find(signs)
    }

    /// The key that is to sign next.
    pub fn next(&self) -> Option<&RingKey> {
        self.keys
            .iter()
            .find(|key| matches!(key.stage, Stage::Next(_)))
    }

    /// The kids that are spent.
    pub const fn tombstones(&self) -> &BTreeSet<Kid> {
        &self.tombstones
    }

    /// The API servers that have been seen, with what their nodes reported.
    pub const fn servers(&self) -> &BTreeMap<String, ServerRecord> {
        &self.servers
    }

    /// What happened, oldest first.
    pub fn history(&self) -> &[Event] {
        &self.history
    }

    /// Whether a rotation is under way: there is more than the one key that signs.
    pub fn is_rotating(&self) -> bool {
        !matches!(self.keys.as_slice(), [key] if matches!(key.stage, Stage::Signing { .. }))
    }

    /// Whether this key is, or was, in the ring.
    pub fn knows(&self, kid: &Kid) -> bool {
        self.key(kid).is_some() || self.tombstones.contains(kid)
    }

    /// Whether tokens are, or may be, signed with a compromised key: the new key does not wait for caches then.
    pub fn is_emergency(&self) -> bool {
        self.emergencies().next().is_some()
    }

    /// The keys that make it one.
    pub(crate) fn emergencies(&self) -> impl Iterator<Item = &Kid> {
        let urgent = self.keys.iter().filter(|key| {
            let signs = match key.stage {
                Stage::Next(_) => false,
                Stage::Signing { .. } => true,
                Stage::Draining {
                    quiet_since,
                    public,
                    ..
                } => quiet_since.is_none() && matches!(public, Track::Held),
            };
            key.compromised.is_some() && signs
        });
        urgent.map(|key| &key.kid)
    }
}

impl RingKey {
    /// Whether it shall be in the JWKS.
    pub const fn is_public(&self) -> bool {
        match self.stage {
            Stage::Next(_) | Stage::Signing { .. } => true,
            Stage::Draining { public, .. } => matches!(public, Track::Held),
        }
    }

    /// Whether API servers shall trust it.
    pub const fn is_trusted(&self) -> bool {
        match self.stage {
            Stage::Next(_) | Stage::Signing { .. } => true,
            Stage::Draining { cluster, .. } => matches!(cluster, Track::Held),
        }
    }

    /// Whether it came into the ring as a key that API servers trust and that no JWKS had: the decision that it is not
    /// published is that by which it came. A key that a rotation withdrew left by a later one.
    pub(crate) fn never_published(&self) -> bool {
        let Stage::Draining {
            intent: came,
            public: Track::Leaving { intent } | Track::Gone { intent },
            cluster: Track::Held,
            ..
        } = self.stage
        else {
            return false;
        };
        intent == came
    }

    /// The generation in which the newest decision about it was taken, 0 while nothing depends on one.
    pub(crate) fn intent(&self) -> u64 {
        let of = |track| match track {
            Track::Leaving { intent } | Track::Gone { intent } => intent,
            Track::Held => 0,
        };
        match self.stage {
            Stage::Next(_) | Stage::Signing { .. } => 0,
            Stage::Draining {
                intent,
                public,
                cluster,
                ..
            } => intent.max(of(public)).max(of(cluster)),
        }
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
