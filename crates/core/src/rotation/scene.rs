//! What a decision is made from, and the questions that are asked of it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::guard::{Guard, Guards};
use crate::kid::Kid;
use crate::observation::{Disk, Loaded, Observation, Server};
use crate::policy::RotationPolicy;
use crate::ring::timing::Timer;
use crate::ring::{KeyRing, RingKey, Stage, Track, after};

/// The ring, the policy, the world and the time.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) ring: &'a KeyRing,
    pub(crate) policy: &'a RotationPolicy,
    pub(crate) observed: &'a Observation,
    pub(crate) now: Timestamp,
    pub(crate) guards: Guards,
}

impl<'a> Scene<'a> {
    pub(crate) fn holds(&self, guard: Guard, condition: bool) -> bool {
        self.guards.hold(guard, condition)
    }

    /// Whether everyone who fetches the JWKS now gets this key, wherever the request ends up.
    pub(crate) fn is_published(&self, kid: &Kid) -> bool {
        let mut served = self.observed.served.iter();
        self.observed.public.kids.contains(kid)
            && served.all(|place| place.published.kids.contains(kid))
            && self.sinks_without(kid).next().is_none()
    }

    /// Whether anyone may still fetch a JWKS with this key.
    pub(crate) fn is_seen_anywhere(&self, kid: &Kid) -> bool {
        let mut served = self.observed.served.iter();
        self.observed.public.kids.contains(kid)
            || served.any(|place| place.published.kids.contains(kid))
            || self.sinks_with(kid).next().is_some()
    }

    /// Whether anything of this key is anywhere: seen now, or reported by a node.
    pub(crate) fn is_anywhere(&self, kid: &Kid) -> bool {
        let reported = || {
            let mut records = self.ring.servers().values();
            records.any(|record| record.disk.as_ref().is_some_and(|disk| disk.has(kid)))
        };
        self.observed.is_anywhere(kid) || reported()
    }

    /// Whether tokens are, or may be, accepted that a stranger signs with a compromised key. One of which nothing is left
    /// anywhere is lost, and no token of it is accepted.
    pub(crate) fn is_emergency(&self) -> bool {
        self.ring.emergencies().any(|kid| self.is_anywhere(kid))
    }

    /// Whether a key is put back nowhere: a compromised one that shall sign no more, or of which nothing is left.
    pub(crate) fn is_burnt(&self, key: &RingKey) -> bool {
        key.compromised.is_some()
            && (matches!(key.stage, Stage::Draining { .. }) || !self.is_anywhere(&key.kid))
    }

    /// The sinks that lack a key.
    pub(crate) fn sinks_without(&self, kid: &Kid) -> impl Iterator<Item = &'a str> {
        let sinks = self.observed.sinks.iter();
        sinks
            .filter(move |sink| !sink.published.kids.contains(kid))
            .map(|sink| sink.name.as_str())
    }

    /// The sinks that have a key.
    pub(crate) fn sinks_with(&self, kid: &Kid) -> impl Iterator<Item = &'a str> {
        let sinks = self.observed.sinks.iter();
        sinks
            .filter(move |sink| sink.published.kids.contains(kid))
            .map(|sink| sink.name.as_str())
    }

    /// What a server's files say: as seen now, or as its node reported.
    pub(crate) fn disk(&self, server: &'a Server) -> Option<&'a Disk> {
        let reported = || self.ring.servers().get(&server.name)?.disk.as_ref();
        server.disk.as_ref().or_else(reported)
    }

    /// Whether a server's node has reported, or reports now, after a decision of this generation.
    pub(crate) fn has_reported_since(&self, server: &Server, intent: u64) -> bool {
        let reported = self.ring.servers().get(&server.name);
        let fresh =
            reported.is_some_and(|record| record.disk.is_some() && record.generation >= intent);
        server.disk.is_some() || self.holds(Guard::FreshReport, fresh)
    }

    /// Whether a server accepts tokens of a key, now and after a restart.
    pub(crate) fn trusts(&self, server: &'a Server, kid: &Kid) -> bool {
        let loaded =
            matches!(&server.loaded, Loaded::Serving { trusted, .. } if trusted.contains(kid));
        let disk = self
            .disk(server)
            .is_some_and(|disk| disk.trusted.contains(kid));
        loaded && self.holds(Guard::Disk, disk)
    }

    /// Whether every server accepts tokens of a key, now and after a restart.
    pub(crate) fn is_trusted_everywhere(&self, kid: &Kid) -> bool {
        self.observed
            .servers
            .iter()
            .all(|server| self.trusts(server, kid))
    }

    /// Whether a server accepts tokens of a key, or may do so after a restart, or its node keeps a copy of the key. Of a
    /// server that is not seen, or whose node has not reported since the decision, anything may be true.
    pub(crate) fn may_trust(&self, server: &'a Server, kid: &Kid, intent: u64) -> bool {
        let loaded = match &server.loaded {
            Loaded::Serving { trusted, .. } => trusted.contains(kid),
            Loaded::Unreachable { .. } => true,
        };
        let disk = self
            .disk(server)
            .is_none_or(|disk| disk.trusted.contains(kid) || disk.copies.contains(kid));
        let unknown = disk || !self.has_reported_since(server, intent);
        loaded || !self.holds(Guard::Disk, !unknown)
    }

    /// Whether a server signs with a key, or may do so after a restart, or the controller-manager beside it does.
    pub(crate) fn may_sign(&self, server: &'a Server, kid: &Kid, intent: u64) -> bool {
        let loaded = match &server.loaded {
            Loaded::Serving { signing, .. } => signing == kid,
            Loaded::Unreachable { .. } => true,
        };
        let disk = self
            .disk(server)
            .is_none_or(|disk| disk.signing == *kid || disk.controller.as_ref() == Some(kid));
        let unknown = disk || !self.has_reported_since(server, intent);
        loaded || !self.holds(Guard::Disk, !unknown)
    }

    /// Whether a server signs with this key and no other, now and after a restart.
    pub(crate) fn signs(&self, server: &'a Server, kid: &Kid) -> bool {
        let loaded = matches!(&server.loaded, Loaded::Serving { signing, .. } if signing == kid);
        loaded && self.disk(server).is_some_and(|disk| disk.signing == *kid)
    }

    /// Whether a server, or the controller-manager beside it, must be switched to this key. A controller-manager that
    /// has had a key of its own since before the first rotation is switched by the next one: the key that signs now may
    /// be nowhere but at the API server's own path.
    pub(crate) fn lags(&self, server: &'a Server, kid: &Kid) -> bool {
        let controller = self.disk(server).and_then(|disk| disk.controller.as_ref());
        let apart = controller.is_some_and(|controller| controller != kid);
        !self.signs(server, kid) || apart && self.observed.at_rest.contains(kid)
    }

    /// The key that a server signs with, now or after a restart, although its tokens are refused: it has left the JWKS or
    /// the API servers, or is on its way out. No decision of a run leads there: a manifest that was made anew does, or a
    /// node that joined with old key material.
    pub(crate) fn spent_signer(&self, server: &'a Server) -> Option<&'a Kid> {
        let loaded = match &server.loaded {
            Loaded::Serving { signing, .. } => Some(signing),
            Loaded::Unreachable { .. } => None,
        };
        let disk = self.disk(server).map(|disk| &disk.signing);
        loaded
            .into_iter()
            .chain(disk)
            .find(|kid| self.is_retired(kid))
    }

    fn is_retired(&self, kid: &Kid) -> bool {
        let leaves = |key: &RingKey| !(key.is_public() && key.is_trusted());
        self.ring.tombstones().contains(kid) || self.ring.key(kid).is_some_and(leaves)
    }

    /// The servers that may still sign with a draining key.
    pub(crate) fn signers(&self, key: &RingKey) -> Vec<&'a str> {
        let Stage::Draining { intent, .. } = key.stage else {
            return Vec::new();
        };
        let servers = self.observed.servers.iter();
        servers
            .filter(|server| self.may_sign(server, &key.kid, intent))
            .map(|server| server.name.as_str())
            .collect()
    }

    /// When a key that has been somewhere since `since` may sign. Nobody waits while tokens of a compromised key are
    /// accepted everywhere.
    pub(crate) fn aged_at(&self, since: Timestamp) -> Timestamp {
        if self.is_emergency() {
            return since;
        }
        let wait = self.policy.publish_wait();
        self.ring.timing().end(Timer::PublishWait, since, wait)
    }

    /// When a draining key may leave the JWKS, and when the API servers; `None` while a server signs with it.
    pub(crate) fn drained_at(&self, key: &RingKey) -> Option<(Timestamp, Timestamp)> {
        let Stage::Draining {
            quiet_since,
            longest,
            ..
        } = &key.stage
        else {
            return None;
        };
        let quiet = if self.holds(Guard::Quiet, quiet_since.is_some()) {
            quiet_since.unwrap_or(key.created)
        } else {
            return None;
        };
        if key.compromised.is_some() {
            return Some((quiet, quiet));
        }
        let public = self.policy.public_drain(longest.public);
        let cluster = self.policy.cluster_drain(longest.cluster);
        let timing = self.ring.timing();
        Some((
            timing.end(Timer::PublicDrain, quiet, public),
            timing.end(Timer::ClusterDrain, quiet, cluster),
        ))
    }

    /// When the next rotation is due by the calendar, or by request.
    pub(crate) fn due_at(&self) -> Timestamp {
        let Some(RingKey {
            stage: Stage::Signing { since, .. },
            compromised,
            ..
        }) = self.ring.signing()
        else {
            return self.now;
        };
        if compromised.is_some() || self.ring.requested().is_some() {
            return self.now;
        }
        after(*since, self.policy.period())
    }

    /// The kids that must be nowhere: spent, or on their way out of the JWKS (`public`) or of the API servers.
    pub(crate) fn unwanted(&self, public: bool) -> BTreeSet<(&'a Kid, u64)> {
        let leaves = |key: &RingKey| match &key.stage {
            Stage::Next(_) | Stage::Signing { .. } => false,
            Stage::Draining {
                public: p, cluster, ..
            } => !matches!(if public { p } else { cluster }, Track::Held),
        };
        let leaving = self.ring.keys().iter().filter(|key| leaves(key));
        let leaving = leaving.map(|key| (&key.kid, key.intent()));
        let spent = self.ring.tombstones().iter().map(|kid| (kid, 0));
        let spent = spent.filter(|_| !self.holds(Guard::Tombstone, false));
        leaving.chain(spent).collect()
    }
}
