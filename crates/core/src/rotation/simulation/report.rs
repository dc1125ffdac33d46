//! What is simulated, and what came of it.

use std::time::Duration;

use super::world::Violation;
use crate::policy::{Assumptions, RotationPolicy};
use crate::ring::What;
use crate::rotation::Block;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many API servers, each with a run on its node.
    pub servers: usize,
    /// What is true in the world, whatever the policy assumes.
    pub truth: Assumptions,
    /// The timers to be tried.
    pub policy: RotationPolicy,
    /// Whether things go wrong.
    pub crash: bool,
    /// Which things, at which moments.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// The rule that was broken, and when, if one was.
    pub violation: Option<(Duration, Violation)>,
    /// What stopped it, if a run asked for a person.
    pub blocked: Option<Block>,
    /// Whether it ended with one fresh key and no leftover.
    pub complete: bool,
    /// How often the JWKS was written.
    pub writes: usize,
    /// How long it took.
    pub took: Duration,
    /// How many runs died.
    pub crashes: usize,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// How long after the beginning.
    pub at: Duration,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A run did something, as its history says it.
    Deed {
        /// What.
        what: What,
        /// To which key, from 1.
        key: Option<usize>,
        /// Where.
        place: Option<String>,
    },
    /// A run died.
    Crash {
        /// The API server on whose node it ran, from 1.
        node: usize,
    },
    /// An API server restarted by itself.
    Restart {
        /// Which one, from 1.
        server: usize,
    },
    /// The key ring was lost.
    RingLost,
    /// Somebody destroyed the private half of the next key.
    KeyLost,
}
