//! A ring from the world alone: at the first run, and after the record was lost.
//!
//! What only the record knew is taken in the safe direction. Every key that a server trusts counts as one that has
//! signed a moment ago, so it drains with its clocks at zero; the key that servers sign with goes on signing. A key that
//! was on its way to sign drains and goes: that costs a rotation, and no token. A key in the JWKS that no server of this
//! cluster trusts may be somebody else's, and stops the run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::step::{Block, Reason, Step, Wait};
use crate::issuer::IssuerUrl;
use crate::kid::Kid;
use crate::observation::{Lifetimes, Loaded, Observation};
use crate::ring::{KeyRing, RingKey, Seen, Stage};

/// The ring that this observation allows, or why there is none: a [`Step::Wait`] or a [`Step::Blocked`].
#[expect(clippy::result_large_err, reason = "it is asked once in a run")]
pub fn rebuild(
    issuer: &IssuerUrl,
    observed: &Observation,
    now: Timestamp,
) -> Result<KeyRing, Step> {
    let mut signers: BTreeMap<&Kid, usize> = BTreeMap::new();
    let mut trusted: BTreeSet<&Kid> = BTreeSet::new();
    for server in &observed.servers {
        match &server.loaded {
            Loaded::Serving {
                trusted: loaded,
                signing,
                refuses: _,
            } => {
                trusted.extend(loaded);
                *signers.entry(signing).or_default() += 1;
            }
            Loaded::Unreachable { why } => {
                let reason = Reason::Unreachable {
                    server: server.name.clone(),
                    why: why.clone(),
                };
                return Err(Step::Wait(vec![Wait {
                    until: None,
                    reason,
                }]));
            }
        }
        if let Some(disk) = &server.disk {
            trusted.extend(&disk.trusted);
            *signers.entry(&disk.signing).or_default() += 1;
        }
    }
    // Where a promotion was half done any of its two keys is right: both are published and trusted. The one that more
    // servers sign with needs fewer restarts.
    let most = signers.iter().max_by_key(|(_, count)| **count);
    let Some((current, _)) = most else {
        return Err(Step::Blocked(Block::NoServers));
    };
    trusted.extend(signers.keys());
    let on_servers = trusted.clone();
    let disks = observed
        .servers
        .iter()
        .filter_map(|server| server.disk.as_ref());
    for disk in disks {
        // What a controller-manager signs with, or an earlier rotation left on this node, is ours too.
        trusted.extend(&disk.controller);
        trusted.extend(&disk.copies);
    }
    // A private key that no server trusts belongs to a rotation that had just begun: it is ours and goes too.
    trusted.extend(&observed.at_rest);
    let published = observed
        .sinks
        .iter()
        .chain(&observed.served)
        .map(|sink| (sink.name.as_str(), &sink.published));
    for (place, set) in published.chain([(issuer.as_str(), &observed.public)]) {
        let unknown = set
            .kids
            .iter()
            .find(|kid| !trusted.contains(kid))
            .map(Kid::to_string);
        if let Some(kid) = unknown.or_else(|| set.foreign.first().cloned()) {
            let place = place.to_owned();
            return Err(Step::Blocked(Block::UnknownPublished { kid, place }));
        }
    }
    let keys = trusted.iter().map(|kid| {
        if kid == current {
            RingKey {
                kid: (*kid).clone(),
                created: now,
                compromised: None,
                stage: Stage::Signing {
                    since: now,
                    seen: Seen::default(),
                    longest: Lifetimes::default(),
                },
            }
        } else {
            let public = stands_in_a_jwks(observed, kid);
            RingKey::draining((*kid).clone(), 0, now).held(public, on_servers.contains(*kid))
        }
    });
    let why = format!("{current} signs; every other key drains from now on");
    Ok(KeyRing::new(issuer, keys.collect(), now).begun(why, now))
}

/// Whether a key stands in any JWKS: what does not is not put back.
fn stands_in_a_jwks(observed: &Observation, kid: &Kid) -> bool {
    let places = observed.sinks.iter().chain(&observed.served);
    let sinks = places.map(|sink| &sink.published);
    sinks
        .chain([&observed.public])
        .any(|set| set.kids.contains(kid))
}
