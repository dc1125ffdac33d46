use super::*;
use crate::policy::{Assumptions, RotationPolicy, Timers};
use crate::rotation::Block;
use crate::rotation::guard::Guard;

fn hours(hours: u64) -> Duration {
    Duration::from_hours(hours)
}

fn truth() -> Assumptions {
    Assumptions {
        caches: hours(24),
        public_token: hours(24),
        cluster_token: hours(48),
        skew: Duration::from_mins(5),
    }
}

fn plan(seed: u64) -> Plan {
    Plan {
        servers: 3,
        truth: truth(),
        policy: RotationPolicy::new(truth(), Timers::default()).unwrap(),
        crash: false,
        seed,
    }
}

#[test]
fn a_quiet_rotation_writes_the_jwks_twice() {
    let report = simulate(&plan(0));
    assert_eq!(report.violation, None);
    assert_eq!(report.blocked, None);
    assert!(report.complete, "{report:#?}");
    assert_eq!(report.writes, 2);
}

fn chaos(lose_ring: u8) -> Chaos {
    Chaos {
        crash: 12,
        stall: 12,
        restart: 8,
        lose_ring,
        lose_key: if lose_ring == 0 { 4 } else { 0 },
        skew: true,
        faults: 24,
    }
}

fn story(report: &Report) -> String {
    let line = |moment: &Moment| format!("{:>12.3?} {:?}", moment.at, moment.what);
    report
        .timeline
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// One schedule of everything that can go wrong, from a seed; `None` if all is well.
fn trouble(seed: u64, servers: usize, lose_ring: u8) -> Option<String> {
    let plan = Plan {
        servers,
        ..plan(seed)
    };
    let mut simulation = Simulation::new(&plan, chaos(lose_ring), Guards::ALL, Fences::ALL);
    simulation.rules.looks = 4;
    simulation.world.lags = true;
    let report = simulation.rotate(1).clone();
    // Who destroys a private key that servers were already told to use must be told so.
    let told = matches!(report.blocked, Some(Block::PrivateLost { .. }))
        && !simulation.world.lost.is_empty();
    let well = report.violation.is_none() && (told || report.blocked.is_none() && report.complete);
    (!well).then(|| {
        format!(
            "seed {seed}: {:?} {:?} {}\n{}",
            report.violation,
            report.blocked,
            report.complete,
            story(&report)
        )
    })
}

fn schedules(range: std::ops::Range<u64>) {
    for seed in range {
        let lose_ring = u8::from(seed % 3 == 0);
        let servers = usize::try_from(seed % 4 + 1).unwrap();
        if let Some(trouble) = trouble(seed, servers, lose_ring) {
            panic!("{trouble}");
        }
    }
}

#[test]
fn a_thousand_schedules_of_crashes() {
    schedules(0..1000);
}

#[test]
#[ignore = "ten thousand with the next: tests/e2e/model runs them"]
fn ten_thousand_schedules_of_crashes_first_half() {
    schedules(0..5000);
}

#[test]
#[ignore = "ten thousand with the one before: tests/e2e/model runs them"]
fn ten_thousand_schedules_of_crashes_second_half() {
    schedules(5000..10_000);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 500, failure_persistence: None, ..Default::default() })]

    /// Any timers that a policy accepts are safe in the world that they were made for.
    #[test]
    fn accepted_timers_are_safe(caches in 1_u64..200, public in 1_u64..200, cluster in 1_u64..200, skew in 0_u64..60, seed: u64) {
        let truth = Assumptions {
            caches: Duration::from_mins(caches * 10),
            public_token: Duration::from_mins(public * 10),
            cluster_token: Duration::from_mins(cluster * 10),
            skew: Duration::from_secs(skew * 10),
        };
        let policy = RotationPolicy::new(truth, Timers::default()).unwrap();
        let plan = Plan { servers: 2, truth, policy, crash: true, seed };
        let report = simulate(&plan);
        proptest::prop_assert_eq!(&report.violation, &None, "{}", story(&report));
        proptest::prop_assert!(report.complete, "{:?} {}", report.blocked, story(&report));
    }

    /// Timers that are clearly too short for the world are found out.
    #[test]
    fn short_timers_are_found_out(which in 0_usize..3, part in 2_u32..8) {
        let truth = truth();
        let mut believed = truth;
        let wrong = [&mut believed.caches, &mut believed.public_token, &mut believed.cluster_token].into_iter().nth(which).unwrap();
        *wrong /= part;
        let policy = RotationPolicy::new(believed, Timers::default()).unwrap();
        let report = simulate(&Plan { servers: 3, truth, policy, crash: false, seed: 0 });
        let Some((_, violation)) = &report.violation else { panic!("{}", story(&report)) };
        let right = match which {
            0 => matches!(violation, Violation::NotYetFetched { .. }),
            1 => matches!(violation, Violation::LivingTokenPublic { .. }),
            _ => matches!(violation, Violation::LivingTokenCluster { .. }),
        };
        proptest::prop_assert!(right, "{}", violation);
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let plan = Plan {
        crash: true,
        ..plan(7)
    };
    let (a, b) = (simulate(&plan), simulate(&plan));
    assert!(a.crashes > 0 && a.complete, "{}", story(&a));
    assert_eq!(a.timeline, b.timeline);
}

#[test]
fn the_last_guards_are_needed_too() {
    let mut found = (0..500).filter_map(|seed| {
        let mut simulation = Simulation::new(
            &plan(seed),
            chaos(0),
            Guards::without(Guard::ChosenFirst),
            Fences::ALL,
        );
        simulation.rules.looks = 4;
        simulation.rotate(1).violation.clone()
    });
    assert!(
        found.next().is_some(),
        "a key that signs is given up as if it had never signed"
    );
}
