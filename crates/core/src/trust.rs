//! IAM trust policies for web identity: written, merged into what is there, [evaluated](evaluate) against a token, and
//! [looked through](lint) for the usual mistakes.
//!
//! A policy is kept as the JSON that it is: statements of others keep every member, also those that nothing here knows.

pub(crate) mod condition;
pub mod evaluate;
pub mod lint;

use std::fmt;

use serde_json::{Map, Value, json};

use crate::explain::Explain;
use crate::provider::ProviderArn;
use crate::strict_json;
use crate::token::claims::ServiceAccount;

/// The only action that a web identity needs.
pub const ACTION: &str = "sts:AssumeRoleWithWebIdentity";
/// The quota "Role trust policy length" as every account begins with it (characters without white space).
pub const DEFAULT_CHARS: usize = 2048;
/// The most that the quota can be raised to: IAM refuses longer trust policies of every account.
pub const MAX_CHARS: usize = 4096;

/// Who may assume a role: one service account, or a pattern that was spelt out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    Exact(String),
    /// With `*` or `?`, compared with `StringLike`.
    Pattern(String),
}

/// What a role grants to one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The provider of the cluster's issuer.
    pub provider: ProviderArn,
    /// The `aud` that tokens must have.
    pub audience: String,
    /// The service accounts.
    pub subjects: Vec<Subject>,
}

/// A trust policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustPolicy {
    document: Map<String, Value>,
}

/// Why a trust policy or subject is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not JSON, or a member stands twice.
    #[error("the trust policy is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// No statements.
    #[error("the trust policy has no statement")]
    NoStatement,
    /// Neither a name nor a pattern of names.
    #[error("\"{0}\" names no service account")]
    Subject(String),
    /// A pattern where none was asked for.
    #[error(
        "\"{0}\" is a pattern: it lets in every service account that fits, also those made later"
    )]
    Wildcard(String),
    /// Longer than IAM takes.
    #[error("the trust policy has {0} characters, expected at most {MAX_CHARS}")]
    TooLong(usize),
}

impl Explain for TrustError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Json(_) | Self::NoStatement => "irsa iam role trust-policy prints a right one".into(),
            Self::Subject(_) => "write it as NAMESPACE/NAME, like payments/api".into(),
            Self::Wildcard(_) => "name each service account, or add --allow-wildcard".into(),
            Self::TooLong(_) => "use a pattern (--allow-wildcard), more roles, or have the quota \"Role trust policy length\" raised".into(),
        })
    }
}

impl Subject {
    /// Reads `NAMESPACE/NAME`; with `wildcards` either part may hold `*` and `?`, but the namespace may not be `*`
    /// alone: that would be every service account of the cluster.
    pub fn parse(text: &str, wildcards: bool) -> Result<Self, TrustError> {
        let fail = || TrustError::Subject(text.chars().take(300).collect());
        if !text.contains(['*', '?']) {
            let account = ServiceAccount::parse(text).map_err(|_| fail())?;
            return Ok(Self::Exact(account.subject()));
        }
        let (namespace, name) = text.split_once('/').ok_or_else(fail)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.*?".contains(c);
        let good = |part: &str| !part.is_empty() && part.chars().all(plain);
        let everything = namespace.chars().all(|c| matches!(c, '*' | '?'));
        if !good(namespace) || !good(name) || everything {
            return Err(fail());
        }
        if !wildcards {
            return Err(TrustError::Wildcard(text.to_owned()));
        }
        Ok(Self::Pattern(format!(
            "{}{namespace}:{name}",
            ServiceAccount::SUBJECT_PREFIX
        )))
    }

    /// The text that `sub` is compared with.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Pattern(text) => text,
        }
    }

    const fn operator(&self) -> &'static str {
        match self {
            Self::Exact(_) => "StringEquals",
            Self::Pattern(_) => "StringLike",
        }
    }
}

impl Default for TrustPolicy {
    fn default() -> Self {
        let mut document = Map::new();
        document.insert("Version".into(), json!("2012-10-17"));
        document.insert("Statement".into(), json!([]));
        Self { document }
    }
}

impl TrustPolicy {
    /// Reads a policy.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        match strict_json::parse(text.as_bytes()).map_err(TrustError::Json)? {
            Value::Object(document) if document.contains_key("Statement") => Ok(Self { document }),
            _ => Err(TrustError::NoStatement),
        }
    }

    /// Whether `${…}` in it are variables (IAM JSON policy elements: Version).
    pub(crate) fn has_variables(&self) -> bool {
        self.document.get("Version").and_then(Value::as_str) == Some("2012-10-17")
    }

    /// The statements: one without a list counts as a list of one.
    pub fn statements(&self) -> Vec<&Value> {
        match self.document.get("Statement") {
            Some(Value::Array(many)) => many.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        }
    }

    /// The OIDC providers that its statements name as principals.
    pub fn providers(&self) -> Vec<ProviderArn> {
        let federated = |statement: &Value| texts(statement.get("Principal")?.get("Federated")?);
        let named = self.statements().into_iter().filter_map(federated);
        named
            .flatten()
            .filter_map(|arn| ProviderArn::parse(&arn).ok())
            .collect()
    }

    /// The policy with a grant: its subjects go into a statement that is the same in all else, or into a new one.
    /// The subjects that were missing come with it; none, and nothing changes.
    pub fn with(&self, grant: &Grant) -> (Self, Vec<Subject>) {
        let mut statements: Vec<Value> = self.statements().into_iter().cloned().collect();
        let mut added = Vec::new();
        for subject in &grant.subjects {
            let operator = subject.operator();
            let granted = statements
                .iter()
                .filter_map(|statement| subjects(statement, grant, operator))
                .any(|list| list.iter().any(|one| one == subject.as_str()));
            if granted || added.contains(subject) {
                continue;
            }
            let fitting = statements
                .iter_mut()
                .find(|statement| subjects(statement, grant, operator).is_some());
            match fitting {
                Some(statement) => add_subject(statement, grant, subject),
                None => statements.push(new_statement(grant, subject)),
            }
            added.push(subject.clone());
        }
        let mut document = self.document.clone();
        if !added.is_empty() {
            document.insert("Statement".into(), Value::Array(statements));
        }
        (Self { document }, added)
    }

    /// On several lines, for people and files.
    pub fn to_pretty(&self) -> String {
        // Values always serialise.
        serde_json::to_string_pretty(&self.document).unwrap_or_default()
    }

    /// Its length as IAM counts it.
    pub fn chars(&self) -> usize {
        let text = Value::Object(self.document.clone()).to_string();
        text.chars().filter(|c| !c.is_whitespace()).count()
    }

    /// As it is sent; refused when it is longer than IAM takes of any account. Whether this account may have more than
    /// [`DEFAULT_CHARS`] only IAM knows.
    pub fn to_json(&self) -> Result<String, TrustError> {
        let chars = self.chars();
        if chars > MAX_CHARS {
            return Err(TrustError::TooLong(chars));
        }
        Ok(Value::Object(self.document.clone()).to_string())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value or a list of them, as IAM's policy language has it everywhere.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Bool(one) => Some(vec![one.to_string()]),
        Value::Number(one) => Some(vec![one.to_string()]),
        Value::Array(many) => many
            .iter()
            .map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

fn is_only(value: Option<&Value>, expected: &str) -> bool {
    value.and_then(texts).is_some_and(|list| list == [expected])
}

/// The subjects of a statement that is ours to extend: it allows web identities of this provider with this audience and
/// nothing more. `None` for every other.
fn subjects(statement: &Value, grant: &Grant, operator: &str) -> Option<Vec<String>> {
    let members = statement.as_object()?;
    let known = |key: &String| {
        matches!(
            key.as_str(),
            "Sid" | "Effect" | "Principal" | "Action" | "Condition"
        )
    };
    let principal = members.get("Principal")?.as_object()?;
    let shape = members.keys().all(known)
        && is_only(members.get("Effect"), "Allow")
        && is_only(members.get("Action"), ACTION)
        && principal.len() == 1
        && is_only(principal.get("Federated"), &grant.provider.to_string());
    let (aud, sub) = keys(&grant.provider);
    let condition = members.get("Condition")?.as_object()?;
    let mut tests = 0;
    let mut found = None;
    for (name, block) in condition {
        for (key, value) in block.as_object()? {
            tests += 1;
            if name == "StringEquals" && *key == aud && is_only(Some(value), &grant.audience) {
                continue;
            }
            if name == operator && *key == sub {
                found = texts(value);
                continue;
            }
            return None;
        }
    }
    found.filter(|_| shape && tests == 2)
}

fn keys(provider: &ProviderArn) -> (String, String) {
    let name = provider.name();
    (format!("{name}:aud"), format!("{name}:sub"))
}

fn add_subject(statement: &mut Value, grant: &Grant, subject: &Subject) {
    let (_, sub) = keys(&grant.provider);
    let operator = subject.operator();
    let mut list = subjects(statement, grant, operator).unwrap_or_default();
    list.push(subject.as_str().to_owned());
    let block = statement
        .get_mut("Condition")
        .and_then(|condition| condition.get_mut(operator));
    if let Some(Value::Object(block)) = block {
        block.insert(sub, json!(list));
    }
}

fn new_statement(grant: &Grant, subject: &Subject) -> Value {
    let (aud, sub) = keys(&grant.provider);
    let condition = match subject {
        Subject::Exact(text) => json!({"StringEquals": {aud: grant.audience, sub: text}}),
        Subject::Pattern(text) => {
            json!({"StringEquals": {aud: grant.audience}, "StringLike": {sub: text}})
        }
    };
    json!({
        "Effect": "Allow",
        "Principal": {"Federated": grant.provider.to_string()},
        "Action": ACTION,
        "Condition": condition,
    })
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
