//! A cluster, its documents and its relying parties as numbers: what the machine sees and changes, and what must hold.

mod anew;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

pub use self::rules::Violation;
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
    /// The servers that somebody else gave the first key's files, until a run has mended them.
    pub(crate) anew: BTreeSet<usize>,
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
        let disk = Disk::new(BTreeSet::from([kid(1)]), kid(1));
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
            anew: BTreeSet::new(),
            made: 1,
            writes: 0,
        };
        world.issue();
        world
    }

    /// The other servers whose fresh tokens a server refuses.
    fn refused_by(&self, at: usize) -> BTreeSet<String> {
        let trusted = self.servers.get(at).map(|server| &server.loaded.trusted);
        let others = self.servers.iter().enumerate();
        others
            .filter(|(other, signer)| {
                *other != at && trusted.is_some_and(|kids| !kids.contains(&signer.loaded.signing))
            })
            .map(|(other, _)| server_name(other))
            .collect()
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
                refuses: self.refused_by(at),
            },
            disk: nodes.has(at).then(|| server.disk.clone()),
            stale: None,
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
            served: Vec::new(),
            servers: servers.collect(),
            at_rest: self.at_rest.clone(),
            remains: self.at_rest.clone(),
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
            ..Observation::default()
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
                self.edit(*server, |disk| disk.signing = kid.clone());
            }
            Effect::Restart { server } => self.restart(*server),
        }
        self.mend();
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
        let made = self.servers.iter().enumerate();
        let made = made.map(|(at, server)| (at, &server.loaded.signing));
        let made: BTreeSet<Kid> = made
            .filter(|(at, signing)| !self.is_astray(*at, signing))
            .map(|(_, signing)| signing.clone())
            .collect();
        for kid in made {
            let entry = self.alive.entry(kid).or_insert(ends);
            *entry = (entry.0.max(ends.0), entry.1.max(ends.1));
        }
    }

    /// Whether one key, younger than `than`, is all that there is.
    pub(crate) fn is_fresh(&self, than: u8) -> bool {
        let Some(ring) = &self.store else {
            return false;
        };
        let [key] = ring.keys() else { return false };
        let only = BTreeSet::from([key.kid.clone()]);
        let disk = Disk::new(only.clone(), key.kid.clone());
        number(&key.kid) > usize::from(than)
            && self.sinks.iter().all(|sink| sink.keys().eq(only.iter()))
            && self
                .servers
                .iter()
                .all(|server| server.disk == disk && server.loaded == disk)
            && self.at_rest == only
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
