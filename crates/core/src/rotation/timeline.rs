//! What a ring and a policy say about the past and the future of its keys: for people, who want to see it at a glance.
//!
//! It looks at clocks alone. What else may keep a step back, as a node that has not reported or a Secret that needs a key,
//! only a run can see: an instant here is *not before*.

use std::fmt;

use jiff::Timestamp;

use crate::kid::Kid;
use crate::policy::RotationPolicy;
use crate::ring::timing::Timer;
use crate::ring::{KeyRing, RingKey, Stage, Track, after};

/// All keys of a ring over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// A lane for each key, oldest first.
    pub lanes: Vec<Lane>,
    /// What opens when, the nearest first.
    pub gates: Vec<Gate>,
}

/// A key over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Which key.
    pub kid: Kid,
    /// Whether it is known to be in foreign hands.
    pub compromised: bool,
    /// What it is, one after the other.
    pub spans: Vec<Span>,
}

/// A time in which a key is one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub state: KeyState,
    /// Since when.
    pub from: Timestamp,
    /// Not before when it ends; nothing if no clock tells.
    pub to: Option<Timestamp>,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// Published and trusted, or on its way there; it has never signed.
    Next,
    /// It signs.
    Current,
    /// It signs no more; its tokens for AWS and other relying parties may be alive.
    Previous,
    /// It is out of the JWKS, or leaving it; its tokens for the API servers may be alive.
    Withdrawn,
    /// It leaves everything.
    Leaving,
}

/// An instant from which on a step is allowed by the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// When.
    pub at: Timestamp,
    /// Of which key.
    pub kid: Kid,
    /// What.
    pub opens: Opens,
}

/// What a gate opens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Opens {
    /// The key signs.
    Signs,
    /// Another key is made to replace it.
    Replaced,
    /// It leaves the JWKS.
    LeavesJwks,
    /// It leaves the API servers.
    LeavesServers,
}

impl KeyState {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Withdrawn => "withdrawn",
            Self::Leaving => "leaving",
        }
    }
}

impl fmt::Display for Opens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Signs => "signs",
            Self::Replaced => "is replaced",
            Self::LeavesJwks => "leaves the JWKS",
            Self::LeavesServers => "leaves the API servers",
        })
    }
}

impl Timeline {
    /// The timeline of a ring.
    pub fn of(ring: &KeyRing, policy: &RotationPolicy) -> Self {
        let mut timeline = Self {
            lanes: Vec::new(),
            gates: Vec::new(),
        };
        for key in ring.keys() {
            let spans = timeline.spans(key, ring, policy);
            timeline.lanes.push(Lane {
                kid: key.kid.clone(),
                compromised: key.compromised.is_some(),
                spans,
            });
        }
        timeline.gates.sort_by_key(|gate| (gate.at, gate.opens));
        timeline
    }

    /// The lane of a key.
    pub fn lane(&self, kid: &Kid) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.kid == *kid)
    }

    fn gate(&mut self, at: Option<Timestamp>, kid: &Kid, opens: Opens) {
        if let Some(at) = at {
            let kid = kid.clone();
            self.gates.push(Gate { at, kid, opens });
        }
    }

    fn spans(&mut self, key: &RingKey, ring: &KeyRing, policy: &RotationPolicy) -> Vec<Span> {
        let kid = &key.kid;
        match &key.stage {
            Stage::Next(_) => {
                let to = signs_at(key, ring, policy);
                self.gate(to, kid, Opens::Signs);
                let from = key.created;
                let state = KeyState::Next;
                vec![Span { state, from, to }]
            }
            Stage::Signing { since, .. } => {
                let due = match ring.requested() {
                    Some(at) => at,
                    None => after(*since, policy.period()),
                };
                let to = if let Some(next) = ring.next() {
                    signs_at(next, ring, policy)
                } else {
                    self.gate(Some(due), kid, Opens::Replaced);
                    Some(due)
                };
                let (state, from) = (KeyState::Current, *since);
                vec![Span { state, from, to }]
            }
            Stage::Draining {
                quiet_since,
                longest,
                public,
                cluster,
                ..
            } => {
                let burnt = key.compromised.is_some();
                let end = |timer, drain| {
                    let quiet = (*quiet_since)?;
                    let end = ring.timing().end(timer, quiet, drain);
                    Some(if burnt { quiet } else { end })
                };
                let public_end = end(Timer::PublicDrain, policy.public_drain(longest.public));
                let cluster_end = end(Timer::ClusterDrain, policy.cluster_drain(longest.cluster));
                let from = quiet_since.unwrap_or(key.created);
                self.drain(kid, from, (*public, public_end), (*cluster, cluster_end))
            }
        }
    }

    fn drain(
        &mut self,
        kid: &Kid,
        mut from: Timestamp,
        (public, public_end): (Track, Option<Timestamp>),
        (cluster, cluster_end): (Track, Option<Timestamp>),
    ) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut push = |state, to: Option<Timestamp>| {
            spans.push(Span { state, from, to });
            from = to.unwrap_or(from);
        };
        if public == Track::Held {
            push(KeyState::Previous, public_end);
        }
        if cluster == Track::Held && (public != Track::Held || public_end < cluster_end) {
            push(KeyState::Withdrawn, cluster_end);
        }
        if public != Track::Held && cluster != Track::Held {
            push(KeyState::Leaving, None);
        }
        if public == Track::Held {
            self.gate(public_end, kid, Opens::LeavesJwks);
        }
        if cluster == Track::Held {
            self.gate(cluster_end, kid, Opens::LeavesServers);
        }
        spans
    }
}

fn signs_at(key: &RingKey, ring: &KeyRing, policy: &RotationPolicy) -> Option<Timestamp> {
    let Stage::Next(seen) = &key.stage else {
        return None;
    };
    let since = seen.everywhere()?;
    if ring.is_emergency() {
        return Some(since);
    }
    let wait = policy.publish_wait();
    Some(ring.timing().end(Timer::PublishWait, since, wait))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rotation::simulation::world::kid;
    use crate::rotation::tests::{at, drained, seen, settle, with_next};

    #[test]
    fn each_gate_is_at_the_instant_at_which_the_machine_opens_it() {
        let policy = RotationPolicy::default();
        let (world, ring) = with_next();
        let timeline = Timeline::of(&ring, &policy);
        let [gate] = timeline.gates.as_slice() else {
            panic!("{timeline:?}")
        };
        assert_eq!((&gate.kid, gate.opens), (&kid(2), Opens::Signs));
        let early = gate.at.checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(
            settle(ring.clone(), &seen(&world), early)
                .0
                .signing()
                .unwrap()
                .kid,
            kid(1)
        );
        assert_eq!(
            settle(ring, &seen(&world), gate.at)
                .0
                .signing()
                .unwrap()
                .kid,
            kid(2)
        );

        let (world, ring) = drained();
        let timeline = Timeline::of(&ring, &policy);
        let opens: Vec<Opens> = timeline.gates.iter().map(|gate| gate.opens).collect();
        assert_eq!(
            opens,
            [Opens::LeavesJwks, Opens::Replaced, Opens::LeavesServers]
        );
        let public = timeline.gates[0].at;
        let held = |now| {
            let ring = settle(ring.clone(), &seen(&world), now).0;
            ring.key(&kid(1)).unwrap().is_public()
        };
        assert!(held(public.checked_sub(Duration::from_secs(1)).unwrap()));
        assert!(!held(public));
        let states: Vec<KeyState> = timeline
            .lane(&kid(1))
            .unwrap()
            .spans
            .iter()
            .map(|span| span.state)
            .collect();
        assert_eq!(states, [KeyState::Previous, KeyState::Withdrawn]);
        assert_eq!(timeline.lane(&kid(2)).unwrap().spans[0].from, at(3));
    }

    #[test]
    fn a_stolen_key_has_no_gate_in_the_future() {
        let (_, ring) = drained();
        let ring = ring.compromised(&kid(1), "stolen".into(), at(3)).unwrap();
        let timeline = Timeline::of(&ring, &RotationPolicy::default());
        let of_it = timeline.gates.iter().filter(|gate| gate.kid == kid(1));
        assert!(of_it.clone().count() == 2 && of_it.clone().all(|gate| gate.at == at(3)));
        assert!(timeline.lane(&kid(1)).unwrap().compromised);
    }
}
