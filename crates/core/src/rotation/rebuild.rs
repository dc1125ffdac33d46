//! A ring from the world alone: at the first run, and after the record was lost.
//!
//! What only the record knew is taken in the safe direction. Every key that a server trusts counts as one that has
//! signed a moment ago, so it drains with its clocks at zero; the key that servers sign with goes on signing. A key that
//! was on its way to sign drains and goes: that costs a rotation, and no token. A key in the JWKS that no server of this
//! cluster trusts may be somebody else's, and stops the run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::block::Block;
use super::questions::unreachable;
use super::step::Step;
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
    if let Some(wait) = observed.servers.iter().find_map(unreachable) {
        return Err(Step::Wait(vec![wait]));
    }
    let signers = signers(observed);
    // Where a promotion was half done any of its two keys is right: both are published and trusted. The one that more
    // servers sign with needs fewer restarts.
    let most = signers.iter().max_by_key(|(_, count)| **count);
    let Some((current, _)) = most else {
        return Err(Step::Blocked(Block::NoServers));
    };
    let ours = ours(observed);
    if let Some(block) = unexplained(issuer, observed, &ours) {
        return Err(Step::Blocked(block));
    }
    let keys = ours.iter().map(|kid| {
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
            RingKey::draining((*kid).clone(), 0, now)
                .held(observed.is_in_a_jwks(kid), observed.is_on_a_server(kid))
        }
    });
    let why = format!("{current} signs; every other key drains from now on");
    Ok(KeyRing::new(issuer, keys.collect(), now).begun(why, now))
}

/// How many processes and files sign with each key.
fn signers(observed: &Observation) -> BTreeMap<&Kid, usize> {
    let mut signers: BTreeMap<&Kid, usize> = BTreeMap::new();
    for server in &observed.servers {
        let loaded = match &server.loaded {
            Loaded::Serving { signing, .. } => Some(signing),
            Loaded::Unreachable { .. } => None,
        };
        let disk = server.disk.as_ref().map(|disk| &disk.signing);
        for kid in loaded.into_iter().chain(disk) {
            *signers.entry(kid).or_default() += 1;
        }
    }
    signers
}

/// Every key that is this cluster's.
fn ours(observed: &Observation) -> BTreeSet<&Kid> {
    // A private key that no server trusts belongs to a rotation that had just begun: it is ours and goes too.
    let mut ours: BTreeSet<&Kid> = observed.at_rest.iter().collect();
    for server in &observed.servers {
        if let Loaded::Serving {
            trusted, signing, ..
        } = &server.loaded
        {
            ours.extend(trusted);
            ours.insert(signing);
        }
        if let Some(disk) = &server.disk {
            ours.extend(&disk.trusted);
            ours.insert(&disk.signing);
            // What a controller-manager signs with, or an earlier rotation left on this node, is ours too.
            ours.extend(&disk.controller);
            ours.extend(&disk.copies);
        }
    }
    ours
}

/// A published key that is not ours.
fn unexplained(issuer: &IssuerUrl, observed: &Observation, ours: &BTreeSet<&Kid>) -> Option<Block> {
    let places = observed.sinks.iter().chain(&observed.served);
    let sets = places.map(|sink| (sink.name.as_str(), &sink.published));
    sets.chain([(issuer.as_str(), &observed.public)])
        .find_map(|(place, set)| {
            let mut kids = set.kids.iter();
            let unknown = kids.find(|kid| !ours.contains(kid)).map(Kid::to_string);
            let kid = unknown.or_else(|| set.foreign.first().cloned())?;
            let place = place.to_owned();
            Some(Block::UnknownPublished { kid, place })
        })
}
