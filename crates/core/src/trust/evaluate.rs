//! Whether a trust policy lets a token in, and which condition does not.
//!
//! Follows IAM's evaluation: a statement applies when principal, action and every condition fit; an applying `Deny`
//! wins, an applying `Allow` lets in, nothing refuses. Of the values of one condition key any may fit (of a negated
//! operator, none may). What only AWS knows (source addresses, session tags) is said to be unknown, never guessed.

use std::fmt;

use serde_json::Value;

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
    /// A condition that only AWS can look at.
    Unknown {
        /// The operator.
        operator: String,
        /// The key.
        key: String,
    },
    /// Not a statement.
    Malformed,
}

/// A condition that does not hold: the two strings that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `StringEquals`.
    pub operator: String,
    /// As it stands in the policy.
    pub key: String,
    /// What would fit.
    pub expected: Vec<String>,
    /// What the token has; nothing when the key is none that this provider's tokens have.
    pub found: Option<String>,
}

/// Evaluates a policy.
pub fn evaluate(policy: &TrustPolicy, presented: &Presented) -> Verdict {
    let statements: Vec<Outcome> = policy
        .statements()
        .into_iter()
        .map(|one| statement(one, presented).unwrap_or(Outcome::Malformed))
        .collect();
    let denied = statements.contains(&Outcome::Denies);
    Verdict {
        allowed: !denied && statements.contains(&Outcome::Allows),
        statements,
    }
}

fn statement(statement: &Value, presented: &Presented) -> Option<Outcome> {
    let members = statement.as_object()?;
    let principals = principals(members.get("Principal")?)?;
    let arn = presented.provider.to_string();
    if !principals.iter().any(|one| *one == arn || one == "*") {
        return Some(Outcome::OtherPrincipal(principals));
    }
    let actions = texts(members.get("Action")?)?;
    let fits = |action: &String| like(&action.to_ascii_lowercase(), &ACTION.to_ascii_lowercase());
    if !actions.iter().any(fits) {
        return Some(Outcome::OtherAction(actions));
    }
    if let Some(conditions) = members.get("Condition") {
        for (operator, block) in conditions.as_object()? {
            for (key, expected) in block.as_object()? {
                let test = Condition {
                    operator: operator.clone(),
                    key: key.clone(),
                    expected: texts(expected)?,
                    found: found(key, presented),
                };
                match holds(&test, presented) {
                    Some(true) => {}
                    Some(false) => return Some(Outcome::Refuses(test)),
                    None => {
                        return Some(Outcome::Unknown {
                            operator: test.operator,
                            key: test.key,
                        });
                    }
                }
            }
        }
    }
    match members.get("Effect")?.as_str()? {
        "Allow" => Some(Outcome::Allows),
        "Deny" => Some(Outcome::Denies),
        _ => None,
    }
}

/// Everything named as principal, of whatever kind.
fn principals(principal: &Value) -> Option<Vec<String>> {
    match principal {
        Value::Object(kinds) => {
            let lists: Option<Vec<Vec<String>>> = kinds.values().map(texts).collect();
            Some(lists?.concat())
        }
        other => texts(other),
    }
}

/// The value of a key that tokens of this provider have.
fn found(key: &str, presented: &Presented) -> Option<String> {
    let (name, claim) = key.rsplit_once(':')?;
    match claim {
        _ if name != presented.provider.name() => None,
        "aud" => Some(presented.audience.clone()),
        "sub" => Some(presented.subject.clone()),
        _ => None,
    }
}

/// Whether a key is about web identity at all: `aws:…` and `sts:…` are answered by AWS only.
fn is_ours(key: &str) -> bool {
    !(key.starts_with("aws:") || key.starts_with("sts:"))
}

fn holds(test: &Condition, presented: &Presented) -> Option<bool> {
    if !is_ours(&test.key) {
        return None;
    }
    let plain = test
        .operator
        .strip_prefix("ForAnyValue:")
        .or_else(|| test.operator.strip_prefix("ForAllValues:"))
        .unwrap_or(&test.operator);
    let for_all = test.operator.starts_with("ForAllValues:");
    let (plain, if_exists) = match plain.strip_suffix("IfExists") {
        Some(plain) => (plain, true),
        None => (plain, false),
    };
    if plain == "Null" {
        let wants_absent = test.expected.iter().any(|value| value == "true");
        return Some(wants_absent == test.found.is_none());
    }
    let negated = plain.contains("Not");
    let Some(value) = &test.found else {
        // Of an absent key negated operators and ForAllValues hold (IAM: "Condition operators", missing keys).
        return Some(if_exists || for_all || negated);
    };
    let fits = |expected: &String| match plain {
        "StringEquals" | "StringNotEquals" | "ArnEquals" | "ArnNotEquals" => {
            Some(resolve(expected, presented) == *value)
        }
        "StringEqualsIgnoreCase" | "StringNotEqualsIgnoreCase" => {
            Some(resolve(expected, presented).eq_ignore_ascii_case(value))
        }
        "StringLike" | "StringNotLike" => Some(like(&resolve(expected, presented), value)),
        _ => None,
    };
    let any = test
        .expected
        .iter()
        .map(fits)
        .collect::<Option<Vec<bool>>>()?
        .contains(&true);
    Some(any != negated)
}

/// Policy variables for the claims; others stay and fit nothing.
fn resolve(text: &str, presented: &Presented) -> String {
    let name = presented.provider.name();
    text.replace(&format!("${{{name}:sub}}"), &presented.subject)
        .replace(&format!("${{{name}:aud}}"), &presented.audience)
}

/// `StringLike`: `*` fits any text, `?` one character.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected: Vec<String> = self
            .expected
            .iter()
            .map(|one| format!("\"{one}\""))
            .collect();
        write!(
            f,
            "{} {} wants {}",
            self.operator,
            self.key,
            expected.join(" or ")
        )?;
        match &self.found {
            Some(found) => write!(f, ", the token has \"{found}\""),
            None => f.write_str(", and tokens of this provider have no such key"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allows => f.write_str("lets the token in"),
            Self::Denies => f.write_str("denies it, whatever other statements say"),
            Self::OtherPrincipal(found) => write!(f, "is for {}", found.join(", ")),
            Self::OtherAction(found) => write!(f, "is about {}, not {ACTION}", found.join(", ")),
            Self::Refuses(condition) => write!(f, "does not apply: {condition}"),
            Self::Unknown { operator, key } => {
                write!(
                    f,
                    "cannot be judged from here: {operator} {key} is known to AWS only"
                )
            }
            Self::Malformed => f.write_str("is no statement that IAM would take"),
        }
    }
}
