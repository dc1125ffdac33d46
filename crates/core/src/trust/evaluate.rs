//! Whether a trust policy lets a token in, and which condition does not.
//!
//! Follows IAM's evaluation: a statement applies when principal, action and every condition fit; an applying `Deny`
//! wins, an applying `Allow` lets in, nothing refuses. Of the values of one condition key any may fit (of a negated
//! operator, none may). What only AWS knows (source addresses, session tags) is said to be unknown, never guessed.

use std::fmt;

use serde_json::{Map, Value};

pub use super::condition::Condition;
use super::condition::{Judged, judge, like};
use super::{ACTION, TrustPolicy, texts};
use crate::provider::ProviderArn;

/// What a token shows to STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The provider of the token's issuer.
    pub provider: ProviderArn,
    /// Its `aud`: STS takes the first that is a client ID of the provider.
    pub audience: String,
    /// Its `sub`.
    pub subject: String,
}

/// What a policy says to a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the role can be assumed, as far as can be seen from here.
    pub allowed: bool,
    /// Whether a condition that only AWS can look at may turn that round.
    pub undecided: bool,
    /// What each statement says, in their order.
    pub statements: Vec<Outcome>,
}

/// What one statement says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It lets the token in.
    Allows,
    /// It keeps the token out, whatever others say.
    Denies,
    /// It is about somebody else.
    OtherPrincipal(Vec<String>),
    /// It is about something else.
    OtherAction(Vec<String>),
    /// A condition does not hold.
    Refuses(Condition),
    /// A condition that only AWS can look at; all others hold.
    Unknown {
        /// Whether the statement is a `Deny`.
        denies: bool,
        /// The operator.
        operator: String,
        /// The key.
        key: String,
    },
    /// Not a statement.
    Malformed,
}

/// Evaluates a policy.
pub fn evaluate(policy: &TrustPolicy, presented: &Presented) -> Verdict {
    let variables = policy.has_variables();
    let statements: Vec<Outcome> = policy
        .statements()
        .into_iter()
        .map(|one| statement(one, presented, variables).unwrap_or(Outcome::Malformed))
        .collect();
    let denied = statements.contains(&Outcome::Denies);
    let allowed = !denied && statements.contains(&Outcome::Allows);
    let undecided = statements.iter().any(|one| match one {
        Outcome::Unknown { denies, .. } => !denied && *denies == allowed,
        _ => false,
    });
    Verdict {
        allowed,
        undecided,
        statements,
    }
}

fn statement(statement: &Value, presented: &Presented, variables: bool) -> Option<Outcome> {
    let members = statement.as_object()?;
    let denies = match members.get("Effect")?.as_str()? {
        "Allow" => false,
        "Deny" => true,
        _ => return None,
    };
    if let Some(others) = other_principal(members, presented)? {
        return Some(Outcome::OtherPrincipal(others));
    }
    if let Some(others) = other_action(members)? {
        return Some(Outcome::OtherAction(others));
    }
    let judged = match members.get("Condition") {
        Some(block) => judge(block, presented, variables)?,
        None => Judged::Holds,
    };
    Some(match judged {
        Judged::Holds if denies => Outcome::Denies,
        Judged::Holds => Outcome::Allows,
        Judged::Fails(condition) => Outcome::Refuses(condition),
        Judged::Unknown { operator, key } => Outcome::Unknown {
            denies,
            operator,
            key,
        },
    })
}

/// Who the statement is about, if not the provider; the outer `None` is malformed.
#[expect(
    clippy::option_option,
    reason = "malformed, and about this principal, are two answers"
)]
fn other_principal(
    members: &Map<String, Value>,
    presented: &Presented,
) -> Option<Option<Vec<String>>> {
    let arn = presented.provider.to_string();
    let (named, wanted) = match (members.get("Principal"), members.get("NotPrincipal")) {
        (Some(principal), None) => (principal, true),
        (None, Some(principal)) => (principal, false),
        _ => return None,
    };
    let (everybody, federated) = match named {
        Value::Object(kinds) => {
            let of = |kind| kinds.get(kind).map_or(Some(Vec::new()), texts);
            let star = |list: &Vec<String>| list.iter().any(|one| one == "*");
            let (aws, federated) = (of("AWS")?, of("Federated")?);
            (star(&aws) || star(&federated), federated)
        }
        other => (texts(other)?.iter().any(|one| one == "*"), Vec::new()),
    };
    let is_named = everybody || federated.contains(&arn);
    Some((is_named != wanted).then(|| principals(named)))
}

/// Everything named as principal, of whatever kind.
fn principals(principal: &Value) -> Vec<String> {
    match principal {
        Value::Object(kinds) => kinds.values().filter_map(texts).flatten().collect(),
        other => texts(other).unwrap_or_default(),
    }
}

/// What the statement is about, if not this action; the outer `None` is malformed.
#[expect(
    clippy::option_option,
    reason = "malformed, and about this action, are two answers"
)]
fn other_action(members: &Map<String, Value>) -> Option<Option<Vec<String>>> {
    let (actions, wanted) = match (members.get("Action"), members.get("NotAction")) {
        (Some(actions), None) => (texts(actions)?, true),
        (None, Some(actions)) => (texts(actions)?, false),
        _ => return None,
    };
    // Names of actions are compared without regard to case (IAM User Guide, "Action").
    let ours = ACTION.to_ascii_lowercase();
    let is_named = actions
        .iter()
        .any(|action| like(&action.to_ascii_lowercase(), &ours));
    Some((is_named != wanted).then_some(actions))
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allows => f.write_str("lets the token in"),
            Self::Denies => f.write_str("denies it, whatever other statements say"),
            Self::OtherPrincipal(found) => write!(f, "is for {}", found.join(", ")),
            Self::OtherAction(found) => write!(f, "is about {}, not {ACTION}", found.join(", ")),
            Self::Refuses(condition) => write!(f, "does not apply: {condition}"),
            Self::Unknown { operator, key, .. } => {
                write!(
                    f,
                    "cannot be judged from here: {operator} {key} is known to AWS only"
                )
            }
            Self::Malformed => f.write_str("is no statement that IAM would take"),
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
