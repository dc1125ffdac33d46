//! How a ring becomes another one: each method is one arrow of the picture above, and gives the ring to be saved.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::timing::Timing;
use super::{Event, KeyRing, RingKey, Seen, Stage, Track, What};
use crate::kid::Kid;
use crate::observation::{Lifetimes, Observation};

/// The newest events that are kept: a Secret must hold them all.
const MOST_EVENTS: usize = 1000;

/// The spent kids that are kept, beyond those of the history: a hundred rotations a year for forty years.
const MOST_TOMBSTONES: usize = 4000;

/// Who acts, and until when nobody else does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Which run.
    pub holder: String,
    /// Until when, by its clock.
    pub until: Timestamp,
}

/// Another run acts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("another run, {}, is rotating the keys until {}", .0.holder, .0.until)]
pub struct LeaseHeld(pub Lease);

impl crate::explain::Explain for LeaseHeld {
    fn help(&self) -> Option<String> {
        Some("let it finish; run this again later".into())
    }

    fn retryable(&self) -> bool {
        true
    }
}

impl KeyRing {
    /// The same ring in its next generation: what a save writes.
    #[must_use]
    pub(crate) fn successor(&self, now: Timestamp) -> Self {
        let mut ring = self.clone();
        ring.generation = self.generation.saturating_add(1);
        // A run whose clock is slow must not make it go back.
        ring.written = self.written.max(now);
        ring
    }

    /// Whether a run may act, or another one does.
    pub fn free_for(&self, holder: &str, now: Timestamp) -> Result<(), LeaseHeld> {
        let mine = |lease: &Lease| lease.holder == holder || lease.until <= now;
        match self.lease.as_ref().filter(|lease| !mine(lease)) {
            Some(lease) => Err(LeaseHeld(lease.clone())),
            None => Ok(()),
        }
    }

    /// Takes or renews the lease, and writes down what is about to be done. The deed follows only once this is saved.
    pub fn intend(&self, event: Event, until: Timestamp) -> Result<Self, LeaseHeld> {
        let mut ring = self.leased(&event.by, event.at, until)?;
        ring.append(event);
        Ok(ring)
    }

    /// Takes or renews the lease alone.
    pub fn leased(
        &self,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Self, LeaseHeld> {
        self.free_for(holder, now)?;
        let mut ring = self.successor(now);
        ring.lease = Some(Lease {
            holder: holder.to_owned(),
            until,
        });
        Ok(ring)
    }

    /// Gives the lease back, if this run has it.
    pub fn released(&self, holder: &str, now: Timestamp) -> Option<Self> {
        self.lease.as_ref().filter(|lease| lease.holder == holder)?;
        let mut ring = self.successor(now);
        ring.lease = None;
        Some(ring)
    }

    /// Writes down who made this save.
    #[must_use]
    pub fn signed_by(mut self, holder: &str) -> Self {
        for event in &mut self.history {
            if event.by.is_empty() {
                holder.clone_into(&mut event.by);
            }
        }
        self
    }

    /// A new key, whose private half is about to be stored. Should the run die before that, the key is given up.
    #[must_use]
    pub fn created(&self, kid: Kid, why: String, now: Timestamp) -> Self {
        let mut ring = self.successor(now);
        ring.requested = None;
        ring.record(now, What::Created, Some(&kid), why);
        ring.keys.push(RingKey {
            kid,
            created: now,
            compromised: None,
            stage: Stage::Next(Seen::default()),
        });
        ring
    }

    /// A rotation is to begin at the next run, whatever the calendar says.
    #[must_use]
    pub fn request(&self, why: String, now: Timestamp) -> Self {
        let mut ring = self.successor(now);
        ring.requested = Some(now);
        ring.record(now, What::Requested, None, why);
        ring
    }

    /// The waits of earlier runs were a mistake: those of the next one hold also for what began before.
    #[must_use]
    pub fn shortened(&self, why: String, now: Timestamp) -> Self {
        let mut ring = self.successor(now);
        ring.timing = Timing::default();
        ring.record(now, What::Shortened, None, why);
        ring
    }

    /// A key is in foreign hands. `None` if it is not in the ring.
    pub fn compromised(&self, kid: &Kid, why: String, now: Timestamp) -> Option<Self> {
        let mut ring = self.successor(now);
        let key = ring.keys.iter_mut().find(|key| key.kid == *kid)?;
        key.compromised = key.compromised.or(Some(now));
        ring.record(now, What::Compromised, Some(kid), why);
        Some(ring)
    }

    /// A key that somebody else put into the world is ours: it drains from now on, and stays only where it stands. `None`
    /// if it is known, or was seen nowhere: a kid that was mistyped must not become one to publish and to trust.
    pub fn adopted(
        &self,
        kid: &Kid,
        observed: &Observation,
        why: String,
        now: Timestamp,
    ) -> Option<Self> {
        if self.knows(kid) || !observed.is_anywhere(kid) {
            return None;
        }
        let mut ring = self.successor(now);
        let key = RingKey::draining(kid.clone(), ring.generation, now);
        ring.keys
            .push(key.held(observed.is_in_a_jwks(kid), observed.is_on_a_server(kid)));
        ring.record(now, What::Adopted, Some(kid), why);
        Some(ring)
    }

    /// An API server is gone for good. `None` if it is not known.
    pub fn forgotten(&self, server: &str, why: String, now: Timestamp) -> Option<Self> {
        let mut ring = self.successor(now);
        ring.servers.remove(server)?;
        ring.append(Event {
            at: now,
            by: String::new(),
            what: What::Forgotten,
            kid: None,
            place: Some(server.to_owned()),
            why,
        });
        Some(ring)
    }

    /// The next key becomes the one that signs; the one that did so drains.
    pub(crate) fn chosen(&self, kid: &Kid, why: String, now: Timestamp) -> Self {
        let mut ring = self.successor(now);
        let generation = ring.generation;
        for key in &mut ring.keys {
            key.stage = match &key.stage {
                Stage::Next(seen) if key.kid == *kid => Stage::Signing {
                    since: now,
                    seen: *seen,
                    longest: Lifetimes::default(),
                },
                Stage::Signing { longest, .. } => Stage::Draining {
                    intent: generation,
                    quiet_since: None,
                    longest: *longest,
                    public: Track::Held,
                    cluster: Track::Held,
                },
                stage @ (Stage::Next(_) | Stage::Draining { .. }) => stage.clone(),
            };
        }
        ring.record(now, What::Chosen, Some(kid), why);
        ring
    }

    /// A key that has never signed goes at once. The rotation that it was made for begins anew.
    pub(crate) fn abandoned(&self, kid: &Kid, why: String, now: Timestamp) -> Self {
        let mut ring = self.successor(now);
        ring.requested = Some(now);
        let leaving = Track::Leaving {
            intent: ring.generation,
        };
        let intent = ring.generation;
        for key in ring.keys.iter_mut().filter(|key| key.kid == *kid) {
            key.stage = Stage::Draining {
                intent,
                quiet_since: Some(now),
                longest: Lifetimes::default(),
                public: leaving,
                cluster: leaving,
            };
        }
        ring.record(now, What::Abandoned, Some(kid), why);
        ring
    }

    /// It is decided that a drained key leaves one of its tracks.
    pub(crate) fn leaving(&self, kid: &Kid, what: What, why: String, now: Timestamp) -> Self {
        let mut ring = self.successor(now);
        let intent = ring.generation;
        for key in ring.keys.iter_mut().filter(|key| key.kid == *kid) {
            if let Stage::Draining {
                public, cluster, ..
            } = &mut key.stage
            {
                let track = if what == What::Retired {
                    public
                } else {
                    cluster
                };
                *track = Track::Leaving { intent };
            }
        }
        ring.record(now, what, Some(kid), why);
        ring
    }

    /// A key that has gone everywhere is spent.
    pub(crate) fn buried(&self, kid: &Kid, now: Timestamp) -> Self {
        let mut ring = self.successor(now);
        ring.keys.retain(|key| key.kid != *kid);
        ring.tombstones.insert(kid.clone());
        if ring.tombstones.len() > MOST_TOMBSTONES {
            // Those that the history has forgotten are older than any write that may still arrive.
            let remembered = |kid: &Kid| {
                let mut events = self.history.iter();
                events.any(|event| event.kid.as_ref() == Some(kid))
            };
            ring.tombstones
                .retain(|each| each == kid || remembered(each));
        }
        let ours = [What::Created, What::Erased];
        let rested = ours.iter().any(|what| self.is_recorded(*what, kid));
        let why = if rested {
            "it is neither published nor trusted, and its private half is destroyed where keys rest"
        } else {
            "it is neither published nor trusted; its private half, which never rested here, is where it was"
        };
        ring.record(now, What::Buried, Some(kid), why.into());
        ring
    }

    /// The first entry of the history.
    pub(crate) fn begun(mut self, why: String, now: Timestamp) -> Self {
        self.record(now, What::Begun, None, why);
        self
    }

    /// The same ring with other facts in it.
    pub(crate) fn with_facts(
        &self,
        keys: Vec<RingKey>,
        servers: std::collections::BTreeMap<String, super::ServerRecord>,
        timing: Timing,
        keys_place: Option<String>,
        now: Timestamp,
    ) -> Self {
        let mut ring = self.successor(now);
        ring.keys = keys;
        ring.servers = servers;
        ring.timing = timing;
        ring.keys_place = keys_place;
        ring
    }

    /// Without its history, where rings are compared by what they decide.
    pub(crate) fn without_history(mut self) -> Self {
        self.history.clear();
        self
    }

    /// Who did it is filled in by [`KeyRing::signed_by`]: core does not know.
    fn record(&mut self, at: Timestamp, what: What, kid: Option<&Kid>, why: String) {
        self.append(Event {
            at,
            by: String::new(),
            what,
            kid: kid.cloned(),
            place: None,
            why,
        });
    }

    fn append(&mut self, event: Event) {
        self.history.push(event);
        let surplus = self.history.len().saturating_sub(MOST_EVENTS);
        self.history.drain(..surplus);
    }
}

impl RingKey {
    /// A key that shall sign no more, with its clock at zero.
    pub(crate) fn draining(kid: Kid, intent: u64, now: Timestamp) -> Self {
        Self {
            kid,
            created: now,
            compromised: None,
            stage: Stage::Draining {
                intent,
                quiet_since: None,
                longest: Lifetimes::default(),
                public: Track::Held,
                cluster: Track::Held,
            },
        }
    }
}

impl RingKey {
    /// A draining key that stays only where it stands.
    pub(crate) fn held(mut self, in_jwks: bool, on_servers: bool) -> Self {
        if let Stage::Draining {
            intent,
            public,
            cluster,
            ..
        } = &mut self.stage
        {
            let track = |stays| {
                if stays {
                    Track::Held
                } else {
                    Track::Leaving { intent: *intent }
                }
            };
            (*public, *cluster) = (track(in_jwks), track(on_servers));
        }
        self
    }
}

/// `at` and then `wait`, or the end of time.
pub(crate) fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
