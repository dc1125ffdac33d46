//! A cluster, its documents and its relying parties as numbers: what the machine sees and changes, and what must hold.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::effect::Effect;
use crate::kid::Kid;
use crate::observation::{Disk, Hold, Lifetimes, Loaded, Observation, Published, Server, Sink};
use crate::policy::Assumptions;
use crate::ring::{KeyRing, after};

/// The world at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// The true time.
    pub(crate) now: Timestamp,
    /// What is true of caches, tokens and clocks here, whatever the policy assumes.
    pub(crate) truth: Assumptions,
    /// The saved ring, unless it was lost.
    pub(crate) store: Option<KeyRing>,
    /// Each sink: its keys, and since when each has been in it.
    pub(crate) sinks: Vec<BTreeMap<Kid, Timestamp>>,
    /// What the issuer URL shows: the first sink, or an older copy of it.
    pub(crate) public: BTreeMap<Kid, Timestamp>,
    /// Whether the issuer URL may show an older copy for a while.
    pub(crate) lags: bool,
    /// The API servers.
    pub(crate) servers: Vec<ApiServer>,
    /// Keys whose private half is stored.
    pub(crate) at_rest: BTreeSet<Kid>,
    /// Until when tokens of each key live: for external audiences, and for the API servers.
    pub(crate) alive: BTreeMap<Kid, (Timestamp, Timestamp)>,
    /// Keys that are known to be in foreign hands: for them other rules hold.
    pub(crate) compromised: BTreeSet<Kid>,
    /// Whether one of them had signed, so that nobody waits for caches.
    pub(crate) emergency: bool,
    /// Keys whose private half was destroyed by a third party.
    pub(crate) lost: BTreeSet<Kid>,
    /// A key that something other than a clock keeps.
    pub(crate) held: Option<Kid>,
    /// How many keys were made.
    pub(crate) made: u8,
    /// How often a sink was written.
    pub(crate) writes: usize,
}

/// An API server: a process, and the files that it would read at its next start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ApiServer {
    pub(crate) disk: Disk,
    pub(crate) loaded: Disk,
}

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

/// The key ID of key `number`.
pub(crate) fn kid(number: u8) -> Kid {
    let text = URL_SAFE_NO_PAD.encode([number; 32]);
    // 32 bytes always spell one.
    Kid::parse(&text).unwrap_or_else(|| unreachable_kid(number))
}

fn unreachable_kid(number: u8) -> Kid {
    Kid::of_spki(&[number])
}

/// The number of a key, 0 if it is none of ours.
pub(crate) fn number(of: &Kid) -> usize {
    let digest = URL_SAFE_NO_PAD.decode(of.as_str()).unwrap_or_default();
    digest.first().copied().map_or(0, usize::from)
}

impl World {
    /// A cluster at rest: one key, published and trusted for ever, no ring yet.
    pub(crate) fn new(truth: Assumptions, servers: usize, sinks: usize, now: Timestamp) -> Self {
        let disk = Disk {
            trusted: BTreeSet::from([kid(1)]),
            signing: kid(1),
        };
        let server = ApiServer {
            disk: disk.clone(),
            loaded: disk,
        };
        let mut world = Self {
            now,
            truth,
            store: None,
            sinks: vec![BTreeMap::from([(kid(1), Timestamp::MIN)]); sinks],
            servers: vec![server; servers],
            at_rest: BTreeSet::from([kid(1)]),
            alive: BTreeMap::new(),
            public: BTreeMap::from([(kid(1), Timestamp::MIN)]),
            lags: false,
            compromised: BTreeSet::new(),
            emergency: false,
            lost: BTreeSet::new(),
            held: None,
            made: 1,
            writes: 0,
        };
        world.issue();
        world
    }

    /// What a run on these nodes sees.
    pub(crate) fn observe(&self, nodes: Nodes) -> Observation {
        let kids = |sink: &BTreeMap<Kid, Timestamp>| Published {
            kids: sink.keys().cloned().collect(),
            foreign: BTreeSet::new(),
        };
        let servers = self.servers.iter().enumerate().map(|(at, server)| Server {
            name: server_name(at),
            loaded: Loaded::Serving {
                trusted: server.loaded.trusted.clone(),
                signing: server.loaded.signing.clone(),
                refuses: BTreeSet::new(),
            },
            disk: nodes.has(at).then(|| server.disk.clone()),
        });
        let hold = Hold::LegacySecret {
            name: "default/legacy".into(),
        };
        Observation {
            public: kids(&self.public),
            sinks: self
                .sinks
                .iter()
                .enumerate()
                .map(|(at, sink)| Sink {
                    name: sink_name(at),
                    published: kids(sink),
                })
                .collect(),
            servers: servers.collect(),
            at_rest: self.at_rest.clone(),
            holds: self
                .held
                .iter()
                .map(|kid| (kid.clone(), BTreeSet::from([hold.clone()])))
                .collect(),
            longest: Lifetimes {
                public: self
                    .truth
                    .public_token
                    .min(std::time::Duration::from_secs(1)),
                cluster: std::time::Duration::ZERO,
            },
        }
    }

    /// Makes a key's number; it becomes a key when its private half is stored.
    pub(crate) fn new_kid(&mut self) -> Kid {
        self.made = self.made.saturating_add(1);
        kid(self.made)
    }

    /// Changes one thing. `false`: it was refused, because somebody else was there.
    pub(crate) fn apply(&mut self, effect: &Effect, checks_tag: bool) -> bool {
        match effect {
            Effect::StorePrivate(kid) => {
                self.at_rest.insert(kid.clone());
            }
            Effect::Erase(kid) => {
                self.at_rest.remove(kid);
            }
            Effect::Add { sink, kid, over } | Effect::Remove { sink, kid, over } => {
                let now = self.now;
                let Some(keys) = self.sinks.get_mut(*sink) else {
                    return false;
                };
                if checks_tag && !keys.keys().eq(over.iter()) {
                    return false;
                }
                let mut wanted = over.clone();
                if matches!(effect, Effect::Add { .. }) {
                    wanted.insert(kid.clone());
                } else {
                    wanted.remove(kid);
                }
                keys.retain(|kid, _| wanted.contains(kid));
                for kid in wanted {
                    keys.entry(kid).or_insert(now);
                }
                self.writes += 1;
                if !self.lags {
                    self.refresh();
                }
            }
            Effect::WriteTrust { server, kid } => self.edit(*server, |disk| {
                disk.trusted.insert(kid.clone());
            }),
            Effect::WriteDistrust { server, kid } => self.edit(*server, |disk| {
                disk.trusted.remove(kid);
            }),
            Effect::WriteSigning { server, kid } => {
                self.edit(*server, |disk| disk.signing = kid.clone())
            }
            Effect::Restart { server } => self.restart(*server),
        }
        self.issue();
        true
    }

    /// The issuer URL shows what the first sink holds.
    pub(crate) fn refresh(&mut self) {
        let (Some(sink), now) = (self.sinks.first(), self.now) else {
            return;
        };
        self.public.retain(|kid, _| sink.contains_key(kid));
        for kid in sink.keys() {
            self.public.entry(kid.clone()).or_insert(now);
        }
    }

    /// An operator declares a key compromised.
    #[cfg(test)]
    pub(crate) fn compromise(&mut self, kid: &Kid) {
        let Some(ring) = &self.store else { return };
        self.emergency |= ring.next().is_none_or(|next| next.kid != *kid);
        self.compromised.insert(kid.clone());
        if let Some(ring) = ring.compromised(kid, String::new(), self.now) {
            self.store = Some(ring.without_history());
        }
    }

    /// Somebody destroys the private half of the key that is to sign next.
    pub(crate) fn lose_next(&mut self) -> bool {
        let next = self
            .store
            .as_ref()
            .and_then(|ring| ring.next())
            .map(|key| key.kid.clone());
        let stored = next.filter(|kid| self.at_rest.remove(kid));
        let found = stored.is_some();
        self.lost.extend(stored);
        found
    }

    /// A server starts again, by itself or because its manifest changed: it loads what lies on its disk.
    pub(crate) fn restart(&mut self, server: usize) {
        if let Some(server) = self.servers.get_mut(server) {
            server.loaded = server.disk.clone();
        }
        self.issue();
    }

    fn edit(&mut self, server: usize, edit: impl FnOnce(&mut Disk)) {
        if let Some(server) = self.servers.get_mut(server) {
            edit(&mut server.disk);
        }
    }

    /// Time passes, and every server issues tokens in it.
    pub(crate) fn pass(&mut self, to: Timestamp) {
        self.now = to;
        self.issue();
        let now = self.now;
        // Dead tokens are forgotten.
        self.alive
            .retain(|_, (public, cluster)| *public > now || *cluster > now);
    }

    /// Every server issues the longest tokens that it may, by a clock that may be fast.
    fn issue(&mut self) {
        let now = after(self.now, self.truth.skew);
        let ends = (
            after(now, self.truth.public_token),
            after(now, self.truth.cluster_token),
        );
        for server in &self.servers {
            let entry = self
                .alive
                .entry(server.loaded.signing.clone())
                .or_insert(ends);
            *entry = (entry.0.max(ends.0), entry.1.max(ends.1));
        }
    }

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
                let refuses = |other: &ApiServer| {
                    !other.loaded.trusted.contains(key) || !other.disk.trusted.contains(key)
                };
                if let Some(refuses) = self.servers.iter().position(refuses) {
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
            let lost = |server: &ApiServer| {
                !server.loaded.trusted.contains(key) || !server.disk.trusted.contains(key)
            };
            if *cluster > self.now
                && let Some(server) = self.servers.iter().position(lost)
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
        let trusted = self
            .servers
            .iter()
            .flat_map(|server| server.loaded.trusted.iter().chain(&server.disk.trusted));
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

    /// Whether one key, younger than `than`, is all that there is.
    pub(crate) fn is_fresh(&self, than: u8) -> bool {
        let Some(ring) = &self.store else {
            return false;
        };
        let [key] = ring.keys() else { return false };
        let only = BTreeSet::from([key.kid.clone()]);
        let disk = Disk {
            trusted: only.clone(),
            signing: key.kid.clone(),
        };
        number(&key.kid) > usize::from(than)
            && self.sinks.iter().all(|sink| sink.keys().eq(only.iter()))
            && self
                .servers
                .iter()
                .all(|server| server.disk == disk && server.loaded == disk)
            && self.at_rest == only
    }

    /// A spent key that stands somewhere.
    #[cfg(test)]
    pub(crate) fn leftover(&self) -> Option<Violation> {
        let ring = self.store.as_ref()?;
        let published = self.sinks.iter().flat_map(BTreeMap::keys);
        let trusted = self
            .servers
            .iter()
            .flat_map(|server| &server.loaded.trusted);
        let mut everywhere = published.chain(trusted).chain(&self.at_rest);
        let spent = everywhere.find(|kid| ring.tombstones().contains(*kid));
        spent.map(|kid| Violation::SpentKeyBack { key: number(kid) })
    }
}

/// A set of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Nodes(u64);

impl Nodes {
    /// These nodes, counted from 0.
    pub(crate) fn of(nodes: impl IntoIterator<Item = usize>) -> Self {
        Self(
            nodes
                .into_iter()
                .fold(0, |set, node| set | 1 << node.min(63)),
        )
    }

    fn has(self, node: usize) -> bool {
        self.0 & 1 << node.min(63) != 0
    }
}

/// The name of API server `at`, counted from 0.
pub(crate) fn server_name(at: usize) -> String {
    format!("api-{}", at + 1)
}

/// The name of sink `at`, counted from 0.
pub(crate) fn sink_name(at: usize) -> String {
    format!("sink-{}", at + 1)
}
