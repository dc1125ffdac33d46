use std::collections::HashMap;
use std::time::Duration;

use stateright::{Checker as _, HasDiscoveries, Model as _, Path, UniformChooser};

use super::super::guard::{Guard, Guards};
use super::super::simulation::run::Fences;
use super::{
    CALM, Event, FRESH, Faults, MOST_TICKS, NO_LASTING, NO_PERSON, NO_SPENT, RULES, Rotation, State,
};

/// Searches every state for one of these failures; the events that lead to it, and how many states were looked at.
fn search(
    model: Rotation,
    failures: &[&'static str],
) -> (Option<(&'static str, Vec<Event>)>, usize) {
    let enough = HasDiscoveries::AnyOf(failures.iter().copied().collect());
    let checker = model
        .checker()
        .threads(2)
        .finish_when(enough)
        .spawn_bfs()
        .join();
    let count = checker.unique_state_count();
    // Others may have been found on the way: only those that were asked for are an answer.
    let mut discoveries = checker.discoveries();
    let found = failures
        .iter()
        .find_map(|name| Some((*name, discoveries.remove(name)?)));
    (found.map(|(name, path)| (name, path.into_actions())), count)
}

fn holds_with(servers: usize, faults: Faults) {
    let (found, states) = search(
        Rotation::new(servers, faults),
        &[RULES, NO_PERSON, NO_SPENT, NO_LASTING, FRESH],
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

#[test]
#[ignore = "half a minute: tests/e2e/model runs it"]
fn a_manifest_is_written_anew_at_any_point() {
    holds_with(2, Faults { anew: 1, ..CALM });
}

/// Its tokens are refused until another key has been made and has aged: nothing else can be done, and nothing less is.
#[test]
fn a_manifest_is_written_anew_and_the_key_that_signs_is_lost() {
    let model = Rotation {
        lost: true,
        ..Rotation::new(2, CALM)
    };
    let (found, states) = search(model, &[RULES, NO_PERSON, NO_SPENT, FRESH]);
    assert!(found.is_none(), "{found:?}");
    assert!(states > 1000, "only {states} states were searched");
}

#[test]
#[ignore = "half a minute: tests/e2e/model runs it"]
fn a_node_joins_with_old_key_material_at_any_point() {
    holds_with(2, Faults { joins: 1, ..CALM });
}

/// A dead run at any point: every state, 230,125 of them, which takes a minute or three.
#[test]
#[ignore = "minutes: tests/e2e/model runs it"]
fn a_run_dies_at_any_point() {
    holds_with(2, Faults { crashes: 1, ..CALM });
}

/// Worlds that are too large to be searched whole: their first states in the order of depth, and then random walks to the
/// end. `IRSA_MODEL_SECONDS` says for how long each (20).
#[test]
#[ignore = "minutes: tests/e2e/model runs it"]
fn larger_searches() {
    let seconds = std::env::var("IRSA_MODEL_SECONDS").map_or(20, |text| text.parse().unwrap());
    let each = Duration::from_secs(seconds) / 2;
    for (servers, faults) in [
        (3, Faults { crashes: 1, ..CALM }),
        (3, Faults { stalls: 1, ..CALM }),
        (
            2,
            Faults {
                crashes: 2,
                late: 1,
                lags: true,
                ..CALM
            },
        ),
        (
            2,
            Faults {
                crashes: 1,
                compromises: 1,
                ..CALM
            },
        ),
        (
            2,
            Faults {
                crashes: 1,
                amnesia: 1,
                ..CALM
            },
        ),
        (
            3,
            Faults {
                crashes: 1,
                stalls: 1,
                restarts: 1,
                ..CALM
            },
        ),
    ] {
        let checker = || {
            Rotation::new(servers, faults)
                .checker()
                .threads(2)
                .timeout(each)
        };
        let first = checker().spawn_bfs().join();
        assert_found_nothing(first.discoveries(), faults);
        let walks = checker().spawn_simulation(7, UniformChooser).join();
        assert_found_nothing(walks.discoveries(), faults);
        let (wide, deep) = (first.unique_state_count(), walks.state_count());
        println!(
            "{servers} servers, {faults:?}: the first {wide} states, and {deep} on random walks"
        );
        assert!(wide > 1000 && deep > 1000, "{wide}, {deep}");
    }
}

fn assert_found_nothing(discoveries: HashMap<&'static str, Path<State, Event>>, faults: Faults) {
    let found = discoveries.into_iter().next();
    let found = found.map(|(name, path)| (name, path.into_actions()));
    assert!(found.is_none(), "{faults:?}: {found:?}");
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

/// From a state on, without any more faults: every node's run in turn, and time. What is left when it comes to rest.
fn heal(model: &Rotation, mut state: State) -> State {
    let go = |state: &State, event| model.next_state(state, event);
    for _ in 0..MOST_TICKS {
        for at in 0..2 {
            if !state.ran[at] && state.runs[at].is_none() {
                state = go(&state, Event::Start(at)).unwrap();
            }
            while state.runs[at].is_some() {
                state = go(&state, Event::Turn(at)).unwrap();
            }
        }
        if Rotation::goal(&state) {
            break;
        }
        state = go(&state, Event::Tick).unwrap();
    }
    state
}

/// The remaining guard is a second line: a spent key that the first line let back in is taken out again. The search finds
/// the ways in which one comes back; from there it is the same machine, with the guard and without.
#[test]
fn a_spent_key_that_comes_back_goes_again() {
    let late = Faults {
        late: 1,
        compromises: 1,
        ..CALM
    };
    let model = |guards| Rotation {
        guards,
        fences: Fences {
            lease: false,
            ..Fences::ALL
        },
        ..Rotation::new(2, late)
    };
    let (found, _) = search(model(Guards::ALL), &[NO_SPENT]);
    let (_, events) = found.expect("a late write brings a spent key back");
    for (guards, heals) in [
        (Guards::ALL, true),
        (Guards::without(Guard::Tombstone), false),
    ] {
        let model = model(guards);
        let mut state = model.init_states().remove(0);
        for event in &events {
            state = model.next_state(&state, *event).unwrap();
        }
        assert!(state.world.leftover().is_some(), "{events:?}");
        let end = heal(&model, state);
        assert_eq!(Rotation::goal(&end), heals, "{guards:?} after {events:?}");
        assert_eq!(end.world.leftover().is_none(), heals, "{guards:?}");
        assert_eq!(end.world.violation(), None);
    }
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
