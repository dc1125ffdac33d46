//! What else keeps a key, and what is left of it: each case is one that a rotation met or may meet in the world.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::tests::{DAY, at, drained, ring, seen, settle, step, with_next, world};
use super::*;
use crate::observation::{Hold, Published, Sink, StaleTokens};
use crate::policy::{Assumptions, Timers};
use crate::ring::{Stage, Track, What};
use crate::rotation::simulation::world::kid;

/// A policy that takes the word of its operator for it that clients read new tokens.
fn short() -> RotationPolicy {
    let assumptions = Assumptions {
        cluster_token: Duration::from_hours(24),
        ..Assumptions::default()
    };
    let period = Some(Duration::from_hours(24 * 1000));
    RotationPolicy::new(
        assumptions,
        Timers {
            period,
            ..Timers::default()
        },
    )
    .unwrap()
}

fn settle_with(
    policy: &RotationPolicy,
    mut ring: KeyRing,
    observed: &Observation,
    now: Timestamp,
) -> (KeyRing, Step) {
    for _ in 0..20 {
        match next_step(&ring, policy, observed, now) {
            Step::Save(next) => ring = *next,
            step => return (ring, step),
        }
    }
    panic!("it does not come to rest");
}

fn cluster_track(ring: &KeyRing) -> Track {
    match ring.key(&kid(1)).unwrap().stage {
        Stage::Draining { cluster, .. } => cluster,
        Stage::Next(_) | Stage::Signing { .. } => panic!("it does not drain"),
    }
}

#[test]
fn a_controller_manager_that_still_signs_keeps_the_key() {
    let (world, ring) = drained();
    let mut observed = seen(&world);
    let disk = observed.servers[1].disk.as_mut().unwrap();
    disk.controller = Some(kid(1));
    let (ring, asked) = settle(ring, &observed, at(3));
    assert!(
        matches!(&asked, Step::Act(Action::Promote(promotion)) if promotion.server() == "api-2" && *promotion.kid() == kid(2)),
        "{asked:?}"
    );
    let far = waits(&ring, &RotationPolicy::default(), &observed, at(800));
    let still = |wait: &Wait| matches!(&wait.reason, Reason::StillSigns { servers, .. } if *servers == ["api-2"]);
    assert!(far.iter().any(still), "{far:?}");
    observed.servers[1].disk.as_mut().unwrap().controller = Some(kid(2));
    let (_, asked) = settle(ring, &observed, at(4));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
}

#[test]
fn a_controller_manager_with_a_key_of_its_own_waits_for_the_first_rotation() {
    let mut world = world();
    world.at_rest.clear();
    let mut observed = seen(&world);
    observed.servers[0].disk.as_mut().unwrap().controller = Some(kid(7));
    let unknown = step(&ring(), &observed, at(1));
    assert!(
        matches!(unknown, Step::Blocked(Block::UnknownSigner { .. })),
        "{unknown:?}"
    );
    let adopted = ring()
        .adopted(&kid(7), &observed, "x".into(), at(1))
        .unwrap();
    let (_, asked) = settle(adopted, &observed, at(1));
    // It is put where tokens of it are accepted; nothing demands a private half that is nowhere.
    assert!(!matches!(asked, Step::Blocked(_)), "{asked:?}");
}

#[test]
fn a_copy_that_a_crash_left_behind_is_removed() {
    let (world, ring) = drained();
    let ring = ring.leaving(&kid(1), What::Disowned, "x".into(), at(400));
    let mut world = world;
    for server in &mut world.servers {
        server.disk.trusted.remove(&kid(1));
        server.loaded = server.disk.clone();
    }
    let mut observed = seen(&world);
    observed.servers[0].disk.as_mut().unwrap().copies = BTreeSet::from([kid(1), kid(2)]);
    let (ring, asked) = settle_with(&short(), ring, &observed, at(400));
    assert!(
        matches!(&asked, Step::Act(Action::Distrust { kid: of, server }) if *of == kid(1) && server == "api-1"),
        "{asked:?}"
    );
    observed.servers[0].disk.as_mut().unwrap().copies = BTreeSet::from([kid(2)]);
    let (ring, asked) = settle_with(&short(), ring, &observed, at(400));
    assert!(
        matches!(&asked, Step::Act(Action::Withdraw { .. })),
        "{asked:?}"
    );
    observed.sinks[0].published.kids.remove(&kid(1));
    observed.public = observed.sinks[0].published.clone();
    let (_, asked) = settle_with(&short(), ring, &observed, at(400));
    assert!(
        matches!(&asked, Step::Act(Action::Erase { kid: of }) if *of == kid(1)),
        "{asked:?}"
    );
}

#[test]
fn every_served_address_must_agree() {
    let (world, ring) = with_next();
    let mut observed = seen(&world);
    let lagging = Published {
        kids: BTreeSet::from([kid(1)]),
        foreign: BTreeSet::new(),
    };
    let place = |published| Sink {
        name: "https://10.0.0.5/keys.json".into(),
        published,
    };
    observed.served = vec![place(lagging)];
    let (ring, asked) = settle(ring, &observed, at(5));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    let Stage::Next(sight) = ring.next().unwrap().stage else {
        panic!()
    };
    assert_eq!(
        sight.published, None,
        "the clock begins when the last one shows it"
    );
    observed.served = vec![place(observed.public.clone())];
    let (ring, _) = settle(ring, &observed, at(5));
    assert!(matches!(
        step(&ring, &observed, at(7)),
        Step::Act(Action::Promote(_))
    ));

    let (world, ring) = drained();
    let ring = settle(ring, &seen(&world), at(5)).0;
    let mut world = world;
    world.sinks[0].remove(&kid(1));
    world.public.remove(&kid(1));
    let mut observed = seen(&world);
    let stale = Published {
        kids: BTreeSet::from([kid(1), kid(2)]),
        foreign: BTreeSet::new(),
    };
    observed.served = vec![place(stale)];
    let (ring, _) = settle(ring, &observed, at(5));
    let Stage::Draining { public, .. } = ring.key(&kid(1)).unwrap().stage else {
        panic!()
    };
    assert!(matches!(public, Track::Leaving { .. }), "{public:?}");
    let mut strange = seen(&world);
    strange.served = vec![place(Published {
        kids: BTreeSet::from([kid(9)]),
        foreign: BTreeSet::new(),
    })];
    assert!(matches!(
        step(&ring, &strange, at(5)),
        Step::Blocked(Block::UnknownPublished { .. })
    ));
}

#[test]
fn clients_that_never_read_a_new_token_keep_the_key_for_a_year() {
    let (world, ring) = drained();
    // It has been so from the beginning.
    let ring = ring.shortened("x".into(), at(3));
    let mut observed = seen(&world);
    let counted = |started, count| Some(StaleTokens { started, count });
    // It has left the JWKS long ago.
    let (ring, _) = settle_with(&short(), ring, &observed, at(6));
    observed.sinks[0].published.kids.remove(&kid(1));
    observed.public = observed.sinks[0].published.clone();
    observed.servers[0].stale = counted(0, 5);
    let mut ring = settle_with(&short(), ring, &observed, at(6)).0;
    // It rises every other day.
    for day in 7..20 {
        observed.servers[0].stale = counted(0, 5 + u64::try_from(day / 2).unwrap());
        ring = settle_with(&short(), ring, &observed, at(day)).0;
        assert_eq!(cluster_track(&ring), Track::Held, "day {day}");
    }
    let told = waits(&ring, &short(), &observed, at(20));
    let held = |wait: &Wait| matches!(&wait.reason, Reason::Held { hold: Hold::StaleTokens { server }, .. } if server == "api-1");
    assert!(told.iter().any(held), "{told:?}");
    // A new process counts from nothing.
    observed.servers[0].stale = counted(20 * DAY, 1);
    ring = settle_with(&short(), ring, &observed, at(20)).0;
    let quiet = settle_with(&short(), ring.clone(), &observed, at(29)).0;
    assert!(matches!(cluster_track(&quiet), Track::Leaving { .. }));
    // One that never falls silent ends with the last token that it can have.
    observed.servers[0].stale = counted(20 * DAY, 2);
    let late = settle_with(&short(), ring, &observed, at(369)).0;
    assert!(matches!(cluster_track(&late), Track::Leaving { .. }));
}

#[test]
fn a_lost_ring_takes_over_what_lies_on_the_nodes() {
    let (world, _) = with_next();
    let mut observed = seen(&world);
    let disk = observed.servers[0].disk.as_mut().unwrap();
    disk.controller = Some(kid(2));
    disk.copies = BTreeSet::from([kid(2), kid(5)]);
    let ring = rebuild::rebuild(&simulation::issuer(), &observed, at(7)).unwrap();
    assert!(ring.knows(&kid(5)));
    let Stage::Draining {
        public, cluster, ..
    } = ring.key(&kid(5)).unwrap().stage
    else {
        panic!()
    };
    assert!(!matches!(
        (public, cluster),
        (Track::Held, _) | (_, Track::Held)
    ));
}

#[test]
fn a_shorter_timer_does_not_end_a_wait_that_runs() {
    let long = short();
    let shorter = Assumptions {
        caches: Duration::from_mins(5),
        public_token: Duration::from_mins(5),
        cluster_token: Duration::from_mins(5),
        ..Assumptions::default()
    };
    let shorter = RotationPolicy::new(shorter, Timers::default()).unwrap();
    // A key on its way to sign.
    let (world, ring) = with_next();
    let ring = settle_with(&long, ring, &seen(&world), at(1)).0;
    let hours = |hours| {
        at(1)
            .checked_add(jiff::SignedDuration::from_hours(hours))
            .unwrap()
    };
    let (ring, asked) = settle_with(&shorter, ring, &seen(&world), hours(2));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    assert!(ring.timing().earlier.len() >= 3, "{:?}", ring.timing());
    let (ring, asked) = settle_with(&shorter, ring, &seen(&world), hours(23));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    let (_, asked) = settle_with(&shorter, ring.clone(), &seen(&world), hours(25));
    assert!(matches!(asked, Step::Act(Action::Promote(_))), "{asked:?}");
    // Who knows that the longer ones were a mistake says so.
    let told = ring.shortened("x".into(), hours(23));
    let (_, asked) = settle_with(&shorter, told, &seen(&world), hours(23));
    assert!(matches!(asked, Step::Act(Action::Promote(_))), "{asked:?}");

    // A key that drains, on both sides.
    let (world, ring) = drained();
    let ring = ring.shortened("x".into(), at(3));
    let ring = settle_with(&long, ring, &seen(&world), at(3)).0;
    let early = at(3)
        .checked_add(jiff::SignedDuration::from_hours(2))
        .unwrap();
    let (ring, asked) = settle_with(&shorter, ring, &seen(&world), early);
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    let (_, asked) = settle_with(&shorter, ring, &seen(&world), at(5));
    assert!(
        matches!(asked, Step::Act(Action::Withdraw { .. })),
        "{asked:?}"
    );
}

#[test]
fn a_copy_that_may_be_kept_for_longer_is_waited_for() {
    let (world, ring) = with_next();
    let mut observed = seen(&world);
    observed.max_age = Duration::from_hours(72);
    let (ring, asked) = settle(ring, &observed, at(3));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    // Also when it has been lowered since: the old one must run out.
    let (ring, asked) = settle(ring, &seen(&world), at(3));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    assert!(matches!(
        step(&ring, &seen(&world), at(5)),
        Step::Act(Action::Promote(_))
    ));
}

#[test]
fn a_copy_that_may_be_kept_for_a_year_stops_a_run_and_is_not_remembered() {
    let (world, ring) = with_next();
    let mut observed = seen(&world);
    observed.max_age = Duration::from_hours(8760);
    observed.max_age_at = "https://h/keys.json".into();
    let asked = next_step(&ring, &RotationPolicy::default(), &observed, at(3));
    let Step::Blocked(block @ Block::ServedTooLong { .. }) = &asked else {
        panic!("{asked:?}")
    };
    assert!(
        block
            .to_string()
            .contains("https://h/keys.json is served with a max-age of 365d"),
        "{block}"
    );
    let help = crate::explain::Explain::help(block).unwrap();
    assert!(help.contains("--cache 31536000s"), "{help}");
    let told = ring.compromised(&kid(1), "x".into(), at(3)).unwrap();
    let (told, asked) = settle(told, &observed, at(3));
    assert!(
        matches!(asked, Step::Act(Action::Promote(_))),
        "nobody waits for caches: {asked:?}"
    );
    assert!(told.timing().now.unwrap().served.is_zero());
    // Who says that it is meant is believed.
    let assumptions = Assumptions {
        caches: observed.max_age,
        ..Assumptions::default()
    };
    let meant = RotationPolicy::new(assumptions, Timers::default()).unwrap();
    assert!(!matches!(
        next_step(&ring, &meant, &observed, at(3)),
        Step::Blocked(_)
    ));
    // Once it is mended nothing is left of it.
    assert!(matches!(
        step(&ring, &seen(&world), at(3)),
        Step::Act(Action::Promote(_))
    ));
}
