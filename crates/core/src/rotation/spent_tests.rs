//! A server that signs with a retired key, where the key that it should sign with is lost, stolen, or was never another's.

use std::collections::BTreeSet;

use super::foreign_tests::{anew, rotated};
use super::simulation::run::{Fences, Rules, Run, Turned};
use super::simulation::world::{Nodes, World, kid};
use super::tests::{at, seen, settle, step, world};
use super::*;
use crate::observation::{Disk, Loaded};
use crate::ring::What;

/// Key 2 signs, key 1 is spent, and the first server has been written anew: it trusts both, and signs with key 1.
fn astray() -> (World, KeyRing) {
    let (mut world, ring) = rotated();
    anew(&mut world, 0);
    world.servers[0].disk.trusted.insert(kid(2));
    world.servers[0].loaded = world.servers[0].disk.clone();
    (world, ring)
}

/// As each node's run makes and places key 3.
fn with_third(world: &mut World) {
    world.at_rest.insert(kid(3));
    for sink in &mut world.sinks {
        sink.insert(kid(3), world.now);
    }
    world.public = world.sinks[0].clone();
    for server in &mut world.servers {
        server.disk.trusted.insert(kid(3));
        server.loaded = server.disk.clone();
    }
}

#[test]
fn a_lost_key_is_replaced_although_a_server_signs_with_a_retired_one() {
    let (mut world, ring) = astray();
    world.at_rest.remove(&kid(2));
    for nodes in [Nodes::of([0]), Nodes::of([1])] {
        let asked = step(&ring, &world.observe(nodes), at(31));
        assert!(
            matches!(&asked, Step::Blocked(Block::PrivateLost { server, .. }) if server == "api-1"),
            "no run on any node can switch it: {asked:?}"
        );
    }
    let ring = ring.request("x".into(), at(31));
    for nodes in [Nodes::of([0]), Nodes::of([1])] {
        let asked = step(&ring, &world.observe(nodes), at(31));
        assert!(
            matches!(&asked, Step::Act(Action::Create { .. })),
            "{asked:?}"
        );
    }
    let ring = ring.created(kid(3), "x".into(), at(31));
    with_third(&mut world);
    let (ring, asked) = settle(ring, &seen(&world), at(31));
    assert!(matches!(asked, Step::Wait(_)), "caches: {asked:?}");
    let (ring, asked) = settle(ring, &seen(&world), at(33));
    assert_eq!(ring.signing().unwrap().kid, kid(3));
    assert!(
        matches!(&asked, Step::Act(Action::Promote(promotion)) if *promotion.kid() == kid(3)),
        "{asked:?}"
    );
}

#[test]
fn a_lost_key_is_replaced_by_the_next_one_where_tokens_of_the_astray_server_are_refused() {
    let (mut world, ring) = astray();
    world.at_rest.remove(&kid(2));
    let ring = ring
        .request("x".into(), at(31))
        .created(kid(3), "x".into(), at(31));
    with_third(&mut world);
    let (ring, _) = settle(ring, &seen(&world), at(31));
    for nodes in [Nodes::of([0]), Nodes::of([1]), Nodes::of([0, 1])] {
        let observed = world.observe(nodes);
        let refused = observed.servers.iter().any(|server| {
            matches!(&server.loaded, Loaded::Serving { refuses, .. } if refuses.contains("api-1"))
        });
        assert!(refused, "the others have no reason to trust the spent key");
        // Until the caches have it nobody is told to promote what is lost.
        let Step::Wait(waits) = step(&ring, &observed, at(31)) else {
            panic!("caches come first")
        };
        let promoted = |wait: &Wait| {
            matches!(
                &wait.reason,
                Reason::Node {
                    what: What::Promoted,
                    ..
                }
            )
        };
        assert!(!waits.iter().any(promoted), "{waits:?}");
        let (ring, _) = settle(ring.clone(), &observed, at(33));
        assert_eq!(ring.signing().unwrap().kid, kid(3));
    }
}

#[test]
fn a_stolen_key_is_replaced_although_a_server_signs_with_a_retired_one() {
    let (mut world, ring) = astray();
    let ring = ring.compromised(&kid(2), "x".into(), at(31)).unwrap();
    let elsewhere = step(&ring, &world.observe(Nodes::of([1])), at(31));
    assert!(
        matches!(&elsewhere, Step::Act(Action::Create { .. })),
        "{elsewhere:?}"
    );
    // Also where it is lost as well.
    world.at_rest.remove(&kid(2));
    let here = step(&ring, &seen(&world), at(31));
    assert!(
        matches!(&here, Step::Act(Action::Create { .. })),
        "{here:?}"
    );
}

#[test]
fn a_run_that_is_there_waits_for_the_document_alone() {
    let (mut world, ring) = astray();
    world.public.remove(&kid(2));
    let here = step(&ring, &seen(&world), at(31));
    let Step::Wait(waits) = &here else {
        panic!("it cannot be sent to where it is: {here:?}")
    };
    let hidden = |wait: &Wait| matches!(wait.reason, Reason::NotPublic(_));
    assert!(waits.iter().any(hidden), "{waits:?}");
}

/// Two nodes with an `sa.key` each, as some installers make them, and nothing published.
fn of_two_keys() -> World {
    let mut world = world();
    for (server, number) in world.servers.iter_mut().zip([1, 9]) {
        server.disk = Disk::new(BTreeSet::from([kid(number)]), kid(number));
        server.loaded = server.disk.clone();
    }
    world.at_rest.clear();
    world.sinks[0].clear();
    world.public.clear();
    world
}

#[test]
fn nodes_with_a_key_each_begin_their_first_rotation() {
    let mut world = of_two_keys();
    let rules = Rules {
        policy: RotationPolicy::default(),
        guards: Guards::ALL,
        fences: Fences::ALL,
        lease: std::time::Duration::from_mins(30),
        history: true,
        looks: 1,
    };
    let mut told = Vec::new();
    for hour in 0..48 {
        for node in 0..2 {
            let mut run = Run::start(&world, "x", Nodes::of([node]), std::time::Duration::ZERO);
            let end = loop {
                match run.turn(&mut world, &rules) {
                    Turned::On | Turned::Decided(..) => {}
                    end => break end,
                }
            };
            match end {
                Turned::Rest => {}
                Turned::Blocked(block @ Block::PrivateLost { .. }) => {
                    told.push(block.to_string());
                    let ring = world.store.take().unwrap();
                    world.store = Some(ring.request("x".into(), world.now));
                }
                other => panic!("hour {hour}, node {node}: {other:?}"),
            }
        }
        let hour = std::time::Duration::from_hours(1);
        world.pass(crate::ring::after(world.now, hour));
    }
    let mut servers = world.servers.iter();
    assert!(
        servers.all(|server| server.disk.signing == kid(2) && server.loaded == server.disk),
        "{:?}",
        world.servers
    );
    assert_eq!(told.len(), 1, "{told:?}");
}
