//! What must hold in a simulated world at every instant.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{ApiServer, World, number};
use crate::kid::Kid;
use crate::ring::after;

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Violation {
    /// An API server signs with a key that another one refuses.
    RefusedByServer {
        /// The key's number, from 1.
        key: usize,
        /// Which API server signs, from 1.
        signer: usize,
        /// Which one refuses.
        refuses: usize,
    },
    /// A relying party may still use a JWKS without the key that an API server signs with.
    NotYetFetched {
        /// The key's number.
        key: usize,
        /// Which API server signs.
        signer: usize,
    },
    /// A living token for an external audience has lost its key.
    LivingTokenPublic {
        /// The key's number.
        key: usize,
    },
    /// A living token for the API server has lost its key.
    LivingTokenCluster {
        /// The key's number.
        key: usize,
        /// Where.
        server: usize,
    },
    /// A sink is empty, or holds more than AWS takes.
    BadSet {
        /// How many keys.
        keys: usize,
    },
    /// The public half of a key stands somewhere, and the private half is not stored.
    PrivateHalfMissing {
        /// The key's number.
        key: usize,
    },
    /// A key that something still needs is gone.
    HeldKeyGone {
        /// The key's number.
        key: usize,
    },
    /// A spent key stands in a JWKS, or is trusted.
    SpentKeyBack {
        /// The key's number.
        key: usize,
    },
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RefusedByServer {
                key,
                signer,
                refuses,
            } => {
                write!(
                    f,
                    "API server {signer} signs with key {key}, and API server {refuses} refuses its tokens"
                )
            }
            Self::NotYetFetched { key, signer } => write!(
                f,
                "API server {signer} signs with key {key} while a relying party may hold a JWKS without it: its tokens are refused"
            ),
            Self::LivingTokenPublic { key } => {
                write!(
                    f,
                    "a token of key {key} for an external audience is alive, and its key is not published"
                )
            }
            Self::LivingTokenCluster { key, server } => {
                write!(
                    f,
                    "a token of key {key} for the API server is alive, and API server {server} does not trust its key"
                )
            }
            Self::BadSet { keys } => write!(f, "a JWKS holds {keys} keys"),
            Self::PrivateHalfMissing { key } => {
                write!(
                    f,
                    "key {key} is published or trusted, and its private half is not stored"
                )
            }
            Self::HeldKeyGone { key } => write!(f, "key {key} is still needed, and gone"),
            Self::SpentKeyBack { key } => write!(f, "key {key} is spent, and stands somewhere"),
        }
    }
}

impl World {
    /// The first rule that is broken now.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.signers()
            .or_else(|| self.tokens())
            .or_else(|| self.sets())
            .or_else(|| self.halves())
    }

    fn signers(&self) -> Option<Violation> {
        for (at, server) in self.servers.iter().enumerate() {
            for key in [&server.loaded.signing, &server.disk.signing] {
                if self.is_astray(at, key) {
                    continue;
                }
                let refuses = |(other_at, other): (usize, &ApiServer)| {
                    let refuses =
                        !other.loaded.trusted.contains(key) || !other.disk.trusted.contains(key);
                    (refuses && !self.is_anew(other_at)).then_some(other_at)
                };
                if let Some(refuses) = self.servers.iter().enumerate().find_map(refuses) {
                    return Some(Violation::RefusedByServer {
                        key: number(key),
                        signer: at + 1,
                        refuses: refuses + 1,
                    });
                }
                // The oldest copy that a relying party may still use.
                let oldest = |since: &Timestamp| after(*since, self.truth.caches) <= self.now;
                let mut sinks = self.sinks.iter().chain([&self.public]);
                let fetched = sinks.all(|sink| sink.get(key).is_some_and(oldest));
                if !fetched && !self.emergency {
                    return Some(Violation::NotYetFetched {
                        key: number(key),
                        signer: at + 1,
                    });
                }
            }
        }
        None
    }

    fn tokens(&self) -> Option<Violation> {
        for (key, (public, cluster)) in &self.alive {
            if self.compromised.contains(key) {
                continue;
            }
            // Judged by a clock that may be slow.
            let published = self.sinks.iter().all(|sink| sink.contains_key(key));
            if *public > self.now && !published {
                return Some(Violation::LivingTokenPublic { key: number(key) });
            }
            let lost = |(at, server): (usize, &ApiServer)| {
                let lost =
                    !server.loaded.trusted.contains(key) || !server.disk.trusted.contains(key);
                (lost && !self.is_anew(at)).then_some(at)
            };
            if *cluster > self.now
                && let Some(server) = self.servers.iter().enumerate().find_map(lost)
            {
                return Some(Violation::LivingTokenCluster {
                    key: number(key),
                    server: server + 1,
                });
            }
        }
        None
    }

    fn sets(&self) -> Option<Violation> {
        let bad = |sink: &&BTreeMap<Kid, Timestamp>| {
            sink.is_empty() || sink.len() > crate::policy::MOST_KEYS
        };
        self.sinks
            .iter()
            .find(bad)
            .map(|sink| Violation::BadSet { keys: sink.len() })
    }

    fn halves(&self) -> Option<Violation> {
        let published = self.sinks.iter().flat_map(BTreeMap::keys);
        let servers = self.servers.iter().enumerate();
        let trusted = servers
            .filter(|(at, _)| !self.is_anew(*at))
            .flat_map(|(_, server)| server.loaded.trusted.iter().chain(&server.disk.trusted));
        let mut public: BTreeSet<&Kid> = published.chain(trusted).collect();
        if let Some(held) = &self.held
            && !public.contains(held)
        {
            return Some(Violation::HeldKeyGone { key: number(held) });
        }
        // A spent key that a late write brought back has no private half, and a run takes it out again.
        if let Some(ring) = &self.store {
            public.retain(|kid| !ring.tombstones().contains(*kid));
        }
        let stored = |kid: &Kid| self.at_rest.contains(kid) || self.lost.contains(kid);
        let orphan = public.into_iter().find(|kid| !stored(kid));
        orphan.map(|kid| Violation::PrivateHalfMissing { key: number(kid) })
    }

    /// A spent key that stands somewhere, unless somebody else put it on a server and no run has mended that yet.
    #[cfg(test)]
    pub(crate) fn leftover(&self) -> Option<Violation> {
        let ring = self.store.as_ref()?;
        let published = self.sinks.iter().flat_map(BTreeMap::keys);
        let servers = self.servers.iter().enumerate();
        let trusted = servers
            .filter(|(at, _)| !self.is_anew(*at))
            .flat_map(|(_, server)| &server.loaded.trusted);
        let mut everywhere = published.chain(trusted).chain(&self.at_rest);
        let spent = everywhere.find(|kid| ring.tombstones().contains(*kid));
        spent.map(|kid| Violation::SpentKeyBack { key: number(kid) })
    }
}
