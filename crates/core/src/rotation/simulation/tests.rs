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
