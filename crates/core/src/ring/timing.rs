//! The waits that runs were told to keep: what began under a longer one is not cut short by a run with a shorter one.
//!
//! A cache that was filled while a JWKS might be kept for a day keeps it for a day, and a token that was made while tokens
//! might live for a day lives for a day, whatever a later command line says. So a wait that is lowered at `until` goes on
//! counting for what began before: it ends at the earlier of its beginning and `until`, and the old wait. What begins
//! later has the new wait alone as soon as the old one has run out.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::after;
use crate::observation::{Observation, seconds};
use crate::policy::RotationPolicy;

/// What is remembered of timers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Those of the last run; nothing before the first one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub now: Option<Waits>,
    /// Longer ones that have not run out.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub earlier: Vec<Earlier>,
}

/// The waits of a run, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waits {
    /// How long a key signs before the next rotation begins.
    #[serde(with = "seconds")]
    pub period: Duration,
    /// How long a key is published and trusted before it signs. Rings of earlier versions have the wait for `served` here.
    #[serde(with = "seconds")]
    pub publish: Duration,
    /// The longest `max-age` that a JWKS was served with.
    #[serde(with = "seconds", default, skip_serializing_if = "Duration::is_zero")]
    pub served: Duration,
    /// How long a key stays published after it last signed.
    #[serde(with = "seconds")]
    pub public: Duration,
    /// How long a key stays trusted after it last signed.
    #[serde(with = "seconds")]
    pub cluster: Duration,
    /// How far two clocks may differ.
    #[serde(with = "seconds")]
    pub skew: Duration,
}

/// A wait that was lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Earlier {
    /// Which one.
    pub timer: Timer,
    /// How long it was.
    #[serde(with = "seconds")]
    pub wait: Duration,
    /// When a run first had a shorter one.
    pub until: Timestamp,
}

/// A wait that must not end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timer {
    /// Before a key signs.
    PublishWait,
    /// Before it leaves the JWKS.
    PublicDrain,
    /// Before it leaves the API servers.
    ClusterDrain,
}

impl Timer {
    const ALL: [Self; 3] = [Self::PublishWait, Self::PublicDrain, Self::ClusterDrain];

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PublishWait => "publish wait",
            Self::PublicDrain => "public drain",
            Self::ClusterDrain => "cluster drain",
        }
    }
}

impl Waits {
    /// Those of a policy, where a JWKS is served as it was seen.
    pub(crate) fn of(policy: &RotationPolicy, observed: &Observation) -> Self {
        // What stops a run, unless it is an emergency, is no wait to remember.
        let believed = observed.max_age <= Self::longest_served(policy);
        Self {
            period: whole(policy.period()),
            publish: whole(policy.publish_wait()),
            served: if believed {
                whole(observed.max_age)
            } else {
                Duration::ZERO
            },
            public: whole(policy.public_drain(Duration::ZERO)),
            cluster: whole(policy.cluster_drain(Duration::ZERO)),
            skew: whole(policy.skew()),
        }
    }

    /// The longest `max-age` that a run waits for by itself: one rotation ends before the next one begins.
    pub(crate) fn longest_served(policy: &RotationPolicy) -> Duration {
        policy.period().saturating_sub(policy.skew())
    }

    /// One of them; that before a key signs covers what was served.
    pub fn of_timer(&self, timer: Timer) -> Duration {
        match timer {
            Timer::PublishWait => self.publish.max(self.for_served()),
            Timer::PublicDrain => self.public,
            Timer::ClusterDrain => self.cluster,
        }
    }

    /// How long a key must be published where copies may be kept as long as was served.
    pub fn for_served(&self) -> Duration {
        if self.served.is_zero() {
            return Duration::ZERO;
        }
        self.served.saturating_add(self.skew)
    }
}

/// Never shorter than it was.
fn whole(wait: Duration) -> Duration {
    Duration::from_secs(
        wait.as_secs()
            .saturating_add(u64::from(wait.subsec_nanos() > 0)),
    )
}

impl Timing {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With the waits of a run.
    pub(crate) fn learned(&self, waits: Waits, now: Timestamp) -> Self {
        let mut earlier = self.earlier.clone();
        for timer in Timer::ALL {
            let Some(before) = self.now.map(|before| before.of_timer(timer)) else {
                continue;
            };
            if waits.of_timer(timer) < before {
                // What was lowered before this one, and was no longer, says nothing more.
                earlier.retain(|other| other.timer != timer || other.wait > before);
                earlier.push(Earlier {
                    timer,
                    wait: before,
                    until: now,
                });
            }
        }
        earlier.retain(|each| {
            each.wait > waits.of_timer(each.timer) && after(each.until, each.wait) > now
        });
        Self {
            now: Some(waits),
            earlier,
        }
    }

    /// When a wait ends that began at `from`, and that is `wait` long by the policy of this run.
    pub(crate) fn end(&self, timer: Timer, from: Timestamp, wait: Duration) -> Timestamp {
        let now = self
            .now
            .map_or(wait, |waits| waits.of_timer(timer).max(wait));
        let earlier = self.earlier.iter().filter(|each| each.timer == timer);
        earlier
            .map(|each| after(from.min(each.until), each.wait))
            .fold(after(from, now), Timestamp::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn waits(publish: u64) -> Waits {
        let seconds = Duration::from_secs;
        Waits {
            period: seconds(10_000),
            publish: seconds(publish),
            served: Duration::ZERO,
            public: seconds(50),
            cluster: seconds(50),
            skew: seconds(1),
        }
    }

    fn end(timing: &Timing, from: i64) -> i64 {
        let wait = timing.now.unwrap().publish;
        timing.end(Timer::PublishWait, at(from), wait).as_second()
    }

    #[test]
    fn what_began_under_a_longer_wait_keeps_it() {
        let timing = Timing::default().learned(waits(100), at(0));
        assert_eq!(end(&timing, 10), 110);
        let timing = timing.learned(waits(5), at(20));
        assert_eq!(end(&timing, 10), 110, "it began before");
        assert_eq!(end(&timing, 20), 120);
        assert_eq!(end(&timing, 30), 120, "caches were filled until then");
        assert_eq!(end(&timing, 119), 124, "the old wait has run out");
        assert_eq!(timing.earlier.len(), 1);
        let timing = timing.learned(waits(5), at(120));
        assert!(timing.earlier.is_empty(), "{timing:?}");
    }

    #[test]
    fn runs_with_different_timers_neither_undercut_nor_block_one_another() {
        let mut timing = Timing::default().learned(waits(100), at(0));
        // Two nodes in turn, for longer than either wait.
        for turn in 0..40_i64 {
            let publish = if turn % 2 == 0 { 5 } else { 100 };
            timing = timing.learned(waits(publish), at(10 + turn * 10));
            assert_eq!(end(&timing, 10), 110, "turn {turn}");
            assert!(timing.earlier.len() < 2, "{timing:?}");
        }
    }

    #[test]
    fn several_lowerings_leave_what_is_the_longest() {
        let timing = Timing::default().learned(waits(100), at(0));
        let timing = timing.learned(waits(60), at(10)).learned(waits(5), at(100));
        assert_eq!(end(&timing, 0), 100);
        assert_eq!(end(&timing, 50), 110, "60 since 50, and 100 since 10");
        assert_eq!(end(&timing, 100), 160);
        let longer = timing.learned(waits(200), at(101));
        assert!(longer.earlier.is_empty(), "{longer:?}");
    }

    #[test]
    fn a_served_copy_that_may_be_kept_for_longer_lengthens_the_wait() {
        let policy = RotationPolicy::default();
        let mut observed = Observation::default();
        let kept =
            |observed: &Observation| Waits::of(&policy, observed).of_timer(Timer::PublishWait);
        assert_eq!(kept(&observed), policy.publish_wait());
        observed.max_age = Duration::from_hours(48);
        assert_eq!(kept(&observed), Duration::from_hours(48) + policy.skew());
        assert_eq!(Waits::of(&policy, &observed).publish, policy.publish_wait());
        // A year is somebody's mistake: it stops a run, and is not remembered.
        observed.max_age = Duration::from_hours(8760);
        assert_eq!(kept(&observed), policy.publish_wait());
    }

    #[test]
    fn a_ring_that_knows_nothing_of_what_was_served_is_read() {
        let earlier =
            r#"{"period": 864000, "publish": 3900, "public": 4200, "cluster": 7200, "skew": 300}"#;
        let waits: Waits = serde_json::from_str(earlier).unwrap();
        assert_eq!(waits.of_timer(Timer::PublishWait).as_secs(), 3900);
        let written = serde_json::to_string(&waits).unwrap();
        assert!(!written.contains("served"), "{written}");
    }
}
