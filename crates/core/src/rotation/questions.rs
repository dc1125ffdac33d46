//! One question for each kind of step. Each looks at the whole scene and answers for itself; their order is in
//! [`super::decide`].

use super::block::Block;
use super::guard::Guard;
use super::holds::{Side, holds};
use super::scene::Scene;
use super::step::{Action, Reason, Step, Wait};
use crate::kid::Kid;
use crate::observation::{Loaded, Server};
use crate::policy::{MOST_KEYS, spell};
use crate::proof::{Promotion, PublishedProof, TrustedProof};
use crate::ring::{RingKey, Stage, Track, What};

/// Is there an API server that cannot be seen?
pub(super) fn blind(scene: &Scene<'_>) -> Option<Step> {
    let unreachable = scene.observed.servers.iter().filter_map(unreachable);
    let waits: Vec<Wait> = unreachable.collect();
    (!waits.is_empty()).then_some(Step::Wait(waits))
}

/// What an API server that cannot be seen is waited for with.
pub(super) fn unreachable(server: &Server) -> Option<Wait> {
    match &server.loaded {
        Loaded::Serving { .. } => None,
        Loaded::Unreachable { why } => Some(Wait {
            until: None,
            reason: Reason::Unreachable {
                server: server.name.clone(),
                why: why.clone(),
            },
        }),
    }
}

/// Is there a next key that can never sign?
pub(super) fn give_up(scene: &Scene<'_>) -> Option<Step> {
    let next = scene.ring.next()?;
    let durable = scene.observed.at_rest.contains(&next.kid);
    let why = if next.compromised.is_some() {
        "it is compromised and has never signed"
    } else if !scene.holds(Guard::PrivateDurable, durable) {
        "its private half was never stored, or is lost"
    } else {
        return None;
    };
    let ring = scene.ring.abandoned(&next.kid, why.into(), scene.now);
    Some(Step::Save(Box::new(ring)))
}

/// Is a key missing from the JWKS?
pub(super) fn publish(scene: &Scene<'_>) -> Option<Step> {
    let wanted = scene
        .ring
        .keys()
        .iter()
        .filter(|key| key.is_public() && !scene.is_burnt(key));
    wanted
        .flat_map(|key| scene.sinks_without(&key.kid).map(move |sink| (key, sink)))
        .next()
        .map(|(key, sink)| {
            Step::Act(Action::Publish {
                kid: key.kid.clone(),
                sink: sink.to_owned(),
            })
        })
}

/// Is a key missing from an API server whose files are here?
pub(super) fn trust(scene: &Scene<'_>) -> Option<Step> {
    let (key, server) = untrusted(scene).find(|(_, server)| server.disk.is_some())?;
    Some(Step::Act(Action::Trust {
        kid: key.kid.clone(),
        server: server.name.clone(),
    }))
}

pub(super) fn untrusted<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a RingKey, &'a Server)> {
    let wanted = scene
        .ring
        .keys()
        .iter()
        .filter(|key| key.is_trusted() && !scene.is_burnt(key));
    let (scene, servers) = (*scene, &scene.observed.servers);
    wanted.flat_map(move |key| {
        let lacking = servers
            .iter()
            .filter(move |server| !scene.trusts(server, &key.kid));
        lacking.map(move |server| (key, server))
    })
}

/// Is there an API server here, or the controller-manager beside it, that does not yet sign with the chosen key?
pub(super) fn promote(scene: &Scene<'_>) -> Option<Step> {
    let unsaved = scene
        .ring
        .next()
        .filter(|_| scene.holds(Guard::ChosenFirst, false));
    let key = unsaved.or_else(|| scene.ring.signing())?;
    let mut servers = scene.observed.servers.iter();
    let server = servers.find(|server| server.disk.is_some() && scene.lags(server, &key.kid))?;
    if !scene.observed.at_rest.contains(&key.kid) {
        return lost(scene, key, server);
    }
    // Where the tokens of a server are refused everywhere, waiting for caches saves none of them.
    let refused = scene.spent_signer(server).is_some();
    let (published, trusted) = proofs(scene, key, refused)?;
    Promotion::new(&server.name, published, trusted)
        .map(|promotion| Step::Act(Action::Promote(promotion)))
}

/// No run can switch a server to a key whose private half is not at rest. Who has asked for another key has been told,
/// and gets one.
fn lost(scene: &Scene<'_>, key: &RingKey, server: &Server) -> Option<Step> {
    let asked = scene.ring.requested().is_some() || key.compromised.is_some();
    let replaced = scene.ring.next().is_some() || asked;
    (!replaced).then(|| {
        Step::Blocked(Block::PrivateLost {
            kid: key.kid.clone(),
            server: server.name.clone(),
        })
    })
}

fn proofs(
    scene: &Scene<'_>,
    key: &RingKey,
    at_once: bool,
) -> Option<(PublishedProof, TrustedProof)> {
    let seen = match &key.stage {
        Stage::Next(seen) | Stage::Signing { seen, .. } => seen,
        Stage::Draining { .. } => return None,
    };
    Some((
        PublishedProof::of(scene, &key.kid, seen, at_once)?,
        TrustedProof::of(scene, &key.kid, seen, at_once)?,
    ))
}

/// Is there an API server whose tokens are refused, and that no run here can switch?
pub(super) fn spent(scene: &Scene<'_>) -> Option<Step> {
    let key = scene.ring.signing()?;
    let mut servers = scene.observed.servers.iter();
    let (server, kid) = servers.find_map(|server| {
        let kid = scene.spent_signer(server)?;
        let adopted = scene.ring.key(kid).is_some_and(RingKey::never_published);
        (!adopted).then_some((server, kid))
    })?;
    // Nothing is held up for a key that no server can be, or shall be, switched to: the next one mends this server too.
    if !scene.observed.at_rest.contains(&key.kid) {
        return lost(scene, key, server);
    }
    if key.compromised.is_some() {
        return None;
    }
    let lacking: Vec<String> = scene
        .observed
        .servers
        .iter()
        .filter(|other| other.name != server.name && !scene.trusts(other, &key.kid))
        .map(|other| other.name.clone())
        .collect();
    // A run that is there switches it as soon as the JWKS shows the key, and says so.
    if server.disk.is_some() && lacking.is_empty() {
        return None;
    }
    Some(Step::Blocked(Block::SpentSigner {
        server: server.name.clone(),
        kid: kid.clone(),
        current: key.kid.clone(),
        lacking,
    }))
}

/// May the next key become the one that signs?
pub(super) fn choose(scene: &Scene<'_>) -> Option<Step> {
    let next = scene.ring.next()?;
    let (published, trusted) = proofs(scene, next, false)?;
    if unexpected_refusals(scene).next().is_some() {
        return None;
    }
    let why = format!(
        "it has been published since {} and trusted everywhere since {}",
        published.since(),
        trusted.since()
    );
    Some(Step::Save(Box::new(
        scene.ring.chosen(&next.kid, why, scene.now),
    )))
}

pub(super) fn refusals(scene: &Scene<'_>) -> impl Iterator<Item = Reason> {
    refused(scene).map(|(server, of)| Reason::Refuses {
        server: server.name.clone(),
        of: of.clone(),
    })
}

/// Those that a next key does not mend. The tokens of a server that signs with a retired key are refused for that, and
/// the next key is what it is switched to.
fn unexpected_refusals<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Server, &'a String)> {
    let scene = *scene;
    refused(&scene).filter(move |(_, of)| {
        let mut servers = scene.observed.servers.iter();
        let signer = servers.find(|server| server.name == **of);
        signer.is_none_or(|signer| scene.spent_signer(signer).is_none())
    })
}

/// A server, and another one whose fresh token it refuses.
fn refused<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Server, &'a String)> + use<'a> {
    scene.observed.servers.iter().flat_map(|server| {
        let refuses = match &server.loaded {
            Loaded::Serving { refuses, .. } => Some(refuses),
            Loaded::Unreachable { .. } => None,
        };
        let all = refuses.into_iter().flatten();
        all.map(move |of| (server, of))
    })
}

/// Is a key in the JWKS that must not be there?
pub(super) fn withdraw(scene: &Scene<'_>) -> Option<Step> {
    let unwanted = scene
        .unwanted(true)
        .into_iter()
        .filter(|(kid, intent)| is_quiet(scene, kid, *intent));
    let (kid, sink) = unwanted
        .flat_map(|(kid, _)| scene.sinks_with(kid).map(move |sink| (kid, sink)))
        .next()?;
    Some(Step::Act(Action::Withdraw {
        kid: kid.clone(),
        sink: sink.to_owned(),
    }))
}

/// Does an API server here trust a key that it must not trust?
pub(super) fn distrust(scene: &Scene<'_>) -> Option<Step> {
    let (kid, server) = unwanted_trust(scene).find(|(_, server)| server.disk.is_some())?;
    Some(Step::Act(Action::Distrust {
        kid: kid.clone(),
        server: server.name.clone(),
    }))
}

pub(super) fn unwanted_trust<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Kid, &'a Server)> {
    let unwanted = scene.unwanted(false).into_iter();
    let (scene, servers) = (*scene, &scene.observed.servers);
    unwanted
        .filter(move |(kid, intent)| is_quiet(&scene, kid, *intent))
        .flat_map(move |(kid, intent)| {
            let trusting = servers
                .iter()
                .filter(move |server| scene.may_trust(server, kid, intent));
            trusting.map(move |server| (kid, server))
        })
}

/// Whether no server signs with a key. A backup that was put back may have revived one that had gone.
fn is_quiet(scene: &Scene<'_>, kid: &Kid, intent: u64) -> bool {
    let servers = &scene.observed.servers;
    scene.holds(
        Guard::Quiet,
        !servers
            .iter()
            .any(|server| scene.may_sign(server, kid, intent)),
    )
}

/// Has a draining key done its time? If it has gone, is anything left of it?
pub(super) fn retire(scene: &Scene<'_>) -> Option<Step> {
    let draining = scene
        .ring
        .keys()
        .iter()
        .find_map(|key| retire_one(scene, key));
    draining.or_else(|| {
        // Stored by a run that was overtaken, or whose record was lost: it is in no JWKS and on no server, or the run
        // would have stopped at it.
        let mut strays = scene
            .observed
            .remains
            .iter()
            .filter(|kid| scene.ring.key(kid).is_none());
        strays
            .next()
            .map(|kid| Step::Act(Action::Erase { kid: kid.clone() }))
    })
}

fn retire_one(scene: &Scene<'_>, key: &RingKey) -> Option<Step> {
    let (public, cluster) = match &key.stage {
        Stage::Next(_) | Stage::Signing { .. } => return None,
        Stage::Draining {
            public, cluster, ..
        } => (*public, *cluster),
    };
    let save = |ring| Some(Step::Save(Box::new(ring)));
    let over = |at, guard| scene.holds(guard, scene.now >= at);
    if let Some((public_end, cluster_end)) = scene.drained_at(key)
        && refusals(scene).next().is_none()
    {
        if public == Track::Held
            && over(public_end, Guard::PublicDrain)
            && holds(scene, key, Side::Public).is_empty()
        {
            let why = "no token of it for an external audience is alive";
            return save(
                scene
                    .ring
                    .leaving(&key.kid, What::Retired, why.into(), scene.now),
            );
        }
        if cluster == Track::Held
            && over(cluster_end, Guard::ClusterDrain)
            && holds(scene, key, Side::Cluster).is_empty()
        {
            let why = "no token of it for the API server is alive";
            return save(
                scene
                    .ring
                    .leaving(&key.kid, What::Disowned, why.into(), scene.now),
            );
        }
    }
    let gone = matches!((public, cluster), (Track::Gone { .. }, Track::Gone { .. }));
    // Also what cannot be read: it may be the key, behind a mode or a fault that is mended some day.
    match (scene.observed.remains.contains(&key.kid), gone) {
        (true, _) if scene.holds(Guard::GoneFirst, gone) => Some(Step::Act(Action::Erase {
            kid: key.kid.clone(),
        })),
        (false, true) => save(scene.ring.buried(&key.kid, scene.now)),
        (true | false, _) => None,
    }
}

/// Is a rotation due?
pub(super) fn create(scene: &Scene<'_>) -> Option<Step> {
    let signing = scene.ring.signing()?;
    let settled = scene
        .observed
        .servers
        .iter()
        .all(|server| scene.signs(server, &signing.kid));
    let compromised = signing.compromised.is_some();
    // One that cannot be placed any more is replaced by the next, with all waits, when that was asked for.
    let lost = !scene.observed.at_rest.contains(&signing.kid);
    let free = settled || compromised || lost;
    if scene.ring.next().is_some() || scene.now < scene.due_at() || !free {
        return None;
    }
    let count = scene.ring.keys().len();
    if count >= MOST_KEYS {
        return Some(Step::Blocked(Block::TooManyKeys {
            count,
            limit: MOST_KEYS,
        }));
    }
    let why = if compromised {
        format!("{} is compromised", signing.kid)
    } else if scene.ring.requested().is_some() {
        "a rotation was asked for".to_owned()
    } else {
        format!(
            "{} has signed for {}",
            signing.kid,
            spell(scene.policy.period())
        )
    };
    Some(Step::Act(Action::Create { why }))
}
