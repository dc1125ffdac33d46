use stateright::{Checker as _, HasDiscoveries, Model as _};

use super::super::guard::{Guard, Guards};
use super::super::simulation::run::Fences;
use super::{CALM, Event, FRESH, Faults, NO_PERSON, NO_SPENT, RULES, Rotation};

/// Searches every state for one of these failures; the events that lead to it, and how many states were looked at.
fn search(
    model: Rotation,
    failures: &[&'static str],
) -> (Option<(&'static str, Vec<Event>)>, usize) {
    let failures = HasDiscoveries::AnyOf(failures.iter().copied().collect());
    let checker = model
        .checker()
        .threads(2)
        .finish_when(failures)
        .spawn_bfs()
        .join();
    let count = checker.unique_state_count();
    let found = checker.discoveries().into_iter().next();
    (found.map(|(name, path)| (name, path.into_actions())), count)
}

fn holds_with(servers: usize, faults: Faults) {
    let (found, states) = search(
        Rotation::new(servers, faults),
        &[RULES, NO_PERSON, NO_SPENT, FRESH],
    );
    assert!(found.is_none(), "{faults:?}: {found:?}");
    assert!(states > 1000, "only {states} states were searched");
}

#[test]
fn two_runs_on_three_servers() {
    holds_with(3, CALM);
}

#[test]
fn a_server_restarts_at_any_point() {
    holds_with(
        3,
        Faults {
            restarts: 1,
            ..CALM
        },
    );
}

#[test]
fn a_run_stands_still_at_any_point() {
    holds_with(2, Faults { stalls: 1, ..CALM });
}

#[test]
fn a_write_arrives_after_its_run_has_died() {
    holds_with(2, Faults { late: 1, ..CALM });
}

/// The larger searches: minutes.
#[test]
#[ignore = "minutes: tests/e2e/rotation runs it"]
fn larger_searches() {
    holds_with(3, Faults { crashes: 1, ..CALM });
    holds_with(3, Faults { stalls: 1, ..CALM });
    holds_with(
        2,
        Faults {
            late: 1,
            lags: true,
            ..CALM
        },
    );
    holds_with(
        2,
        Faults {
            compromises: 1,
            ..CALM
        },
    );
    holds_with(2, Faults { amnesia: 1, ..CALM });
    holds_with(
        3,
        Faults {
            crashes: 1,
            stalls: 1,
            restarts: 1,
            ..CALM
        },
    );
    holds_with(
        2,
        Faults {
            crashes: 2,
            late: 1,
            lags: true,
            ..CALM
        },
    );
    holds_with(
        2,
        Faults {
            crashes: 1,
            compromises: 1,
            ..CALM
        },
    );
    holds_with(
        2,
        Faults {
            crashes: 1,
            amnesia: 1,
            ..CALM
        },
    );
}

/// A guard that nothing depends on is no guard: without each of them something breaks.
#[test]
fn every_guard_is_needed() {
    let moved = Faults {
        crashes: 1,
        compromises: 1,
        ..CALM
    };
    let overtaken = Faults {
        stalls: 1,
        compromises: 1,
        ..CALM
    };
    for (guard, faults, failure) in [
        (Guard::PrivateDurable, Faults { crashes: 1, ..CALM }, RULES),
        (Guard::Published, Faults { lags: true, ..CALM }, RULES),
        (Guard::Trusted, Faults { stalls: 1, ..CALM }, RULES),
        (Guard::Disk, moved, RULES),
        (Guard::Aged, CALM, RULES),
        (Guard::Quiet, CALM, RULES),
        (Guard::FreshReport, overtaken, NO_SPENT),
        (Guard::PublicDrain, CALM, RULES),
        (Guard::ClusterDrain, CALM, RULES),
        (Guard::Holds, CALM, RULES),
        (Guard::GoneFirst, CALM, RULES),
    ] {
        let model = Rotation {
            guards: Guards::without(guard),
            holds: guard == Guard::Holds,
            ..Rotation::new(2, faults)
        };
        let (found, states) = search(model, &[failure]);
        assert!(
            found.is_some(),
            "{guard:?} is not missed in {states} states"
        );
    }
}

/// The remaining guard is a second line: a spent key that the first line let back in is taken out again.
#[test]
#[ignore = "minutes: tests/e2e/rotation runs it"]
fn a_spent_key_that_comes_back_goes_again() {
    let late = Faults {
        late: 1,
        compromises: 1,
        ..CALM
    };
    let open = Fences {
        lease: false,
        ..Fences::ALL
    };
    let model = |guards| Rotation {
        guards,
        fences: open,
        ..Rotation::new(2, late)
    };
    let (found, _) = search(model(Guards::ALL), &[NO_SPENT]);
    assert!(found.is_some(), "a late write brings a spent key back");
    let (found, states) = search(model(Guards::ALL), &[FRESH]);
    assert!(
        found.is_none_or(|(name, _)| name == NO_SPENT),
        "and it goes again: {states}"
    );
    let (found, _) = search(model(Guards::without(Guard::Tombstone)), &[FRESH]);
    assert!(found.is_some(), "unless tombstones are forgotten");
}

#[test]
fn every_fence_is_needed() {
    let overtaken = Faults {
        stalls: 1,
        compromises: 1,
        ..CALM
    };
    let all = Fences::ALL;
    for (fences, faults, failure) in [
        (
            Fences { save: false, ..all },
            Faults { stalls: 1, ..CALM },
            RULES,
        ),
        (Fences { node: false, ..all }, overtaken, NO_SPENT),
        (
            Fences {
                lease: false,
                ..all
            },
            Faults {
                late: 1,
                compromises: 1,
                ..CALM
            },
            NO_SPENT,
        ),
        // Where the first line is gone, the second keeps the rules.
        (
            Fences {
                lease: false,
                sink: false,
                ..all
            },
            Faults { late: 1, ..CALM },
            RULES,
        ),
    ] {
        let model = Rotation {
            fences,
            ..Rotation::new(2, faults)
        };
        let (found, states) = search(model, &[failure]);
        assert!(
            found.is_some(),
            "{fences:?} is not missed in {states} states"
        );
    }
}
