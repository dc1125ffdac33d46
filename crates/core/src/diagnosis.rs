//! Why AWS STS refuses a token, decided from what was seen of the whole chain: issuer URL, kube-apiserver, documents,
//! certificate, token, IAM provider, role, bucket, cluster.
//!
//! [`Facts`] are what adapters saw, each optional with the reason why it was not seen; [`diagnose`] says what they mean,
//! one [`Check`] for each question.
//!
//! # Guarantees
//!
//! - A cause is named once: what is wrong only because of it is [`Verdict::Unseen`] and says what it follows from.
//! - What was not seen is said, never guessed.
//! - The names of checks ([`Check::id`]) do not change: they are labels of metrics.

mod answer;
mod bucket;
mod cluster;
mod difference;
mod documents;
pub mod facts;
mod flags;
mod host;
mod provider;
mod role;
mod served;
mod token;

use serde::Serialize;

pub use self::answer::StsAnswer;
pub use self::difference::difference;
pub use self::documents::jwks_uri;
pub use self::facts::{Facts, Seen};
use crate::jwks::JwkSet;

/// How one question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It was not seen, or follows from something else that is wrong.
    Unseen,
    /// It works, and may hurt later or let in too much.
    Warning,
    /// Tokens are refused because of it.
    Failure,
}

/// Two strings that should be one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Strings {
    /// As it is.
    pub found: String,
    /// As it should be.
    pub expected: String,
    /// In which way they differ, in words.
    pub difference: String,
    /// How many characters they have in common at their beginning.
    pub common: usize,
}

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A short name for the question that does not change.
    pub id: &'static str,
    /// What was looked at: a URL, a file, an ARN.
    pub subject: String,
    /// The answer.
    pub verdict: Verdict,
    /// The answer in words.
    pub message: String,
    /// The strings that differ, if it is about strings.
    pub strings: Option<Strings>,
    /// Why it matters.
    pub why: Option<String>,
    /// What STS says to a token because of it.
    pub sts: Option<StsAnswer>,
    /// What mends it: a command, or what to do.
    pub help: Option<String>,
    /// Whether it may be gone at the next look: unreachable, throttled.
    pub retryable: bool,
}

impl Check {
    fn new(
        verdict: Verdict,
        id: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            id,
            subject: subject.into(),
            verdict,
            message: message.into(),
            strings: None,
            why: None,
            sts: None,
            help: None,
            retryable: false,
        }
    }

    fn ok(id: &'static str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, id, subject, message)
    }

    fn warning(id: &'static str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, id, subject, message)
    }

    fn failure(id: &'static str, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Verdict::Failure, id, subject, message)
    }

    /// It was not seen.
    fn unseen(id: &'static str, unseen: &facts::Unseen) -> Self {
        Self {
            help: unseen.help.clone(),
            retryable: unseen.retryable,
            ..Self::new(Verdict::Unseen, id, "", unseen.why.clone())
        }
    }

    /// It cannot be judged, or is wrong only, because of another check.
    fn follows(id: &'static str, subject: impl Into<String>, cause: &str) -> Self {
        let message = format!("not judged: it follows from {cause}");
        Self::new(Verdict::Unseen, id, subject, message)
    }

    fn strings(mut self, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let (found, expected) = (found.into(), expected.into());
        let (difference, common) = difference(&found, &expected);
        self.strings = Some(Strings {
            found,
            expected,
            difference,
            common,
        });
        self
    }

    fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn sts(mut self, answer: StsAnswer) -> Self {
        self.sts = Some(answer);
        self
    }

    fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }
}

/// The answers so far, and what later questions need of earlier ones.
struct Diagnosis<'a> {
    facts: &'a Facts,
    checks: Vec<Check>,
    /// The check that explains why the documents cannot be read, if one of the bucket does.
    unreadable: Option<&'static str>,
    /// Whether both documents were had.
    readable: bool,
    /// The issuer's keys.
    keys: Option<JwkSet>,
}

impl Diagnosis<'_> {
    fn push(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Whether a check of this name is a failure.
    fn has_failed(&self, id: &str) -> bool {
        self.checks
            .iter()
            .any(|check| check.id == id && check.verdict == Verdict::Failure)
    }

    /// The failed check among these whose found string is this one: a later finding of it is no news.
    fn failed_with(&self, ids: &[&'static str], found: &str) -> Option<&'static str> {
        let same = |check: &&Check| {
            let strings = check.strings.as_ref();
            ids.contains(&check.id)
                && check.verdict == Verdict::Failure
                && strings.is_some_and(|strings| strings.found == found)
        };
        self.checks.iter().find(same).map(|check| check.id)
    }
}

/// Answers every question that the facts allow.
pub fn diagnose(facts: &Facts) -> Vec<Check> {
    let mut diagnosis = Diagnosis {
        facts,
        checks: Vec::new(),
        unreadable: None,
        readable: documents::are_readable(facts),
        keys: None,
    };
    documents::issuer_url(&mut diagnosis);
    flags::check(&mut diagnosis);
    bucket::check(&mut diagnosis);
    documents::check(&mut diagnosis);
    host::check(&mut diagnosis);
    provider::check(&mut diagnosis);
    token::check(&mut diagnosis);
    cluster::check(&mut diagnosis);
    role::check(&mut diagnosis);
    answer::check(&mut diagnosis);
    diagnosis.checks
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod tests;
