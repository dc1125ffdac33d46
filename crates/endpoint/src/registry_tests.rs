use super::*;

fn registry(max_connections: usize) -> Arc<Registry> {
    Registry::new(
        Limits {
            max_connections,
            ..Limits::default()
        },
        Arc::new(()),
    )
}

fn peer(number: u8) -> Peer {
    Peer::from(std::net::IpAddr::from([192, 0, 2, number]))
}

fn admit(registry: &Arc<Registry>, phase: Phase) -> Slot {
    admit_from(registry, 1, phase)
}

fn admit_from(registry: &Arc<Registry>, number: u8, phase: Phase) -> Slot {
    let (slot, _) = registry.admit(peer(number));
    slot.life().enter(phase);
    slot
}

#[test]
fn at_the_cap_the_longest_silent_goes_and_the_newcomer_stays() {
    let registry = registry(3);
    let busy = admit(&registry, Phase::Busy);
    let idle = admit(&registry, Phase::Idle);
    let opening = admit(&registry, Phase::Opening);
    let (newcomer, full) = registry.admit(peer(1));
    assert!(full);
    let gone = |slot: &Slot| slot.life().order() == Order::Close;
    assert!(gone(&idle) && !gone(&busy) && !gone(&opening) && !gone(&newcomer));
    newcomer.life().enter(Phase::Busy);
    opening.life().enter(Phase::Busy);
    let (last, _) = registry.admit(peer(1));
    assert!(
        gone(&busy) && !gone(&last),
        "with only busy ones the oldest goes"
    );
}

#[test]
fn a_flood_costs_one_scan_per_batch() {
    let registry = registry(640);
    let slots: Vec<_> = (0..640).map(|_| admit(&registry, Phase::Opening)).collect();
    let (_new, full) = registry.admit(peer(1));
    assert!(full);
    let gone = slots
        .iter()
        .filter(|slot| slot.life().order() == Order::Close)
        .count();
    assert_eq!(gone, 10);
    assert!(
        slots
            .iter()
            .take(10)
            .all(|slot| slot.life().order() == Order::Close)
    );
    assert!(!registry.admit(peer(1)).1);
}

#[test]
fn a_batch_spares_the_busy() {
    let registry = registry(640);
    let slots: Vec<_> = (0..640)
        .map(|at| admit(&registry, if at == 300 { Phase::Idle } else { Phase::Busy }))
        .collect();
    let (_new, _) = registry.admit(peer(1));
    let gone = slots
        .iter()
        .filter(|slot| slot.life().order() == Order::Close)
        .count();
    assert_eq!(gone, 1);
}

#[test]
fn whoever_has_most_makes_room_for_the_others() {
    let registry = registry(6);
    let gone = |slot: &Slot| slot.life().order() == Order::Close;
    let honest = admit_from(&registry, 1, Phase::Idle);
    let flood: Vec<_> = (0..5)
        .map(|_| admit_from(&registry, 2, Phase::Opening))
        .collect();
    let _third = admit_from(&registry, 3, Phase::Opening);
    assert!(!gone(&honest), "the oldest of all, and its peer's only one");
    assert_eq!(flood.iter().filter(|slot| gone(slot)).count(), 1);
}

/// Which of several equals a map names first is chance: it must not be the one whose connection is younger.
#[test]
fn among_equals_the_longest_silent_goes_whosever_it_is() {
    for round in 0..32 {
        let registry = registry(8);
        let gone = |slot: &Slot| slot.life().order() == Order::Close;
        let first = round % 4;
        let slots: Vec<_> = (0..8)
            .map(|at| admit_from(&registry, (first + at) % 4, Phase::Idle))
            .collect();
        let newcomer = admit_from(&registry, 9, Phase::Opening);
        let ended: Vec<_> = slots.iter().map(gone).collect();
        let expected: Vec<_> = (0..8).map(|at| at == 0).collect();
        assert_eq!(ended, expected, "round {round}");
        assert!(!gone(&newcomer));
    }
}

#[test]
fn a_renewal_is_for_the_connections_of_now() {
    let registry = registry(8);
    let before = admit(&registry, Phase::Idle);
    registry.renew();
    let after = admit(&registry, Phase::Idle);
    assert_eq!(before.life().order(), Order::Finish);
    assert_eq!(after.life().order(), Order::Run);
    assert!(before.life().should_finish() && after.life().may_go_on());
}

#[test]
fn a_peer_at_its_own_cap_makes_room_for_itself() {
    let limits = Limits {
        max_connections_per_peer: 2,
        ..Limits::default()
    };
    let registry = Registry::new(limits, Arc::new(()));
    let gone = |slot: &Slot| slot.life().order() == Order::Close;
    let other = admit_from(&registry, 1, Phase::Idle);
    let flood: Vec<_> = (0..10)
        .map(|_| admit_from(&registry, 2, Phase::Idle))
        .collect();
    assert!(!gone(&other));
    assert_eq!(flood.iter().filter(|slot| gone(slot)).count(), 8);
    drop(flood);
    assert!(
        !registry.admit(peer(2)).1,
        "those that left are not counted"
    );
    drop(other);
    assert!(registry.lock().peers.is_empty());
}

#[test]
fn each_phase_has_its_limit() {
    let registry = registry(8);
    let micros = |limit: Duration| u64::try_from(limit.as_micros()).unwrap();
    let limits = Limits::default();
    let slot = admit(&registry, Phase::Idle);
    for (phase, limit) in [
        (Phase::Handshake, limits.handshake_timeout),
        (Phase::Opening, limits.header_timeout),
        (Phase::Head, limits.header_timeout),
        (Phase::Busy, limits.write_timeout),
        (Phase::Idle, limits.idle_timeout),
    ] {
        slot.life().enter(phase);
        let at = |now| registry.verdict(slot.life(), now, None).0;
        assert_eq!(at(micros(limit) - 2_000_000), Order::Run, "{phase:?}");
        assert_eq!(at(micros(limit)), Order::Close, "{phase:?}");
    }
    let at = |now| registry.verdict(slot.life(), now, None).0;
    assert_eq!(at(micros(limits.idle_timeout) - 500_000), Order::Finish);
}

#[test]
fn a_drain_cuts_the_silent_and_lets_requests_finish() {
    let registry = registry(8);
    let slot = admit(&registry, Phase::Head);
    let verdict = |phase, drained_for| {
        slot.life().enter(phase);
        registry.verdict(slot.life(), 0, Some(drained_for)).0
    };
    assert_eq!(verdict(Phase::Idle, 0), Order::Finish);
    assert_eq!(verdict(Phase::Opening, 1_000_000), Order::Close);
    assert_eq!(verdict(Phase::Head, 1_000_000), Order::Finish);
    assert_eq!(verdict(Phase::Busy, 1_000_000), Order::Finish);
}
