//! What a person sees of the endpoint: one page on the admin port, and optionally one without details for everybody.
//!
//! The pages are rendered on request from the [`Site`](super::Site), the [`Metrics`](super::Metrics) and the [`Board`], where whoever
//! wires the server pins what the server itself cannot know: what went wrong lately, what other places of the same
//! documents hold, and how far the rotation is. Everything that is foreign (URLs, kids, messages) is escaped by the
//! template; the page loads nothing, runs nothing, and says so in its `Content-Security-Policy`.

mod page;
mod public;
mod timeline;
mod words;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;

pub(super) use page::{POLICY, View, render};
pub(super) use public::{PATH as PUBLIC_PATH, answer as public_answer};

/// What the server is told about the world around it. It keeps a bounded amount, whatever happens.
#[derive(Debug, Default)]
pub struct Board {
    problems: Mutex<VecDeque<Problem>>,
    sinks: ArcSwap<Vec<SinkLook>>,
    rotations: ArcSwap<Vec<Rotation>>,
    public: AtomicBool,
    summary: public::Summary,
}

/// Something that went wrong, or was put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// When it was last seen.
    pub at: Timestamp,
    /// What it is about: an issuer, a file.
    pub subject: String,
    /// In words.
    pub what: String,
    /// How often it came in a row.
    pub times: u32,
}

/// One more place that holds an issuer's documents, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkLook {
    /// Whose documents.
    pub issuer: String,
    /// Where: `public`, `dir:PATH`, `s3://BUCKET/PREFIX`.
    pub sink: String,
    /// What was found.
    pub found: Agreement,
    /// When it was looked at.
    pub at: Timestamp,
}

/// How the keys of a sink compare with those that are served here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// The same kids.
    Agrees,
    /// Others. A token signed by a key that only one place knows is refused by whoever asks the other.
    Differs {
        /// The kids that are served here and are not there.
        missing: Vec<String>,
        /// The kids that are there and are not served here.
        foreign: Vec<String>,
    },
    /// It could not be read, and why.
    Unreadable(String),
}

/// The public part of a rotation, as `irsa rotate status -o json` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Whose keys.
    pub issuer: String,
    /// When the key ring was last saved.
    pub written: Timestamp,
    /// Its keys.
    pub keys: Vec<RotatingKey>,
}

/// A key of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatingKey {
    /// Its kid.
    pub kid: String,
    /// next, current, previous or withdrawn.
    pub state: String,
    /// Since when it is in that state, if that is known.
    pub since: Option<Timestamp>,
    /// What happens to it next, in words.
    pub next: String,
    /// When that may happen at the earliest.
    pub opens: Option<Timestamp>,
    /// Whether it is in foreign hands.
    pub compromised: bool,
}

impl Board {
    /// Notes that something went wrong. The same about the same subject is one entry that counts.
    pub fn problem(&self, at: Timestamp, subject: &str, what: &str) {
        let mut problems = self.lock();
        let what: String = what.chars().take(MAX_TEXT).collect();
        let subject: String = subject.chars().take(MAX_TEXT).collect();
        let same = |one: &Problem| one.subject == subject && one.what == what;
        let times = match problems.iter().position(same) {
            Some(known) => problems.remove(known).map_or(0, |one| one.times),
            None => 0,
        };
        problems.push_front(Problem {
            at,
            subject,
            what,
            times: times.saturating_add(1),
        });
        problems.truncate(MAX_PROBLEMS);
    }

    /// What went wrong lately, the newest first.
    pub fn problems(&self) -> Vec<Problem> {
        self.lock().iter().cloned().collect()
    }

    /// What other places of the documents hold; replaces what was said before.
    pub fn sinks_seen(&self, looks: Vec<SinkLook>) {
        self.sinks.store(Arc::new(looks));
    }

    /// The last looks at other places.
    pub fn sinks(&self) -> Arc<Vec<SinkLook>> {
        self.sinks.load_full()
    }

    /// How far each rotation is; replaces what was said before.
    pub fn rotations_seen(&self, rotations: Vec<Rotation>) {
        self.rotations.store(Arc::new(rotations));
    }

    /// The rotations.
    pub fn rotations(&self) -> Arc<Vec<Rotation>> {
        self.rotations.load_full()
    }

    /// Shows the page without details on the public port.
    pub fn publish_summary(&self) {
        self.public.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_public_summary(&self) -> bool {
        self.public.load(Ordering::Relaxed)
    }

    fn summary(&self) -> &public::Summary {
        &self.summary
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Problem>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Problems that are kept: a screen of them; the log has all.
const MAX_PROBLEMS: usize = 20;
/// Characters of a message: it may quote a file.
const MAX_TEXT: usize = 400;

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
