//! A token in words: what each claim means, and who would refuse it. Nothing is verified or sent.

use jiff::Timestamp;
use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::issuer::{AwsObstacle, IssuerUrl, TrailingSlash};
use crate::token::Token;
use crate::token::claims::ServiceAccount;
use crate::token::verify::SKEW_SECONDS;
use crate::token::wording::{duration, instant, relative};

/// One line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The header member or claim.
    pub name: String,
    /// Its value as text.
    pub value: String,
    /// What it means.
    pub meaning: String,
}

/// Who would refuse the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verifier {
    /// AWS STS, `AssumeRoleWithWebIdentity`.
    Sts,
    /// kube-apiserver, as a bearer token.
    KubeApiserver,
    /// Both.
    Both,
}

impl Verifier {
    /// The name for a person.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sts => "AWS STS",
            Self::KubeApiserver => "kube-apiserver",
            Self::Both => "AWS STS and kube-apiserver",
        }
    }
}

/// A reason to refuse the token, visible without any key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Who refuses.
    pub verifier: Verifier,
    /// Why.
    pub reason: String,
}

/// A token in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The header's members.
    pub header: Vec<Statement>,
    /// The claims.
    pub claims: Vec<Statement>,
    /// What would make it refused, as far as the token alone tells.
    pub problems: Vec<Problem>,
}

/// Explains a token at a time.
pub fn explain(token: &Token, now: Timestamp) -> Explanation {
    let state = |(name, value): (&String, &Value), meaning: String| Statement {
        name: name.clone(),
        value: plain(value),
        meaning,
    };
    Explanation {
        header: token
            .header()
            .iter()
            .map(|m| state(m, header_meaning(m.0, m.1)))
            .collect(),
        claims: token
            .claims()
            .iter()
            .map(|c| state(c, claim_meaning(token, c.0, now)))
            .collect(),
        problems: problems(token, now),
    }
}

fn header_meaning(name: &str, value: &Value) -> String {
    match name {
        "alg" => match value.as_str().and_then(Algorithm::from_name) {
            Some(_) => "how it is signed",
            None => "not an algorithm that Kubernetes signs with",
        },
        "kid" => "which key of the issuer's JWKS signed it",
        "typ" => {
            "the type; kube-apiserver's own signer leaves it out, an external signer writes JWT"
        }
        "jku" | "jwk" | "x5u" | "x5c" => {
            "a key chosen by the token itself: every verifier must ignore it"
        }
        _ => "not written by kube-apiserver",
    }
    .to_owned()
}

fn claim_meaning(token: &Token, name: &str, now: Timestamp) -> String {
    let from_now = |name| {
        token
            .time_claim(name)
            .map_or_else(|| NO_TIME.to_owned(), |at| relative(at, now))
    };
    match name {
        "iss" => "the issuer: must equal the discovery document's issuer and the IAM provider's URL byte for byte".into(),
        "sub" => match token.text_claim("sub").and_then(service_account) {
            Some((namespace, account)) => {
                format!("the ServiceAccount {account} of namespace {namespace}: the :sub condition of a trust policy")
            }
            None => "not a ServiceAccount".into(),
        },
        "aud" => "who may accept it: one must be a client ID of the IAM provider (the :aud condition)".into(),
        "exp" => format!("expires {}{}", from_now("exp"), lifetime(token)),
        "nbf" => format!("valid from {}", from_now("nbf")),
        "iat" => format!("issued {}", from_now("iat")),
        "jti" => "the token's own ID, in kube-apiserver's audit log as authentication.kubernetes.io/credential-id".into(),
        "kubernetes.io" => bound_to(token),
        _ => "not written by kube-apiserver".into(),
    }
}

fn problems(token: &Token, now: Timestamp) -> Vec<Problem> {
    let mut problems = Vec::new();
    header_problems(token, &mut problems);
    party_problems(token, &mut problems);
    time_problems(token, now, &mut problems);
    problems
}

fn add(problems: &mut Vec<Problem>, verifier: Verifier, reason: impl Into<String>) {
    problems.push(Problem {
        verifier,
        reason: reason.into(),
    });
}

fn header_problems(token: &Token, problems: &mut Vec<Problem>) {
    let algorithm = token.algorithm().unwrap_or_default();
    if Algorithm::from_name(algorithm).is_none() {
        let reason = format!("alg \"{algorithm}\" is not RS256, ES256, ES384 or ES512");
        // STS takes two more of the RSA family.
        let verifier = match algorithm {
            "RS384" | "RS512" => Verifier::KubeApiserver,
            _ => Verifier::Both,
        };
        add(problems, verifier, reason);
    }
    if token.kid().is_none() {
        add(
            problems,
            Verifier::Sts,
            "the header has no kid, so no key can be chosen",
        );
    }
    if token.header().contains_key("crit") {
        add(
            problems,
            Verifier::Both,
            "the header has critical extensions",
        );
    }
}

fn party_problems(token: &Token, problems: &mut Vec<Problem>) {
    match token.text_claim("iss") {
        None => add(problems, Verifier::Both, "it has no iss"),
        Some("kubernetes/serviceaccount") => {
            add(
                problems,
                Verifier::Sts,
                "a legacy token from a Secret: its issuer is not a URL",
            );
        }
        Some(issuer) => issuer_problems(issuer, problems),
    }
    match token.text_claim("sub") {
        None => add(problems, Verifier::Both, "it has no sub"),
        Some(subject) if service_account(subject).is_none() => {
            add(
                problems,
                Verifier::KubeApiserver,
                format!("sub \"{subject}\" is not a ServiceAccount"),
            );
        }
        Some(_) => {}
    }
    let audiences = token.audiences();
    if audiences.is_empty() {
        add(problems, Verifier::Sts, "it has no aud");
    } else if !audiences.contains(&"sts.amazonaws.com") {
        let reason = "aud lacks sts.amazonaws.com, the usual client ID of an IAM provider (\"Incorrect token audience\")";
        add(problems, Verifier::Sts, reason);
    }
    if !token.claims().contains_key("kubernetes.io")
        && token.text_claim("iss") != Some("kubernetes/serviceaccount")
    {
        add(
            problems,
            Verifier::KubeApiserver,
            "it has no claim kubernetes.io",
        );
    }
}

fn issuer_problems(text: &str, problems: &mut Vec<Problem>) {
    match IssuerUrl::parse(text, TrailingSlash::Allow) {
        Err(error) => add(problems, Verifier::Sts, error.to_string()),
        Ok(issuer) => {
            if let Some(obstacle) = issuer.aws_obstacle() {
                let reason = match obstacle {
                    AwsObstacle::NotHttps => "its issuer is not https".to_owned(),
                    AwsObstacle::Loopback => {
                        "its issuer is a loopback address, which AWS cannot reach".to_owned()
                    }
                    AwsObstacle::Private(reason) => {
                        format!("{reason}: AWS cannot fetch the keys of its issuer")
                    }
                    AwsObstacle::Port => {
                        "its issuer has a port, which IAM provider URLs must not have".to_owned()
                    }
                };
                add(problems, Verifier::Sts, reason);
            }
            if text.ends_with('/') {
                let reason =
                    "its issuer ends in a slash: the IAM provider's URL must end in it too";
                add(problems, Verifier::Sts, reason);
            }
        }
    }
}

fn time_problems(token: &Token, now: Timestamp, problems: &mut Vec<Problem>) {
    let seconds = now.as_second();
    match token.time_claim("exp") {
        None if token.claims().contains_key("exp") => {
            add(problems, Verifier::Both, format!("its exp is {NO_TIME}"));
        }
        None => add(
            problems,
            Verifier::Sts,
            "it has no exp: a legacy token that never expires",
        ),
        Some(at) if at <= seconds => {
            add(
                problems,
                Verifier::Both,
                format!("it expired {}", relative(at, now)),
            );
        }
        Some(_) => {}
    }
    if token.time_claim("iat").is_none() {
        let found = if token.claims().contains_key("iat") {
            format!("its iat is {NO_TIME}")
        } else {
            "it has no iat".to_owned()
        };
        add(problems, Verifier::Sts, found);
    }
    if token.claims().contains_key("nbf") && token.time_claim("nbf").is_none() {
        add(problems, Verifier::Both, format!("its nbf is {NO_TIME}"));
    }
    for claim in ["nbf", "iat"] {
        if let Some(at) = token.time_claim(claim)
            && at.saturating_sub(seconds) > SKEW_SECONDS
        {
            add(
                problems,
                Verifier::Both,
                format!("its {claim} is {}", relative(at, now)),
            );
        }
    }
}

/// Namespace and name of a `sub`.
fn service_account(subject: &str) -> Option<(&str, &str)> {
    subject
        .strip_prefix(ServiceAccount::SUBJECT_PREFIX)?
        .split_once(':')
}

fn bound_to(token: &Token) -> String {
    let Some(Value::Object(kubernetes)) = token.claims().get("kubernetes.io") else {
        return "not an object".to_owned();
    };
    let name = |kind: &str| {
        kubernetes
            .get(kind)
            .and_then(|o| o.get("name"))
            .and_then(Value::as_str)
    };
    let object = ["pod", "secret", "node"]
        .iter()
        .find_map(|kind| Some((*kind, name(kind)?)));
    let bound = match object {
        Some((kind, name)) => format!("dies with {kind} {name}"),
        None => "bound to no object: dies with its ServiceAccount".to_owned(),
    };
    let warn_after = kubernetes.get("warnafter").and_then(Value::as_i64);
    match warn_after {
        Some(at) => format!(
            "{bound}; extended for clients that do not reload: meant to be renewed by {}",
            instant(at)
        ),
        None => bound,
    }
}

/// What is said of a claim that should be a time.
const NO_TIME: &str = "no time: expected seconds since 1970";

fn lifetime(token: &Token) -> String {
    match (token.time_claim("iat"), token.time_claim("exp")) {
        (Some(from), Some(to)) if to > from => {
            format!(
                ", {} after it was issued",
                duration(to.saturating_sub(from))
            )
        }
        _ => String::new(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
