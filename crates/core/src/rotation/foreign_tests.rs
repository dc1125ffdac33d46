//! What is not ours, not there, or not as the clock says.

use std::collections::BTreeSet;
use std::time::Duration;

use super::tests::{at, drained, ring, seen, settle, step, world};
use super::*;
use crate::observation::{Disk, Lifetimes, StaleTokens};
use crate::ring::{Stage, Track, What};
use crate::rotation::simulation::world::{World, kid};

fn tracks(ring: &KeyRing, number: u8) -> (Track, Track) {
    match ring.key(&kid(number)).unwrap().stage {
        Stage::Draining {
            public, cluster, ..
        } => (public, cluster),
        Stage::Next(_) | Stage::Signing { .. } => panic!("it does not drain"),
    }
}

/// Key 1 has left every JWKS.
fn withdrawn(world: &mut World, ring: &KeyRing, now: Timestamp) -> KeyRing {
    for sink in &mut world.sinks {
        sink.remove(&kid(1));
    }
    world.public.remove(&kid(1));
    ring.leaving(&kid(1), What::Retired, "x".into(), now)
}

/// Key 1 has left every API server.
fn distrusted(world: &mut World, ring: &KeyRing, now: Timestamp) -> KeyRing {
    for server in &mut world.servers {
        server.disk.trusted.remove(&kid(1));
        server.loaded = server.disk.clone();
    }
    ring.leaving(&kid(1), What::Disowned, "x".into(), now)
}

#[test]
fn a_key_that_is_taken_over_stays_only_where_it_stands() {
    let adopt = |observed: &Observation| ring().adopted(&kid(9), observed, "x".into(), at(1));
    assert!(adopt(&seen(&world())).is_none(), "it was seen nowhere");

    let mut trusted = seen(&world());
    let disk = trusted.servers[0].disk.as_mut().unwrap();
    disk.trusted.insert(kid(9));
    let adopted = adopt(&trusted).unwrap();
    assert!(matches!(
        tracks(&adopted, 9),
        (Track::Leaving { .. }, Track::Held)
    ));
    let asked = step(&adopted, &trusted, at(1));
    assert!(
        !matches!(asked, Step::Act(Action::Publish { .. })),
        "what others trust is not made public: {asked:?}"
    );

    let mut published = seen(&world());
    published.sinks[0].published.kids.insert(kid(9));
    published.public = published.sinks[0].published.clone();
    let adopted = adopt(&published).unwrap();
    assert!(matches!(
        tracks(&adopted, 9),
        (Track::Held, Track::Leaving { .. })
    ));
    let asked = step(&adopted, &published, at(1));
    assert!(
        !matches!(asked, Step::Act(Action::Trust { .. })),
        "what stands in a JWKS is not made trusted: {asked:?}"
    );
}

#[test]
fn a_key_that_was_taken_over_drains_as_long_as_tokens_live_now() {
    let mut observed = seen(&world());
    observed.sinks[0].published.kids.insert(kid(9));
    observed.public = observed.sinks[0].published.clone();
    observed.longest = Lifetimes {
        public: Duration::from_hours(48),
        cluster: Duration::ZERO,
    };
    let adopted = ring()
        .adopted(&kid(9), &observed, "x".into(), at(1))
        .unwrap();
    let early = settle(adopted.clone(), &observed, at(1)).0;
    let early = settle(early, &observed, at(2)).0;
    assert!(
        matches!(tracks(&early, 9).0, Track::Held),
        "its tokens may live for two days"
    );
    let late = settle(early, &observed, at(4)).0;
    assert!(matches!(tracks(&late, 9).0, Track::Leaving { .. }));

    // The same for a ring that was made anew.
    observed.servers[0]
        .disk
        .as_mut()
        .unwrap()
        .trusted
        .insert(kid(9));
    let remade = rebuild::rebuild(&simulation::issuer(), &observed, at(1)).unwrap();
    let remade = settle(remade, &observed, at(1)).0;
    let Stage::Draining { longest, .. } = remade.key(&kid(9)).unwrap().stage else {
        panic!()
    };
    assert_eq!(longest.public, Duration::from_hours(48));
}

#[test]
fn a_server_that_is_away_between_rotations_is_not_forgotten() {
    let mut observed = seen(&world());
    let gone = observed.servers.pop().unwrap();
    let asked = step(&ring(), &observed, at(1));
    assert!(
        matches!(&asked, Step::Blocked(Block::ServerLeft { server }) if *server == gone.name),
        "{asked:?}"
    );
    let struck = ring().forgotten(&gone.name, "x".into(), at(1)).unwrap();
    assert!(matches!(step(&struck, &observed, at(1)), Step::Wait(_)));
}

#[test]
fn a_control_plane_node_without_its_api_server_stops_a_run() {
    let mut observed = seen(&world());
    let nodes = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    observed.control_planes = nodes(&["cp-1", "cp-2"]);
    assert!(matches!(step(&ring(), &observed, at(1)), Step::Wait(_)));
    observed.control_planes = nodes(&["cp-1", "cp-2", "cp-3"]);
    let Step::Blocked(block) = step(&ring(), &observed, at(1)) else {
        panic!()
    };
    assert_eq!(
        block.to_string(),
        "there are 3 control-plane nodes (cp-1, cp-2, cp-3) and 2 API servers in the list"
    );
}

#[test]
fn a_clock_that_went_forward_stops_a_run_too() {
    let mut observed = seen(&world());
    let name = observed.servers[0].name.clone();
    let skew = i64::try_from(RotationPolicy::default().skew().as_secs()).unwrap();
    for (ahead, stops) in [
        (skew, false),
        (-skew, false),
        (skew + 1, true),
        (-90 * 86_400, true),
    ] {
        observed.clocks.insert(name.clone(), ahead);
        let asked = step(&ring(), &observed, at(1));
        let stopped = matches!(asked, Step::Blocked(Block::ClocksApart { .. }));
        assert_eq!(stopped, stops, "{ahead}: {asked:?}");
    }
    let Step::Blocked(block) = step(&ring(), &observed, at(91)) else {
        panic!("the rotation would be due")
    };
    assert!(
        block.to_string().contains("7776000 s behind this host's"),
        "{block}"
    );
}

#[test]
fn what_cannot_be_read_is_erased_before_the_key_is_spent() {
    let (mut world, ring) = drained();
    let ring = withdrawn(&mut world, &ring, at(400));
    let ring = distrusted(&mut world, &ring, at(400));
    let mut observed = seen(&world);
    observed.at_rest.remove(&kid(1));
    observed.remains.insert(kid(1));
    let (ring, asked) = settle(ring, &observed, at(401));
    assert!(
        matches!(&asked, Step::Act(Action::Erase { kid: of }) if *of == kid(1)),
        "{asked:?}"
    );
    observed.remains.remove(&kid(1));
    let (ring, _) = settle(ring, &observed, at(401));
    assert!(ring.tombstones().contains(&kid(1)));
}

#[test]
fn the_word_that_stale_tokens_do_not_count_holds_for_what_was_saved_before() {
    let (world, ring) = drained();
    let mut observed = seen(&world);
    observed.servers[0].stale = Some(StaleTokens {
        started: 0,
        count: 5,
    });
    let told = |ring: &KeyRing, observed: &Observation| {
        let waits = waits(ring, &RotationPolicy::default(), observed, at(20));
        let held = |wait: &Wait| matches!(wait.reason, Reason::Held { .. });
        waits.iter().any(held)
    };
    let (ring, _) = settle(ring, &observed, at(19));
    assert!(told(&ring, &observed), "the count of an earlier run");
    observed.stale_tokens_ignored = true;
    assert!(!told(&ring, &observed));
    let remembered = ring
        .servers()
        .values()
        .filter(|record| record.stale.is_some());
    let names: BTreeSet<_> = remembered.map(|record| record.generation).collect();
    assert!(!names.is_empty(), "it stays on record");
}

/// Key 2 signs everywhere, and key 1 is spent.
pub(super) fn rotated() -> (World, KeyRing) {
    let (mut world, ring) = drained();
    let ring = withdrawn(&mut world, &ring, at(5));
    let ring = distrusted(&mut world, &ring, at(5));
    world.at_rest.remove(&kid(1));
    // A rotation is not due.
    let ring = settle(ring, &seen(&world), at(30)).0;
    assert!(ring.tombstones().contains(&kid(1)));
    (world, ring)
}

/// As kubeadm writes a manifest: the files of the first key, whatever a rotation has put there.
pub(super) fn anew(world: &mut World, server: usize) {
    let disk = Disk::new(BTreeSet::from([kid(1)]), kid(1));
    world.servers[server].disk = disk.clone();
    world.servers[server].loaded = disk;
}

#[test]
fn a_server_that_signs_with_a_retired_key_is_switched_at_once() {
    let (mut world, ring) = rotated();
    anew(&mut world, 0);
    let now = at(31);
    let (ring, asked) = settle(ring, &seen(&world), now);
    assert!(
        matches!(&asked, Step::Act(Action::Trust { kid: of, server }) if *of == kid(2) && server == "api-1"),
        "{asked:?}"
    );
    world.servers[0].disk.trusted.insert(kid(2));
    world.servers[0].loaded = world.servers[0].disk.clone();
    let (ring, asked) = settle(ring, &seen(&world), now);
    assert!(
        matches!(&asked, Step::Act(Action::Promote(promotion)) if promotion.server() == "api-1"),
        "its tokens are refused until then: {asked:?}"
    );
    // Elsewhere it is a fault, and no wait that ends by itself.
    let elsewhere = step(
        &ring,
        &world.observe(simulation::world::Nodes::of([1])),
        now,
    );
    let Step::Blocked(block) = &elsewhere else {
        panic!("{elsewhere:?}")
    };
    assert_eq!(
        block.to_string(),
        format!(
            "API server \"api-1\" signs with the retired key \"{}\": its tokens are refused",
            kid(1)
        )
    );
    world.servers[0].disk.signing = kid(2);
    world.servers[0].loaded = world.servers[0].disk.clone();
    let asked = step(&ring, &seen(&world), now);
    assert!(
        matches!(&asked, Step::Act(Action::Distrust { kid: of, server }) if *of == kid(1) && server == "api-1"),
        "{asked:?}"
    );
}

#[test]
fn a_key_that_has_left_the_jwks_alone_is_retired_too() {
    let (mut world, ring) = drained();
    let ring = withdrawn(&mut world, &ring, at(5));
    let ring = settle(ring, &seen(&world), at(5)).0;
    anew(&mut world, 0);
    world.servers[0].disk.trusted.insert(kid(2));
    world.servers[0].loaded = world.servers[0].disk.clone();
    let asked = step(&ring, &seen(&world), at(6));
    assert!(
        matches!(&asked, Step::Act(Action::Promote(_))),
        "AWS refuses its tokens: {asked:?}"
    );
}

#[test]
fn servers_that_lost_their_trust_are_told_by_name() {
    let (mut world, ring) = rotated();
    anew(&mut world, 0);
    anew(&mut world, 1);
    world.servers[0].disk.trusted.insert(kid(2));
    world.servers[0].loaded = world.servers[0].disk.clone();
    let ring = settle(ring, &seen(&world), at(31)).0;
    let asked = step(
        &ring,
        &world.observe(simulation::world::Nodes::of([0])),
        at(31),
    );
    let Step::Blocked(block @ Block::SpentSigner { lacking, .. }) = &asked else {
        panic!("{asked:?}")
    };
    assert_eq!(lacking, &["api-2"]);
    let help = crate::explain::Explain::help(block).unwrap();
    assert!(help.contains("on the nodes of api-2"), "{help}");
}

#[test]
fn a_run_on_a_node_does_not_wait_for_itself() {
    let (world, ring) = drained();
    let mut observed = seen(&world);
    // It lags, and its key must age anew.
    observed.servers[0].disk.as_mut().unwrap().signing = kid(1);
    let mut gap = observed.clone();
    gap.public.kids.remove(&kid(2));
    let ring = settle(ring, &gap, at(4)).0;
    let (ring, asked) = settle(ring, &observed, at(4));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    let told = waits(&ring, &RotationPolicy::default(), &observed, at(4));
    let node = |wait: &Wait| matches!(&wait.reason, Reason::Node { .. });
    assert!(!told.iter().any(node), "{told:?}");
    let aging = |wait: &Wait| matches!(&wait.reason, Reason::Aging(_));
    assert!(told.iter().any(aging), "{told:?}");
}
