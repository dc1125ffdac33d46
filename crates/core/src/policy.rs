//! How long each step of a rotation must wait: durations that are safe together, by construction.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;

use crate::explain::Explain;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What is assumed of the world: how long others keep what they fetched, and how long tokens live.
///
/// A relying party must see a key before it sees the first token of that key, and must not lose a key before the last
/// token of that key has expired. Both waits follow from these four durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Assumptions {
    /// The longest time that a relying party goes on using a JWKS which it fetched: `max-age`, a CDN's TTL, the poll
    /// interval. AWS does not document that of STS; 24 h is assumed.
    pub caches: Duration,
    /// The longest life of a token for an external audience (`expirationSeconds` of a projected volume; the pod
    /// identity webhook's default is 86400 s).
    pub public_token: Duration,
    /// The longest life of a token that API servers accept: one year with
    /// `--service-account-extend-token-expiration`, which is on by default.
    pub cluster_token: Duration,
    /// How far two clocks may differ.
    pub skew: Duration,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            caches: Duration::from_secs(DAY),
            public_token: Duration::from_secs(DAY),
            cluster_token: Duration::from_secs(365 * DAY),
            skew: Duration::from_secs(5 * MINUTE),
        }
    }
}

/// Timers as an operator gives them: what is left out follows from the [`Assumptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timers {
    /// How long a key signs before the next rotation begins.
    pub period: Option<Duration>,
    /// How long a key is published and trusted before it signs.
    pub publish_wait: Option<Duration>,
    /// How long a key stays published after it last signed.
    pub public_drain: Option<Duration>,
    /// How long a key stays trusted by the API servers after it last signed.
    pub cluster_drain: Option<Duration>,
}

/// Timers that fit the assumptions: a policy that exists is safe if its assumptions hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RotationPolicy {
    assumptions: Assumptions,
    period: Duration,
    publish_wait: Duration,
    public_drain: Duration,
    cluster_drain: Duration,
}

/// Why timers make no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A wait that ends before what it waits for.
    #[error("the {timer} is {}, expected at least {} ({because})", spell(*given), spell(*needed))]
    TooShort {
        /// Which timer.
        timer: &'static str,
        /// What was given.
        given: Duration,
        /// The shortest that is safe.
        needed: Duration,
        /// What it must cover.
        because: &'static str,
    },
    /// Longer than anything lasts.
    #[error("the {what} is {}, expected at most {}", spell(*given), spell(LONGEST))]
    TooLong {
        /// What was given.
        what: &'static str,
        /// How long it is.
        given: Duration,
    },
    /// More keys at once than a JWKS may hold.
    #[error("with a period of {} and a public drain of {} more than {} keys would be published at once", spell(*period), spell(*drain), MOST_KEYS)]
    TooManyKeys {
        /// The period.
        period: Duration,
        /// The public drain.
        drain: Duration,
    },
}

/// How long a token lives that kube-apiserver has extended (`--service-account-extend-token-expiration`, on by default).
pub const STALE_LIFE: Duration = Duration::from_secs(365 * DAY);
/// How long no API server may have met a client that never reads a new token before such clients count as gone: longer
/// than a job that runs once a week is silent.
pub const STALE_QUIET: Duration = Duration::from_secs(8 * DAY);

/// A hundred years: what is longer was mistyped.
pub const LONGEST: Duration = Duration::from_secs(36_500 * DAY);

/// The shortest lease of a run that writes to S3, which takes a signed request for fifteen minutes, and the clocks of the
/// two differ: a key that another run has withdrawn as stolen would be public again if the last write came later.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(20 * MINUTE);

/// AWS takes 100 keys of an issuer; ten are left for what others publish there.
pub const MOST_KEYS: usize = 90;

impl Explain for PolicyError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::TooShort { .. } => {
                "leave the timer out to have it computed, or lower what it covers if you know that to be shorter".into()
            }
            Self::TooLong { .. } => "give a duration like 24h".into(),
            Self::TooManyKeys { .. } => "rotate less often, or issue tokens with a shorter life".into(),
        })
    }
}

impl RotationPolicy {
    /// Fills in what was left out, and refuses what would end a wait too early.
    pub fn new(assumptions: Assumptions, timers: Timers) -> Result<Self, PolicyError> {
        not_too_long(&assumptions, &timers)?;
        let policy = Self::remembered(assumptions, timers);
        let needed = Self::remembered(assumptions, Timers::default());
        for (timer, given, needed, because) in [
            (
                "publish wait",
                policy.publish_wait,
                needed.publish_wait,
                "the caches of relying parties and the clock skew",
            ),
            (
                "public drain",
                policy.public_drain,
                needed.public_drain,
                "the longest token for an external audience and twice the clock skew",
            ),
            (
                "cluster drain",
                policy.cluster_drain,
                needed.cluster_drain,
                "the longest token for the API server and twice the clock skew",
            ),
            (
                "period",
                policy.period,
                policy.publish_wait,
                "the publish wait: one rotation ends before the next one begins",
            ),
        ] {
            if given < needed {
                return Err(PolicyError::TooShort {
                    timer,
                    given,
                    needed,
                    because,
                });
            }
        }
        // A drained key leaves before MOST_KEYS more have come.
        let keys = MOST_KEYS.try_into().unwrap_or(u32::MAX);
        if policy.period.saturating_mul(keys) < policy.public_drain {
            return Err(PolicyError::TooManyKeys {
                period: policy.period,
                drain: policy.public_drain,
            });
        }
        Ok(policy)
    }

    /// Fills in what was left out, and refuses nothing: to show what earlier runs were told, never to decide by it.
    pub fn remembered(assumptions: Assumptions, timers: Timers) -> Self {
        let Assumptions {
            caches,
            public_token,
            cluster_token,
            skew,
        } = assumptions;
        let publish_wait = timers.publish_wait.unwrap_or(caches.saturating_add(skew));
        let period = Duration::from_secs(90 * DAY).max(publish_wait.saturating_mul(2));
        let drain = |given: Option<Duration>, token| given.unwrap_or(outlive(token, skew));
        Self {
            assumptions,
            period: timers.period.unwrap_or(period),
            publish_wait,
            public_drain: drain(timers.public_drain, public_token),
            cluster_drain: drain(timers.cluster_drain, cluster_token),
        }
    }

    /// What is assumed of the world.
    pub const fn assumptions(&self) -> &Assumptions {
        &self.assumptions
    }

    /// How far two clocks may differ.
    pub const fn skew(&self) -> Duration {
        self.assumptions.skew
    }

    /// How long a key signs before the next rotation begins.
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// How long a key is published and trusted before it signs.
    pub const fn publish_wait(&self) -> Duration {
        self.publish_wait
    }

    /// The longest that caches may keep the documents (`max-age`): a key signs when they have had so long to see it.
    pub fn longest_kept(&self) -> Duration {
        self.publish_wait.saturating_sub(self.skew())
    }

    /// How long a key stays published after it last signed, when `longest` is the longest token for an external
    /// audience that was seen while it signed.
    pub fn public_drain(&self, longest: Duration) -> Duration {
        self.public_drain.max(outlive(longest, self.skew()))
    }

    /// How long a key stays trusted after it last signed, when `longest` is the longest token for the API server
    /// that was seen while it signed.
    pub fn cluster_drain(&self, longest: Duration) -> Duration {
        self.cluster_drain.max(outlive(longest, self.skew()))
    }
}

impl Default for RotationPolicy {
    /// 90 days, 24 h 5 min, 24 h 10 min, one year and 10 min.
    fn default() -> Self {
        Self::remembered(Assumptions::default(), Timers::default())
    }
}

/// Refuses what was mistyped, by the name of what was given.
fn not_too_long(assumptions: &Assumptions, timers: &Timers) -> Result<(), PolicyError> {
    for (what, given) in [
        ("cache lifetime", Some(assumptions.caches)),
        (
            "life of a token for an external audience",
            Some(assumptions.public_token),
        ),
        (
            "life of a token for the API server",
            Some(assumptions.cluster_token),
        ),
        ("clock skew", Some(assumptions.skew)),
        ("publish wait", timers.publish_wait),
        ("public drain", timers.public_drain),
        ("cluster drain", timers.cluster_drain),
        ("period", timers.period),
    ] {
        if let Some(given) = given.filter(|given| *given > LONGEST) {
            return Err(PolicyError::TooLong { what, given });
        }
    }
    Ok(())
}

/// How long after its last signature the last token of a key can be judged alive: two clocks of runs measure the wait,
/// and two other clocks stamp and judge the token; each pair may differ by the skew.
fn outlive(token: Duration, skew: Duration) -> Duration {
    token.saturating_add(skew.saturating_mul(2))
}

/// A duration in words: `1d 5m`.
pub fn spell(duration: Duration) -> impl fmt::Display {
    let seconds = duration.as_secs();
    let (days, rest) = (seconds / DAY, seconds % DAY);
    let rest = SignedDuration::from_secs(rest.try_into().unwrap_or_default());
    match (days, rest.is_zero()) {
        (0, _) => format!("{rest:#}"),
        (days, true) => format!("{days}d"),
        (days, false) => format!("{days}d {rest:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * HOUR)
    }

    #[test]
    fn what_is_left_out_is_computed() {
        let policy = RotationPolicy::new(Assumptions::default(), Timers::default()).unwrap();
        assert_eq!(policy, RotationPolicy::default());
        assert_eq!(policy.publish_wait(), hours(24) + Duration::from_mins(5));
        assert_eq!(spell(policy.publish_wait()).to_string(), "1d 5m");
        assert_eq!(policy.longest_kept(), hours(24));
        assert_eq!(spell(Duration::from_mins(90)).to_string(), "1h 30m");
        assert_eq!(spell(hours(48)).to_string(), "2d");
    }

    #[test]
    fn a_wait_that_ends_too_early_is_refused() {
        let assume = Assumptions {
            caches: hours(10),
            public_token: hours(20),
            cluster_token: hours(30),
            skew: hours(1),
        };
        let set = |pick: fn(&mut Timers) -> &mut Option<Duration>, value| {
            let mut timers = Timers::default();
            *pick(&mut timers) = Some(value);
            RotationPolicy::new(assume, timers)
        };
        for (pick, needed) in [
            (
                (|t| &mut t.publish_wait) as fn(&mut Timers) -> &mut Option<Duration>,
                hours(11),
            ),
            (|t| &mut t.public_drain, hours(22)),
            (|t| &mut t.cluster_drain, hours(32)),
            (|t| &mut t.period, hours(11)),
        ] {
            assert!(set(pick, needed).is_ok());
            let error = set(pick, needed.saturating_sub(Duration::from_secs(1))).unwrap_err();
            assert!(error.to_string().contains("expected at least"), "{error}");
        }
    }

    #[test]
    fn what_nobody_means_is_refused_by_its_own_name() {
        let assume = Assumptions {
            caches: LONGEST + Duration::from_secs(1),
            ..Assumptions::default()
        };
        let error = RotationPolicy::new(assume, Timers::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the cache lifetime is 36500d"),
            "{error}"
        );
    }

    #[test]
    fn a_set_never_outgrows_what_aws_takes() {
        let assume = Assumptions {
            caches: hours(1),
            public_token: hours(1000),
            ..Assumptions::default()
        };
        let timers = Timers {
            period: Some(hours(2)),
            ..Timers::default()
        };
        assert!(matches!(
            RotationPolicy::new(assume, timers),
            Err(PolicyError::TooManyKeys { .. })
        ));
    }

    #[test]
    fn tokens_that_were_seen_make_a_drain_longer_never_shorter() {
        let policy = RotationPolicy::default();
        assert_eq!(
            policy.public_drain(hours(1)),
            hours(24) + Duration::from_mins(10)
        );
        assert_eq!(
            policy.public_drain(hours(48)),
            hours(48) + Duration::from_mins(10)
        );
    }
}
