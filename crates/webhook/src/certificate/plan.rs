//! When the CA changes. Pure: time and what was observed come in, one step comes out.

use std::time::Duration;

use super::record::Record;

/// How long things live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Life of a CA.
    pub authority_life: Duration,
    /// Life of a leaf.
    pub leaf_life: Duration,
    /// How long a CA is trusted before it signs, and after it last signed.
    pub overlap: Duration,
}

impl Default for Policy {
    /// Ten years, thirty days, one day.
    fn default() -> Self {
        let days = |days: u64| Duration::from_hours(24 * days);
        Self {
            authority_life: days(3_650),
            leaf_life: days(30),
            overlap: days(1),
        }
    }
}

/// What to do with the Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make the first CA.
    Create,
    /// Make the next CA, so that it becomes trusted; instead of one that was on its way.
    Prepare,
    /// Let the next CA sign.
    Promote,
    /// Trust a CA no longer that signed before.
    Retire,
    /// Nothing.
    Keep,
}

/// The next step. `next_is_trusted` says whether every caBundle of ours was seen to hold the next CA, `wanted` whether
/// a person asked for another CA; `now` is in Unix seconds. Repeating a step on the record that it led to is harmless.
pub fn next_step(
    record: Option<&Record>,
    next_is_trusted: bool,
    wanted: bool,
    policy: &Policy,
    now: i64,
) -> Step {
    let Some(record) = record else {
        return Step::Create;
    };
    let overlap = seconds(policy.overlap);
    if wanted {
        // Also when one is on its way: its key stands in the same Secret, and may be known to the same people.
        return Step::Prepare;
    }
    if let Some(next) = &record.next {
        let long_enough = now >= next.made.saturating_add(overlap);
        // An expired CA is trusted by nobody: whatever comes next can only be better.
        let too_late = now >= record.current.expires;
        return if next_is_trusted && (long_enough || too_late) {
            Step::Promote
        } else {
            Step::Keep
        };
    }
    if now >= prepare_at(record) {
        return Step::Prepare;
    }
    if record.previous.iter().any(|one| now >= one.until) {
        return Step::Retire;
    }
    Step::Keep
}

/// When the next CA is made: after four fifths of the life of the current one.
fn prepare_at(record: &Record) -> i64 {
    let life = record.current.expires.saturating_sub(record.current.made);
    record.current.made.saturating_add(life / 5 * 4)
}

/// When a leaf is renewed: after two thirds of its life, and no later than its CA allows.
pub(super) fn renew_at(made: i64, expires: i64) -> i64 {
    made.saturating_add(expires.saturating_sub(made) / 3 * 2)
}

pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::make;
    use super::super::record::{Record, Trusted};
    use super::*;

    const DAY: i64 = 86_400;

    fn policy() -> Policy {
        Policy {
            authority_life: Duration::from_hours(24 * 100),
            ..Policy::default()
        }
    }

    fn record() -> Record {
        Record {
            current: make::authority(&policy(), 0).unwrap(),
            next: None,
            previous: Vec::new(),
        }
    }

    #[test]
    fn the_first_ca_is_made() {
        assert_eq!(next_step(None, false, false, &policy(), 0), Step::Create);
    }

    #[test]
    fn a_ca_is_prepared_promoted_and_retired_in_its_time() {
        let mut record = record();
        let step = |record: &Record, trusted, day| {
            next_step(Some(record), trusted, false, &policy(), day * DAY)
        };
        assert_eq!(step(&record, false, 79), Step::Keep);
        assert_eq!(step(&record, false, 81), Step::Prepare);
        let wanted = next_step(Some(&record), false, true, &policy(), DAY);
        assert_eq!(wanted, Step::Prepare, "a person asked for it");
        record.next = Some(make::authority(&policy(), 81 * DAY).unwrap());
        assert_eq!(step(&record, false, 90), Step::Keep, "not in every bundle");
        let wanted = next_step(Some(&record), false, true, &policy(), 82 * DAY);
        assert_eq!(
            wanted,
            Step::Prepare,
            "the one on its way is as old as the leak"
        );
        let wanted = next_step(Some(&record), true, true, &policy(), 82 * DAY);
        assert_eq!(wanted, Step::Prepare, "and does not sign first");
        assert_eq!(step(&record, true, 81), Step::Keep, "not long enough");
        assert_eq!(step(&record, true, 82), Step::Promote);
        assert_eq!(step(&record, false, 101), Step::Keep, "never untrusted");
        record.current = record.next.take().unwrap();
        record.previous = vec![Trusted {
            certificate: String::new(),
            until: 83 * DAY,
        }];
        assert_eq!(step(&record, true, 82), Step::Keep);
        assert_eq!(step(&record, true, 83), Step::Retire);
    }

    #[test]
    fn an_expired_ca_waits_for_no_overlap() {
        let mut record = record();
        record.next = Some(make::authority(&policy(), 101 * DAY).unwrap());
        let step = next_step(Some(&record), true, false, &policy(), 101 * DAY);
        assert_eq!(step, Step::Promote);
    }

    #[test]
    fn a_leaf_is_renewed_after_two_thirds() {
        assert_eq!(renew_at(0, 30 * DAY), 20 * DAY);
    }
}
