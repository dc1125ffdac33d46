//! Who may have tokens of a key that goes at once.

use jiff::Timestamp;

use crate::kid::Kid;
use crate::ring::{KeyRing, Stage};

/// Pods that may have tokens of a key: all while it signs, and those that are older than the end of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspects {
    until: Option<Timestamp>,
}

impl Suspects {
    /// None if the key has never signed, or the ring does not have it.
    pub fn of(kid: &Kid, ring: &KeyRing) -> Option<Self> {
        match ring.key(kid)?.stage {
            Stage::Next(_) => None,
            Stage::Signing { .. } => Some(Self { until: None }),
            Stage::Draining { quiet_since, .. } => Some(Self { until: quiet_since }),
        }
    }

    /// Whether a pod may have one, by the time of its creation. Of one that has none anything may be true.
    pub fn has(&self, created: Option<Timestamp>) -> bool {
        let younger = self
            .until
            .zip(created)
            .is_some_and(|(until, created)| created > until);
        !younger
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::simulation::world::kid;
    use crate::rotation::tests::{at, drained, seen, settle, with_next};

    #[test]
    fn a_pod_that_came_after_the_key_has_no_token_of_it() {
        let second = |second| Some(Timestamp::from_second(second).unwrap());
        let drained = Suspects {
            until: second(1000),
        };
        assert!(drained.has(second(999)));
        assert!(drained.has(second(1000)));
        assert!(!drained.has(second(1001)));
        assert!(drained.has(None));
        let signing = Suspects { until: None };
        assert!(signing.has(second(1001)));
    }

    #[test]
    fn a_key_that_has_never_signed_has_no_tokens() {
        let (_, ring) = with_next();
        assert_eq!(Suspects::of(&kid(2), &ring), None);
        assert_eq!(Suspects::of(&kid(9), &ring), None);
        let signing = Some(Suspects { until: None });
        assert_eq!(Suspects::of(&kid(1), &ring), signing);
        let (world, ring) = drained();
        let (ring, _) = settle(ring, &seen(&world), at(3));
        let Some(Suspects { until: Some(_) }) = Suspects::of(&kid(1), &ring) else {
            panic!("it signs no more: {ring:?}")
        };
    }
}
