//! What stops a run: a world that the ring cannot explain, or that cannot be seen well enough.

use std::collections::BTreeSet;

use super::block::Block;
use super::scene::Scene;
use super::step::Step;
use crate::kid::Kid;
use crate::observation::{Loaded, Server};
use crate::ring::after;
use crate::ring::timing::Waits;

/// Is there anything that this ring cannot explain?
pub(super) fn stranger(scene: &Scene<'_>) -> Option<Step> {
    let (ring, observed) = (scene.ring, scene.observed);
    let places = observed
        .sinks
        .iter()
        .chain(&observed.served)
        .map(|sink| (sink.name.as_str(), &sink.published));
    let unknown_published =
        places
            .chain([(ring.issuer(), &observed.public)])
            .find_map(|(place, set)| {
                let ours = set
                    .kids
                    .iter()
                    .find(|kid| !ring.knows(kid))
                    .map(Kid::to_string);
                let kid = ours.or_else(|| set.foreign.first().cloned())?;
                let place = place.to_owned();
                Some(Block::UnknownPublished { kid, place })
            });
    let unknown_on_server = || {
        observed
            .servers
            .iter()
            .find_map(|server| stranger_on(scene, server))
    };
    let block = elsewhere(scene)
        .or_else(|| outdated(scene))
        .or(unknown_published)
        .or_else(unknown_on_server)
        .or_else(|| unsound(scene));
    block.map(Step::Blocked)
}

/// Is this another place of private keys than the one that earlier runs have used? What is not found here would be given
/// up, and another node would do the same with what is made here.
fn elsewhere(scene: &Scene<'_>) -> Option<Block> {
    let expected = scene.ring.keys_place()?;
    let found = scene.observed.keys_place.as_deref();
    (found != Some(expected)).then(|| Block::OtherKeyPlace {
        expected: expected.to_owned(),
        found: found.unwrap_or("none").to_owned(),
    })
}

/// Is the key that shall sign nowhere at all, although everything is seen? A ring that was put back from a backup names
/// one that has been destroyed since.
fn outdated(scene: &Scene<'_>) -> Option<Block> {
    let signing = scene.ring.signing()?;
    let seen = scene
        .observed
        .servers
        .iter()
        .all(|server| matches!(server.loaded, Loaded::Serving { .. }));
    (seen && signing.compromised.is_none() && !scene.is_anywhere(&signing.kid)).then(|| {
        Block::RingOutdated {
            kid: signing.kid.clone(),
        }
    })
}

/// Are there other servers than there should be, or other clocks?
fn unsound(scene: &Scene<'_>) -> Option<Block> {
    let (ring, observed) = (scene.ring, scene.observed);
    let left = || {
        let mut known = ring.servers().keys();
        let left = known.find(|name| !observed.servers.iter().any(|server| server.name == **name));
        left.map(|server| Block::ServerLeft {
            server: server.clone(),
        })
    };
    let unlisted = || {
        let (nodes, servers) = (&observed.control_planes, observed.servers.len());
        (nodes.len() > servers).then(|| Block::ServerUnlisted {
            nodes: nodes.iter().cloned().collect(),
            servers,
        })
    };
    let no_servers = || observed.servers.is_empty().then_some(Block::NoServers);
    let clock = || {
        let (now, written) = (scene.now, ring.written());
        (after(now, scene.policy.skew()) < written).then_some(Block::ClockWentBack { now, written })
    };
    let clocks = || {
        let mut clocks = observed.clocks.iter();
        let skew = scene.policy.skew().as_secs();
        let apart = clocks.find(|(_, ahead)| ahead.unsigned_abs() > skew);
        apart.map(|(server, ahead)| Block::ClocksApart {
            server: server.clone(),
            ahead: *ahead,
            skew,
        })
    };
    let served = || {
        let limit = Waits::longest_served(scene.policy);
        // In an emergency nobody waits for caches.
        let stops = observed.max_age > limit && !scene.is_emergency();
        stops.then(|| Block::ServedTooLong {
            place: observed.max_age_at.clone(),
            max_age: observed.max_age,
            limit,
        })
    };
    no_servers()
        .or_else(left)
        .or_else(unlisted)
        .or_else(clock)
        .or_else(clocks)
        .or_else(served)
}

fn stranger_on(scene: &Scene<'_>, server: &Server) -> Option<Block> {
    let mut trusted: BTreeSet<&Kid> = BTreeSet::new();
    let mut signing: BTreeSet<&Kid> = BTreeSet::new();
    if let Loaded::Serving {
        trusted: loaded,
        signing: with,
        refuses: _,
    } = &server.loaded
    {
        trusted.extend(loaded);
        signing.insert(with);
    }
    if let Some(disk) = &server.disk {
        trusted.extend(&disk.trusted);
        signing.insert(&disk.signing);
        signing.extend(&disk.controller);
    }
    let unknown =
        |kids: BTreeSet<&Kid>| kids.into_iter().find(|kid| !scene.ring.knows(kid)).cloned();
    let name = || server.name.clone();
    let signer = unknown(signing).map(|kid| Block::UnknownSigner {
        kid,
        server: name(),
    });
    signer.or_else(|| {
        unknown(trusted).map(|kid| Block::UnknownTrusted {
            kid,
            server: name(),
        })
    })
}
