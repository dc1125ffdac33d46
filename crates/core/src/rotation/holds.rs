//! What keeps a key that has drained by the clock.

use super::guard::Guard;
use super::scene::Scene;
use crate::observation::Hold;
use crate::policy::{STALE_LIFE, STALE_QUIET};
use crate::ring::{RingKey, Stage, after};

/// The two ways that a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Out of the JWKS.
    Public,
    /// Out of the API servers.
    Cluster,
}

/// What keeps a key on one side. A compromised key is kept by nothing.
pub(super) fn holds(scene: &Scene<'_>, key: &RingKey, side: Side) -> Vec<Hold> {
    if key.compromised.is_some() || scene.holds(Guard::Holds, false) {
        return Vec::new();
    }
    let applies = |hold: &&Hold| match hold {
        Hold::LegacySecret { .. } | Hold::StaleTokens { .. } => side == Side::Cluster,
    };
    let found = scene.observed.holds.get(&key.kid).into_iter().flatten();
    let mut found: Vec<Hold> = found.filter(applies).cloned().collect();
    if side == Side::Cluster {
        found.extend(stale(scene, key));
    }
    found
}

/// The API servers where clients were seen lately that never read a new token. Such a client goes on with a token of
/// this key for as long as `--service-account-extend-token-expiration` lets it live, however short a life the policy
/// assumes.
fn stale(scene: &Scene<'_>, key: &RingKey) -> Vec<Hold> {
    // Whatever earlier runs have saved: the counts stay on record for the next rotation.
    if scene.observed.stale_tokens_ignored {
        return Vec::new();
    }
    let Stage::Draining {
        quiet_since: Some(quiet),
        ..
    } = key.stage
    else {
        return Vec::new();
    };
    if scene.now >= after(quiet, STALE_LIFE.saturating_add(scene.policy.skew() * 2)) {
        return Vec::new();
    }
    let servers = scene.ring.servers().iter();
    let lately = servers.filter(|(_, record)| {
        let rose = record.stale.as_ref().and_then(|stale| stale.rose);
        rose.is_some_and(|rose| scene.now < after(rose, STALE_QUIET))
    });
    lately
        .map(|(server, _)| Hold::StaleTokens {
            server: server.clone(),
        })
        .collect()
}
