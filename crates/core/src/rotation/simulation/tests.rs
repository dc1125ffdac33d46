use super::*;
use crate::policy::Timers;
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

#[test]
fn chaos_by_seed() {
    let start = std::time::Instant::now();
    let mut worst = Duration::ZERO;
    for seed in 0..300 {
        let mut s = Simulation::new(
            &plan(seed),
            chaos(u8::from(seed % 2 == 0)),
            Guards::ALL,
            Fences::ALL,
        );
        s.rules.looks = 4;
        s.world.lags = true;
        let report = s.rotate(1).clone();
        let person =
            matches!(report.blocked, Some(Block::PrivateLost { .. })) && !s.world.lost.is_empty();
        let good =
            report.violation.is_none() && (person || report.blocked.is_none() && report.complete);
        assert!(
            good,
            "seed {seed}: {:?} {:?} {}\n{}\n{:#?}",
            report.violation,
            report.blocked,
            report.complete,
            story(&report),
            s.world
        );
        worst = worst.max(report.took);
    }
    eprintln!("{:?} worst {worst:?}", start.elapsed());
}

#[test]
fn probe_mutations() {
    use Guard as G;
    for guard in [
        G::PrivateDurable,
        G::Published,
        G::Trusted,
        G::Disk,
        G::Aged,
        G::ChosenFirst,
        G::Quiet,
        G::FreshReport,
        G::PublicDrain,
        G::ClusterDrain,
        G::Holds,
        G::GoneFirst,
        G::Tombstone,
    ] {
        let found = (0..400).find_map(|seed| {
            let mut s = Simulation::new(&plan(seed), chaos(0), Guards::without(guard), Fences::ALL);
            s.rules.looks = 4;
            s.world.lags = true;
            if guard == G::Holds {
                s.world.held = Some(world::kid(1));
            }
            let r = s.rotate(1);
            r.violation.clone().map(|v| (seed, v)).or_else(|| {
                (!r.complete && guard != G::Holds)
                    .then(|| (seed, (Duration::ZERO, Violation::BadSet { keys: 777 })))
            })
        });
        eprintln!("worst {guard:?} {found:?}");
    }
    for at in 0..4 {
        let mut f = Fences::ALL;
        *[&mut f.save, &mut f.sink, &mut f.node, &mut f.lease][at] = false;
        let found = (0..400).find_map(|seed| {
            let mut s = Simulation::new(&plan(seed), chaos(0), Guards::ALL, f);
            s.rules.looks = 4;
            s.world.lags = true;
            let r = s.rotate(1);
            r.violation.clone().map(|v| (seed, v)).or_else(|| {
                (!r.complete).then(|| (seed, (Duration::ZERO, Violation::BadSet { keys: 777 })))
            })
        });
        eprintln!("worst {f:?} {found:?}");
    }
}
