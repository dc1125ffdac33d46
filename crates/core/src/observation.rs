//! What one run saw of the world: documents, sinks, API servers and private keys at rest.
//!
//! An adapter makes it, from the public issuer URL, each sink, each API server addressed directly, and the place where
//! private keys rest. Nothing in it is remembered or assumed: what a run did is no evidence, only what it saw.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::jwks::JwkSet;
use crate::kid::Kid;

/// Everything that one run saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// The JWKS as anyone fetches it, through the discovery document at the issuer URL.
    pub public: Published,
    /// The same document in each place that it is written to.
    pub sinks: Vec<Sink>,
    /// The JWKS as other addresses show it: replicas and mirrors that this run does not write to.
    pub served: Vec<Sink>,
    /// Every API server that the cluster is said to have, answering or not.
    pub servers: Vec<Server>,
    /// The keys whose private half lies where keys rest, read back and parsed.
    pub at_rest: BTreeSet<Kid>,
    /// The keys of which anything lies there, readable or not: what must be gone before a key is spent.
    pub remains: BTreeSet<Kid>,
    /// What must not happen yet, by key: see [`Hold`].
    pub holds: BTreeMap<Kid, BTreeSet<Hold>>,
    /// The longest lives of tokens that are asked for in the cluster now.
    pub longest: Lifetimes,
    /// How many seconds the clock of an API server is ahead of this run's, by the `iat` of a token that it just made; no
    /// more than is certain.
    pub clocks: BTreeMap<String, i64>,
    /// The name of the place where private keys rest, which it was given when the first run came there.
    pub keys_place: Option<String>,
    /// The longest that an answer with a JWKS, at the issuer URL or another address, may be kept by a cache
    /// (`Cache-Control`); zero if none said so.
    pub max_age: Duration,
    /// The address whose answer said so; empty if none did.
    pub max_age_at: String,
    /// The nodes with the label `node-role.kubernetes.io/control-plane`, whether they are ready or not.
    pub control_planes: BTreeSet<String>,
    /// The operator's word for it that clients which never read a new token may be cut off.
    pub stale_tokens_ignored: bool,
}

impl Observation {
    /// Whether anyone may fetch a JWKS with this key somewhere.
    pub fn is_in_a_jwks(&self, kid: &Kid) -> bool {
        let places = self.sinks.iter().chain(&self.served);
        let sets = places.map(|place| &place.published);
        sets.chain([&self.public]).any(|set| set.kids.contains(kid))
    }

    /// Whether an API server accepts or makes tokens of this key, or would after a restart.
    pub fn is_on_a_server(&self, kid: &Kid) -> bool {
        self.servers.iter().any(|server| {
            let loaded = match &server.loaded {
                Loaded::Serving {
                    trusted, signing, ..
                } => trusted.contains(kid) || signing == kid,
                Loaded::Unreachable { .. } => false,
            };
            let disk = server.disk.as_ref();
            loaded || disk.is_some_and(|disk| disk.trusted.contains(kid) || disk.signing == *kid)
        })
    }

    /// Whether anything of this key was seen anywhere.
    pub fn is_anywhere(&self, kid: &Kid) -> bool {
        let mut disks = self
            .servers
            .iter()
            .filter_map(|server| server.disk.as_ref());
        self.is_in_a_jwks(kid)
            || self.is_on_a_server(kid)
            || self.remains.contains(kid)
            || self.at_rest.contains(kid)
            || disks.any(|disk| disk.controller.as_ref() == Some(kid) || disk.copies.contains(kid))
    }
}

/// The key IDs of a JWKS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Those that Kubernetes could have made.
    pub kids: BTreeSet<Kid>,
    /// All others: of somebody else, or of no use.
    pub foreign: BTreeSet<String>,
}

impl Published {
    /// The IDs in a set. An entry that cannot verify is foreign: it is not ours to judge.
    pub fn of(set: &JwkSet) -> Self {
        let mut published = Self::default();
        for jwk in set.keys() {
            match Kid::parse(&jwk.kid).filter(|kid| *kid == jwk.key.kid()) {
                Some(kid) => published.kids.insert(kid),
                None => published.foreign.insert(jwk.kid.clone()),
            };
        }
        let ignored = set.ignored().iter();
        published
            .foreign
            .extend(ignored.map(|jwk| jwk.kid.clone().unwrap_or_default()));
        published
    }
}

/// A place that the JWKS is written to, or read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// As the operator named it: `dir:/var/www/oidc`.
    pub name: String,
    /// What stands there.
    pub published: Published,
}

/// An API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name, unique in the cluster.
    pub name: String,
    /// What it answered.
    pub loaded: Loaded,
    /// What its files say: only a run on its own node can see them, and only such a run can change them.
    pub disk: Option<Disk>,
    /// How often it has met clients that never read a new token, if it says so.
    pub stale: Option<StaleTokens>,
}

/// The counter `serviceaccount_stale_tokens_total` of an API server: uses of tokens after `warnafter`, which a client
/// that reads new tokens never reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleTokens {
    /// When the process began to count, in seconds since 1970.
    pub started: i64,
    /// How many since then.
    pub count: u64,
}

/// What an API server's process works with. Key files are read once, at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// It answers.
    Serving {
        /// The kids in its `/openid/v1/jwks`.
        trusted: BTreeSet<Kid>,
        /// The kid in the header of a token that it just made (`TokenRequest`).
        signing: Kid,
        /// The other API servers whose fresh token it refuses (`TokenReview`).
        refuses: BTreeSet<String>,
    },
    /// It does not.
    Unreachable {
        /// Why, in words.
        why: String,
    },
}

/// What an API server would load if it restarted now, and it may do that at any moment.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The kids in its key files (`--service-account-key-file`).
    pub trusted: BTreeSet<Kid>,
    /// The kid of its signing key file (`--service-account-signing-key-file`).
    pub signing: Kid,
    /// The kid of the controller-manager's (`--service-account-private-key-file`), which signs the tokens of legacy
    /// Secrets; nothing if this node has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub controller: Option<Kid>,
    /// The kids whose files a rotation has placed on this node for the API server, used or not.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub copies: BTreeSet<Kid>,
    /// The kids in the distribution's own key files, by path: what a manifest that is written anew, or a node that joins,
    /// is given, whatever the manifest names now.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub spare: BTreeMap<String, BTreeSet<Kid>>,
}

impl Disk {
    /// Whether a key is in any of these files.
    pub fn has(&self, kid: &Kid) -> bool {
        self.signing == *kid
            || self.controller.as_ref() == Some(kid)
            || self.trusted.contains(kid)
            || self.copies.contains(kid)
    }

    /// Key files alone: no controller-manager, and nothing placed.
    pub fn new(trusted: BTreeSet<Kid>, signing: Kid) -> Self {
        Self {
            trusted,
            signing,
            controller: None,
            copies: BTreeSet::new(),
            spare: BTreeMap::new(),
        }
    }
}

/// The longest lives of tokens.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Lifetimes {
    /// For an external audience.
    #[serde(with = "seconds")]
    pub public: Duration,
    /// For the API server.
    #[serde(with = "seconds")]
    pub cluster: Duration,
}

/// Durations as whole seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

impl Lifetimes {
    /// The longer of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            public: self.public.max(other.public),
            cluster: self.cluster.max(other.cluster),
        }
    }

    /// Counts a token that lives for so long. Whoever it is for, somebody may show it to an API server (`TokenReview`), so
    /// every life counts there.
    pub fn count(&mut self, life: Duration, external: bool) {
        self.cluster = life.max(self.cluster);
        if external {
            self.public = life.max(self.public);
        }
    }
}

/// By how many seconds the clock of whoever made something is ahead, if that was between two instants of this clock: none
/// while the time of it, which has whole seconds, lies between them.
pub fn clock_ahead(made: i64, asked: Timestamp, answered: Timestamp) -> i64 {
    let (first, last) = (
        asked.as_second().min(answered.as_second()),
        answered.as_second(),
    );
    if made < first {
        made.saturating_sub(first)
    } else {
        made.saturating_sub(last).max(0)
    }
}

/// A reason to keep a key that has drained by the clock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// A Secret of type `kubernetes.io/service-account-token` holds a token of this key, which never expires.
    LegacySecret {
        /// `namespace/name`.
        name: String,
    },
    /// Clients were seen lately that use tokens after `warnafter` (`serviceaccount_stale_tokens_total` rose): they never
    /// read a new token, so those that live for a year are in use.
    StaleTokens {
        /// Which API server counted them.
        server: String,
    },
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LegacySecret { name } => {
                write!(
                    f,
                    "Secret \"{name}\" holds a token of it that never expires"
                )
            }
            Self::StaleTokens { server } => {
                write!(
                    f,
                    "clients of API server \"{server}\" use tokens that they should have replaced (serviceaccount_stale_tokens_total)"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_as_far_ahead_as_is_certain() {
        let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
        for (made, expected) in [
            (100, 0),
            (101, 0),
            (103, 0),
            (104, 1),
            (99, -1),
            (7876, 7773),
            (-7676, -7776),
        ] {
            let ahead = clock_ahead(made, at(100_900), at(103_100));
            assert_eq!(ahead, expected, "{made}");
        }
        // This clock was set back in between.
        assert_eq!(clock_ahead(101, at(103_100), at(100_900)), 1);
    }

    #[test]
    fn every_life_counts_for_the_api_server() {
        let [hour, day] = [1, 24].map(Duration::from_hours);
        let mut longest = Lifetimes::default();
        longest.count(day, false);
        assert_eq!((longest.public, longest.cluster), (Duration::ZERO, day));
        longest.count(hour, true);
        assert_eq!((longest.public, longest.cluster), (hour, day));
    }
}
