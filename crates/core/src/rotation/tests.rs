use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::rebuild::rebuild;
use super::simulation::issuer;
use super::simulation::world::{Nodes, World, kid};
use super::*;
use crate::observation::{Hold, Loaded};
use crate::policy::Assumptions;
use crate::ring::{RingKey, Seen, Stage, Track, What};

pub(super) const DAY: i64 = 86_400;

pub(super) fn at(days: i64) -> Timestamp {
    Timestamp::from_second(days * DAY).unwrap()
}

/// A cluster of two servers at rest, seen from every node.
pub(super) fn world() -> World {
    World::new(Assumptions::default(), 2, 1, at(0))
}

pub(super) fn seen(world: &World) -> Observation {
    world.observe(Nodes::of(0..2))
}

/// The ring of that cluster after the first runs.
pub(super) fn ring() -> KeyRing {
    let observed = seen(&world());
    let ring = rebuild(&issuer(), &observed, at(0)).unwrap();
    settle(ring, &observed, at(0)).0
}

/// Saves until something else is asked for.
pub(super) fn settle(mut ring: KeyRing, observed: &Observation, now: Timestamp) -> (KeyRing, Step) {
    for _ in 0..20 {
        match next_step(&ring, &RotationPolicy::default(), observed, now) {
            Step::Save(next) => ring = *next,
            step => return (ring, step),
        }
    }
    panic!("it does not come to rest");
}

pub(super) fn step(ring: &KeyRing, observed: &Observation, now: Timestamp) -> Step {
    settle(ring.clone(), observed, now).1
}

/// A ring with a next key that every server trusts and every sink shows.
pub(super) fn with_next() -> (World, KeyRing) {
    let mut world = world();
    let ring = ring().created(kid(2), "test".into(), at(1));
    world.at_rest.insert(kid(2));
    world.sinks[0].insert(kid(2), at(1));
    world.public = world.sinks[0].clone();
    for server in &mut world.servers {
        server.disk.trusted.insert(kid(2));
        server.loaded = server.disk.clone();
    }
    let ring = settle(ring, &seen(&world), at(1)).0;
    (world, ring)
}

fn acts(step: &Step) -> &Action {
    match step {
        Step::Act(action) => action,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_happens_before_its_day() {
    let observed = seen(&world());
    let Step::Wait(waits) = step(&ring(), &observed, at(89)) else {
        panic!()
    };
    assert_eq!(waits.len(), 1);
    assert_eq!(
        (waits[0].until, &waits[0].reason),
        (Some(at(90)), &Reason::Calendar)
    );
    assert!(matches!(
        acts(&step(&ring(), &observed, at(90))),
        Action::Create { .. }
    ));
}

#[test]
fn asking_twice_gives_the_same_answer() {
    let (world, ring) = with_next();
    let observed = seen(&world);
    let policy = RotationPolicy::default();
    let first = next_step(&ring, &policy, &observed, at(2));
    assert_eq!(first, next_step(&ring, &policy, &observed, at(2)));
}

#[test]
fn each_lack_is_made_good_before_anything_is_promoted() {
    let (full, ring) = with_next();
    let mut world = full.clone();
    world.sinks[0].remove(&kid(2));
    assert!(matches!(
        acts(&step(&ring, &seen(&world), at(5))),
        Action::Publish { .. }
    ));
    let mut world = full.clone();
    world.servers[1].loaded.trusted.remove(&kid(2));
    assert!(
        matches!(acts(&step(&ring, &seen(&world), at(5))), Action::Trust { server, .. } if server == "api-2")
    );
    let mut world = full.clone();
    world.servers[0].disk.trusted.remove(&kid(2));
    assert!(
        matches!(acts(&step(&ring, &seen(&world), at(5))), Action::Trust { server, .. } if server == "api-1")
    );
    let mut world = full;
    world.public.remove(&kid(2));
    assert!(matches!(step(&ring, &seen(&world), at(5)), Step::Wait(_)));
}

#[test]
fn a_promotion_waits_to_the_second_and_a_gap_begins_anew() {
    let (world, ring) = with_next();
    let wait = RotationPolicy::default().publish_wait();
    let ready = at(1).checked_add(wait).unwrap();
    let early = ready.checked_sub(Duration::from_secs(1)).unwrap();
    assert!(matches!(step(&ring, &seen(&world), early), Step::Wait(_)));
    let (chosen, asked) = settle(ring.clone(), &seen(&world), ready);
    assert_eq!(chosen.signing().unwrap().kid, kid(2));
    let Action::Promote(promotion) = acts(&asked) else {
        panic!("{asked:?}")
    };
    assert_eq!(promotion.kid(), &kid(2));
    assert_eq!(promotion.published().since(), at(1));
    assert_eq!(promotion.trusted().servers(), ["api-1", "api-2"]);

    let mut gap = world.clone();
    gap.public.remove(&kid(2));
    let (ring, _) = settle(ring, &seen(&gap), early);
    assert!(matches!(step(&ring, &seen(&world), ready), Step::Wait(_)));
}

#[test]
fn a_run_elsewhere_waits_for_the_node() {
    let (world, ring) = with_next();
    let observed = world.observe(Nodes::of([]));
    let Step::Wait(waits) = step(&ring, &observed, at(5)) else {
        panic!()
    };
    let node = |wait: &Wait| {
        matches!(
            &wait.reason,
            Reason::Node {
                what: What::Promoted,
                ..
            }
        )
    };
    assert_eq!(waits.iter().filter(|wait| node(wait)).count(), 2);
}

#[test]
fn what_the_ring_cannot_explain_stops_the_run() {
    let mut strange = seen(&world());
    strange.sinks[0].published.kids.insert(kid(9));
    assert!(matches!(
        step(&ring(), &strange, at(1)),
        Step::Blocked(Block::UnknownPublished { .. })
    ));
    let mut strange = seen(&world());
    strange.public.foreign.insert("somebody".into());
    assert!(matches!(
        step(&ring(), &strange, at(1)),
        Step::Blocked(Block::UnknownPublished { .. })
    ));
    let mut strange = seen(&world());
    let Loaded::Serving { signing, .. } = &mut strange.servers[0].loaded else {
        panic!()
    };
    *signing = kid(9);
    assert!(matches!(
        step(&ring(), &strange, at(1)),
        Step::Blocked(Block::UnknownSigner { .. })
    ));
    let adopted = ring()
        .adopted(&kid(9), &strange, "x".into(), at(1))
        .unwrap();
    assert!(!matches!(step(&adopted, &strange, at(1)), Step::Blocked(_)));
    let mut none = seen(&world());
    none.servers.clear();
    assert!(matches!(
        step(&ring(), &none, at(1)),
        Step::Blocked(Block::NoServers)
    ));
    let (_, late) = with_next();
    assert!(matches!(
        step(&late, &seen(&world()), at(0)),
        Step::Blocked(Block::ClockWentBack { .. })
    ));
}

#[test]
fn servers_that_leave_or_are_silent_stop_a_rotation() {
    let (world, ring) = with_next();
    let mut observed = seen(&world);
    let gone = observed.servers.pop().unwrap();
    assert!(matches!(
        step(&ring, &observed, at(5)),
        Step::Blocked(Block::ServerLeft { .. })
    ));
    let ring = ring.forgotten(&gone.name, "x".into(), at(5)).unwrap();
    assert!(matches!(
        step(&ring, &observed, at(5)),
        Step::Act(Action::Promote(_))
    ));
    let mut silent = seen(&world);
    silent.servers[1].loaded = Loaded::Unreachable { why: "no".into() };
    let waiting = step(&ring, &silent, at(5));
    assert!(waiting.is_retryable() && matches!(waiting, Step::Wait(_)));
}

/// The end of a rotation: key 1 drains since day 3.
pub(super) fn drained() -> (World, KeyRing) {
    let (mut world, ring) = with_next();
    let ring = settle(ring, &seen(&world), at(3)).0;
    for server in &mut world.servers {
        server.disk.signing = kid(2);
        server.loaded = server.disk.clone();
    }
    let ring = settle(ring, &seen(&world), at(3)).0;
    (world, ring)
}

#[test]
fn the_public_side_goes_after_a_day_and_the_cluster_side_after_a_year() {
    let (world, ring) = drained();
    assert!(matches!(step(&ring, &seen(&world), at(4)), Step::Wait(_)));
    let (retired, asked) = settle(ring, &seen(&world), at(5));
    assert!(matches!(acts(&asked), Action::Withdraw { .. }));
    let mut world = world;
    world.sinks[0].remove(&kid(1));
    world.public.remove(&kid(1));
    let (ring, asked) = settle(retired, &seen(&world), at(5));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    // The calendar asks for another key in the meantime; give that question away.
    let policy = RotationPolicy::new(
        Assumptions::default(),
        crate::policy::Timers {
            period: Some(Duration::from_hours(24 * 1000)),
            ..Default::default()
        },
    )
    .unwrap();
    let mut ring = ring;
    // It learns the timers first.
    for _ in 0..2 {
        let year = next_step(&ring, &policy, &seen(&world), at(370));
        let Step::Save(next) = year else {
            panic!("{year:?}")
        };
        ring = *next;
    }
    let cluster = |key: &RingKey| {
        matches!(
            key.stage,
            Stage::Draining {
                cluster: Track::Leaving { .. },
                ..
            }
        )
    };
    assert!(cluster(ring.key(&kid(1)).unwrap()));
}

#[test]
fn a_legacy_secret_keeps_the_cluster_side() {
    let (world, ring) = drained();
    let mut observed = seen(&world);
    let hold = Hold::LegacySecret { name: "a/b".into() };
    observed.holds.insert(kid(1), BTreeSet::from([hold]));
    let ring = settle(ring, &observed, at(5)).0;
    let kept = |wait: &Wait| matches!(wait.reason, Reason::Held { .. });
    assert!(
        waits(&ring, &RotationPolicy::default(), &observed, at(400))
            .iter()
            .any(kept)
    );
    let Stage::Draining {
        cluster, public, ..
    } = &ring.key(&kid(1)).unwrap().stage
    else {
        panic!()
    };
    assert_eq!(*cluster, Track::Held);
    assert!(matches!(public, Track::Leaving { .. }));
}

#[test]
fn a_compromised_current_key_is_replaced_without_waiting() {
    let (world, ring) = with_next();
    let ring = ring.compromised(&kid(1), "stolen".into(), at(1)).unwrap();
    assert!(ring.is_emergency());
    assert!(matches!(
        acts(&step(&ring, &seen(&world), at(1))),
        Action::Promote(_)
    ));
    let (moved, ring) = drained();
    let ring = ring.compromised(&kid(1), "stolen".into(), at(3)).unwrap();
    assert!(!ring.is_emergency(), "nobody signs with it any more");
    assert!(matches!(
        acts(&step(&ring, &seen(&moved), at(3))),
        Action::Withdraw { .. }
    ));
}

#[test]
fn a_lost_ring_is_rebuilt_with_its_clocks_at_zero() {
    let (world, _) = with_next();
    let ring = rebuild(&issuer(), &seen(&world), at(7)).unwrap();
    assert_eq!(ring.signing().unwrap().kid, kid(1));
    let Stage::Signing {
        since, seen: sight, ..
    } = &ring.signing().unwrap().stage
    else {
        panic!()
    };
    assert_eq!((*since, *sight), (at(7), Seen::default()));
    assert!(matches!(
        ring.key(&kid(2)).unwrap().stage,
        Stage::Draining {
            quiet_since: None,
            ..
        }
    ));
    let mut foreign = seen(&world);
    foreign.public.kids.insert(kid(9));
    assert!(matches!(
        rebuild(&issuer(), &foreign, at(7)),
        Err(Step::Blocked(Block::UnknownPublished { .. }))
    ));
}
