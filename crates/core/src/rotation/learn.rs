//! What the ring learns from an observation: since when something is so. It decides nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::scene::Scene;
use crate::observation::StaleTokens;
use crate::ring::timing::Waits;
use crate::ring::{KeyRing, RingKey, Seen, ServerRecord, Stage, StaleRecord, Track};

/// The ring with what was seen in it; `None` if it knew everything. Learning twice is learning once.
pub(super) fn learn(scene: &Scene<'_>) -> Option<KeyRing> {
    let servers = reports(scene);
    let keys: Vec<RingKey> = scene
        .ring
        .keys()
        .iter()
        .map(|key| look_at(scene, key))
        .collect();
    let waits = Waits::of(scene.policy, scene.observed);
    let timing = scene.ring.timing().learned(waits, scene.now);
    let news = servers != *scene.ring.servers()
        || keys != scene.ring.keys()
        || timing != *scene.ring.timing();
    let known = scene.ring.keys_place();
    let seen = scene.observed.keys_place.as_deref();
    let keys_place = known.or(seen).map(str::to_owned);
    let news = news || keys_place.as_deref() != known;
    news.then(|| {
        scene
            .ring
            .with_facts(keys, servers, timing, keys_place, scene.now)
    })
}

/// The reports of nodes: a new one where a run sits on the node and the last report differs, or is older than a
/// decision that waits for it.
fn reports(scene: &Scene<'_>) -> BTreeMap<String, ServerRecord> {
    let ring = scene.ring;
    let newest = ring
        .keys()
        .iter()
        .map(RingKey::intent)
        .max()
        .unwrap_or_default();
    let mut servers = ring.servers().clone();
    // None is struck off here: one that is away may come back with the files that it had.
    for server in &scene.observed.servers {
        let record = servers.entry(server.name.clone()).or_default();
        if let Some(disk) = &server.disk
            && (record.disk.as_ref() != Some(disk) || record.generation < newest)
        {
            record.disk = Some(disk.clone());
            record.generation = ring.generation();
        }
        if let Some(stale) = server.stale {
            record.stale = Some(count(record.stale.as_ref(), stale, scene.now));
        }
    }
    servers
}

/// What a counter of stale tokens says now. It begins anew with each process, and a count of a process that was not
/// known counts as risen now: later than it was, so that a key is kept for longer.
fn count(before: Option<&StaleRecord>, seen: StaleTokens, now: Timestamp) -> StaleRecord {
    let known = before.filter(|before| before.seen.started == seen.started);
    let rose = seen.count > known.map_or(0, |known| known.seen.count);
    StaleRecord {
        seen,
        rose: if rose {
            Some(now)
        } else {
            before.and_then(|before| before.rose)
        },
    }
}

fn look_at(scene: &Scene<'_>, key: &RingKey) -> RingKey {
    let stage = match &key.stage {
        Stage::Next(seen) => Stage::Next(look(scene, key, seen)),
        Stage::Signing {
            since,
            seen,
            longest,
        } => Stage::Signing {
            since: *since,
            seen: look(scene, key, seen),
            longest: longest.max(scene.observed.longest),
        },
        Stage::Draining {
            intent,
            quiet_since,
            longest,
            public,
            cluster,
        } => {
            let quiet = scene.signers(key).is_empty();
            Stage::Draining {
                intent: *intent,
                quiet_since: quiet.then(|| quiet_since.unwrap_or(scene.now)),
                // Also at the first look at which it is quiet: a key that was taken over has been seen at no other.
                longest: if quiet && quiet_since.is_some() {
                    *longest
                } else {
                    longest.max(scene.observed.longest)
                },
                public: gone_public(scene, key, *public),
                cluster: gone_cluster(scene, key, *cluster),
            }
        }
    };
    RingKey {
        stage,
        ..key.clone()
    }
}

/// A gap sets a clock back to its beginning.
fn look(scene: &Scene<'_>, key: &RingKey, seen: &Seen) -> Seen {
    let since = |now_so: bool, since: Option<Timestamp>| now_so.then(|| since.unwrap_or(scene.now));
    Seen {
        published: since(scene.is_published(&key.kid), seen.published),
        trusted: since(scene.is_trusted_everywhere(&key.kid), seen.trusted),
    }
}

fn gone_public(scene: &Scene<'_>, key: &RingKey, track: Track) -> Track {
    let seen = scene.is_seen_anywhere(&key.kid);
    match track {
        Track::Held => Track::Held,
        Track::Leaving { intent } | Track::Gone { intent } if seen => Track::Leaving { intent },
        Track::Leaving { intent } | Track::Gone { intent } => Track::Gone { intent },
    }
}

fn gone_cluster(scene: &Scene<'_>, key: &RingKey, track: Track) -> Track {
    let may_trust = |intent| {
        let servers = &scene.observed.servers;
        servers
            .iter()
            .any(|server| scene.may_trust(server, &key.kid, intent))
    };
    match track {
        Track::Held => Track::Held,
        Track::Leaving { intent } | Track::Gone { intent } if may_trust(intent) => {
            Track::Leaving { intent }
        }
        Track::Leaving { intent } | Track::Gone { intent } => Track::Gone { intent },
    }
}
