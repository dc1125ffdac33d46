//! A ring that is older than the world, keys of which nothing is left, and places that are not what they were.

use super::tests::{at, drained, seen, settle, step, with_next};
use super::*;
use crate::explain::Explain as _;
use crate::ring::Stage;
use crate::rotation::simulation::world::{World, kid};

/// Key 2 signs everywhere and key 1 is gone; the ring is the one from before that.
fn older() -> (World, KeyRing) {
    let (mut world, _) = drained();
    for sink in &mut world.sinks {
        sink.remove(&kid(1));
    }
    world.public.remove(&kid(1));
    world.at_rest.remove(&kid(1));
    for server in &mut world.servers {
        server.disk.trusted.remove(&kid(1));
        server.loaded = server.disk.clone();
    }
    // It was never asked what lies on the nodes since.
    let mut ring = tests::ring();
    for server in ["api-1", "api-2"] {
        ring = ring.forgotten(server, "x".into(), at(0)).unwrap();
    }
    (world, ring)
}

#[test]
fn a_ring_from_a_backup_is_called_that() {
    let (world, ring) = older();
    let asked = step(&ring, &seen(&world), at(10));
    let Step::Blocked(block @ Block::RingOutdated { .. }) = &asked else {
        panic!("{asked:?}")
    };
    assert!(block.help().unwrap().contains("move it away"), "{block}");
    // Moved away, it is made anew, and all is well.
    let ring = rebuild::rebuild(&simulation::issuer(), &seen(&world), at(10)).unwrap();
    let (ring, asked) = settle(ring, &seen(&world), at(10));
    assert!(matches!(asked, Step::Wait(_)), "{asked:?}");
    assert_eq!(ring.signing().unwrap().kid, kid(2));
}

#[test]
fn who_goes_on_with_an_older_ring_gets_out_of_it_too() {
    let (mut world, ring) = older();
    let ring = ring
        .adopted(&kid(2), &seen(&world), "x".into(), at(10))
        .unwrap();
    let ring = ring.compromised(&kid(1), "x".into(), at(10)).unwrap();
    // Nobody can put key 1 anywhere, and nobody tries.
    let (ring, asked) = settle(ring, &seen(&world), at(10));
    assert!(
        matches!(&asked, Step::Act(Action::Create { .. })),
        "{asked:?}"
    );
    let ring = ring.created(kid(3), "x".into(), at(10));
    world.at_rest.insert(kid(3));
    for sink in &mut world.sinks {
        sink.insert(kid(3), at(10));
    }
    world.public = world.sinks[0].clone();
    for server in &mut world.servers {
        server.disk.trusted.insert(kid(3));
        server.loaded = server.disk.clone();
    }
    let (ring, asked) = settle(ring, &seen(&world), at(10));
    assert!(
        matches!(asked, Step::Wait(_)),
        "nothing was stolen, so caches are waited for: {asked:?}"
    );
    let (ring, asked) = settle(ring, &seen(&world), at(12));
    assert!(
        matches!(&asked, Step::Act(Action::Promote(promotion)) if *promotion.kid() == kid(3)),
        "{asked:?}"
    );
    assert!(matches!(
        ring.signing().unwrap().stage,
        Stage::Signing { .. }
    ));
}

#[test]
fn a_private_half_that_is_lost_is_replaced_with_all_waits() {
    let (mut world, ring) = with_next();
    let ring = settle(ring, &seen(&world), at(3)).0;
    assert_eq!(ring.signing().unwrap().kid, kid(2));
    world.at_rest.remove(&kid(2));
    let asked = step(&ring, &seen(&world), at(3));
    let Step::Blocked(block @ Block::PrivateLost { .. }) = &asked else {
        panic!("{asked:?}")
    };
    let help = block.help().unwrap();
    assert!(help.contains("irsa rotate --now"), "{help}");
    let ring = ring.request("x".into(), at(3));
    let (ring, asked) = settle(ring, &seen(&world), at(3));
    assert!(
        matches!(&asked, Step::Act(Action::Create { .. })),
        "{asked:?}"
    );
    assert!(!ring.is_emergency());
    // While the next one ages, nothing is asked for that cannot be done.
    let ring = ring.created(kid(3), "x".into(), at(3));
    world.at_rest.insert(kid(3));
    let asked = step(&ring, &seen(&world), at(3));
    assert!(
        matches!(&asked, Step::Act(Action::Publish { kid: of, .. }) if *of == kid(3)),
        "{asked:?}"
    );
}

#[test]
fn another_place_of_private_keys_stops_a_run() {
    let (world, ring) = with_next();
    let mut observed = seen(&world);
    observed.keys_place = Some("first".into());
    let (ring, _) = settle(ring, &observed, at(1));
    assert_eq!(ring.keys_place(), Some("first"));
    // What is not found there would be given up, and made anew here.
    observed.at_rest.clear();
    for found in [Some("second".to_owned()), None] {
        observed.keys_place = found;
        let asked = step(&ring, &observed, at(1));
        assert!(
            matches!(&asked, Step::Blocked(Block::OtherKeyPlace { expected, .. }) if expected == "first"),
            "{asked:?}"
        );
    }
    observed.keys_place = Some("first".into());
    let (ring, _) = settle(ring, &observed, at(1));
    assert!(ring.next().is_none(), "here it is lost indeed");
}

#[test]
fn what_the_distribution_would_put_back_is_named() {
    let (world, ring) = drained();
    let mut observed = seen(&world);
    let paths = ["/pki/sa.key", "/pki/sa.pub"];
    let spare = paths.map(|path| (path.to_owned(), [kid(1)].into()));
    observed.servers[0].disk.as_mut().unwrap().spare = spare.into();
    let ring = settle(ring, &observed, at(3)).0;
    assert!(ring.left_behind().is_empty(), "its tokens are accepted");
    let ring = ring.leaving(&kid(1), crate::ring::What::Retired, "x".into(), at(5));
    let left = ring.left_behind();
    assert_eq!(
        (left.len(), left[0].server, left[0].kid),
        (1, "api-1", &kid(1))
    );
    assert_eq!(
        (left[0].paths.as_slice(), left[0].trusted),
        (&paths[..], true)
    );
    assert!(!left[0].compromised);
    let ring = ring.compromised(&kid(1), "x".into(), at(5)).unwrap();
    let ring = ring.buried(&kid(1), at(6));
    let left = ring.left_behind();
    assert!(left[0].compromised && !left[0].trusted, "{left:?}");
    let told = &ring.history().last().unwrap().why;
    assert!(
        told.contains("never rested here"),
        "irsa did not destroy what the distribution keeps: {told}"
    );
}
