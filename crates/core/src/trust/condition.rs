//! The conditions of a statement, judged as IAM judges them (IAM User Guide, "Condition operators", "Condition keys",
//! "Policy variables"): keys and booleans without regard to case, values as the operator says, variables only in
//! policies of version 2012-10-17.

use std::fmt;

use serde_json::Value;

use super::evaluate::Presented;
use super::texts;

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

/// What a whole `Condition` element says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Every condition holds.
    Holds,
    /// This one does not, so the statement does not apply, whatever the others say.
    Fails(Condition),
    /// Those that can be seen hold; this one only AWS can look at.
    Unknown {
        /// The operator.
        operator: String,
        /// The key.
        key: String,
    },
}

/// Judges a `Condition` element; `None` when it is not one. `variables`: the policy is of the version that has them.
pub(super) fn judge(block: &Value, presented: &Presented, variables: bool) -> Option<Judged> {
    let mut unknown = None;
    for (operator, keys) in block.as_object()? {
        for (key, expected) in keys.as_object()? {
            let found = claim(key, presented);
            let expected = texts(expected)?;
            let test = Test {
                operator: Operator::parse(operator),
                expected: &expected,
                presented,
                variables,
            };
            let holds = match &found {
                Claim::OfAws => None,
                Claim::Absent => Some(test.absent()),
                Claim::Is(value) => test.present(value),
            };
            match holds {
                Some(true) => {}
                Some(false) => {
                    return Some(Judged::Fails(Condition {
                        operator: operator.clone(),
                        key: key.clone(),
                        expected,
                        found: found.text().map(str::to_owned),
                    }));
                }
                None => unknown = unknown.or_else(|| Some((operator.clone(), key.clone()))),
            }
        }
    }
    Some(match unknown {
        None => Judged::Holds,
        Some((operator, key)) => Judged::Unknown { operator, key },
    })
}

/// What the token has under a condition key.
enum Claim<'a> {
    Is(&'a str),
    Absent,
    /// `aws:SourceIp`, `sts:RoleSessionName`: about the request, not the token.
    OfAws,
}

impl Claim<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Is(text) => Some(text),
            Self::Absent | Self::OfAws => None,
        }
    }
}

/// Of a provider's tokens IAM has `aud`, `sub` and others that Kubernetes does not write.
fn claim<'a>(key: &str, presented: &'a Presented) -> Claim<'a> {
    // What follows may have colons too: `aws:RequestTag/team:unit`. So may the provider, with a port.
    let service = key.split(':').next().unwrap_or_default();
    if service.eq_ignore_ascii_case("aws") || service.eq_ignore_ascii_case("sts") {
        return Claim::OfAws;
    }
    let provider = presented.provider.name();
    let claim = key
        .split_at_checked(provider.len())
        .filter(|(name, _)| name.eq_ignore_ascii_case(provider))
        .and_then(|(_, rest)| rest.strip_prefix(':'));
    let Some(claim) = claim else {
        return Claim::Absent;
    };
    match claim.to_ascii_lowercase().as_str() {
        "aud" => Claim::Is(&presented.audience),
        "sub" => Claim::Is(&presented.subject),
        _ => Claim::Absent,
    }
}

/// `ForAnyValue:StringNotLikeIfExists` in its parts.
#[derive(Debug, Clone, Copy)]
struct Operator<'a> {
    quantifier: Quantifier,
    base: &'a str,
    if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    None,
    Any,
    All,
}

impl<'a> Operator<'a> {
    fn parse(text: &'a str) -> Self {
        let (quantifier, rest) = match text.split_once(':') {
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            _ => (Quantifier::None, text),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        Self {
            quantifier,
            base,
            if_exists,
        }
    }

    fn is_negated(self) -> bool {
        self.base.contains("Not")
    }

    fn is_text(self) -> bool {
        matches!(
            self.base,
            "StringEquals"
                | "StringNotEquals"
                | "StringEqualsIgnoreCase"
                | "StringNotEqualsIgnoreCase"
                | "StringLike"
                | "StringNotLike"
                | "ArnEquals"
                | "ArnNotEquals"
                | "ArnLike"
                | "ArnNotLike"
        )
    }
}

struct Test<'a> {
    operator: Operator<'a>,
    expected: &'a [String],
    presented: &'a Presented,
    variables: bool,
}

impl Test<'_> {
    fn wants_absent(&self) -> bool {
        self.expected
            .iter()
            .any(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Of an absent key negated operators and `ForAllValues` hold, `ForAnyValue` never does (IAM User Guide,
    /// "Multivalued context keys").
    fn absent(&self) -> bool {
        let operator = self.operator;
        if operator.base == "Null" {
            return self.wants_absent();
        }
        match operator.quantifier {
            _ if operator.if_exists => true,
            Quantifier::All => true,
            Quantifier::Any => false,
            Quantifier::None => operator.is_negated(),
        }
    }

    fn present(&self, value: &str) -> Option<bool> {
        let operator = self.operator;
        if operator.base == "Null" {
            return Some(!self.wants_absent());
        }
        if !operator.is_text() {
            return None;
        }
        // Both claims are plain texts, and what IAM makes of one that is no ARN is not documented.
        if operator.base.starts_with("Arn") {
            return None;
        }
        let fits: Vec<Option<bool>> = self
            .expected
            .iter()
            .map(|text| self.fits(text, value))
            .collect();
        if fits.contains(&Some(true)) {
            return Some(!operator.is_negated());
        }
        (!fits.contains(&None)).then(|| operator.is_negated())
    }

    /// `None` when that hangs on something that only AWS knows.
    fn fits(&self, expected: &str, value: &str) -> Option<bool> {
        let base = self.operator.base;
        let variables = self.variables.then_some(self.presented);
        let pattern = match pattern(expected, base.contains("Like"), variables) {
            Ok(pattern) => pattern,
            Err(Unfilled::Null) => return Some(false),
            Err(Unfilled::OfAws) => return None,
        };
        if base.ends_with("IgnoreCase") {
            let lower = |symbol: Symbol| match symbol {
                Symbol::Is(c) => Symbol::Is(c.to_ascii_lowercase()),
                other => other,
            };
            let pattern: Vec<_> = pattern.into_iter().map(lower).collect();
            return Some(matches(&pattern, &value.to_ascii_lowercase()));
        }
        Some(matches(&pattern, value))
    }
}

/// A variable of a policy without a text in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfilled {
    /// The token has none: nothing is equal to it or like it (IAM User Guide, "Policy variables with no value").
    Null,
    /// Only AWS knows it.
    OfAws,
}

/// One place of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Is(char),
    /// `?`
    One,
    /// `*`
    Any,
}

/// A text of a policy as a pattern.
fn pattern(
    text: &str,
    wildcards: bool,
    variables: Option<&Presented>,
) -> Result<Vec<Symbol>, Unfilled> {
    let mut pattern = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let inner = variables
            .zip(rest.strip_prefix("${"))
            .and_then(|(presented, after)| Some((presented, after.split_once('}')?)));
        if let Some((presented, (name, after))) = inner {
            pattern.extend(variable(name, presented)?.chars().map(Symbol::Is));
            rest = after;
            continue;
        }
        pattern.push(match c {
            '*' if wildcards => Symbol::Any,
            '?' if wildcards => Symbol::One,
            c => Symbol::Is(c),
        });
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    Ok(pattern)
}

/// `${*}`, `${?}` and `${$}` are the characters themselves; `${KEY, 'default'}` has a default.
fn variable(name: &str, presented: &Presented) -> Result<String, Unfilled> {
    if matches!(name, "*" | "?" | "$") {
        return Ok(name.to_owned());
    }
    let (key, default) = match name.split_once(',') {
        Some((key, default)) => (key.trim(), Some(default.trim().trim_matches('\''))),
        None => (name, None),
    };
    match claim(key, presented) {
        Claim::Is(value) => Ok(value.to_owned()),
        Claim::Absent => default.map(str::to_owned).ok_or(Unfilled::Null),
        Claim::OfAws => Err(Unfilled::OfAws),
    }
}

/// `StringLike`: `*` fits any text, `?` one character.
pub(crate) fn like(text: &str, value: &str) -> bool {
    pattern(text, true, None).is_ok_and(|pattern| matches(&pattern, value))
}

fn matches(pattern: &[Symbol], value: &str) -> bool {
    let value: Vec<char> = value.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = value.get(t) {
        match pattern.get(p) {
            Some(Symbol::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Symbol::One) => {
                p += 1;
                t += 1;
            }
            Some(Symbol::Is(wanted)) if wanted == c => {
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
    pattern.iter().skip(p).all(|symbol| *symbol == Symbol::Any)
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
