//! The usual mistakes in trust policies, each with the string that is wrong and what to do.

use std::fmt;

use serde_json::Value;

use super::{ACTION, TrustPolicy, texts};
use crate::provider::ProviderArn;
use crate::token::claims::ServiceAccount;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It may be meant.
    Warning,
    /// It lets in whom it should not, or nobody.
    Error,
}

/// A provider that exists, for what cannot be seen in the policy alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProvider {
    /// Its ARN.
    pub arn: ProviderArn,
    /// The audiences that it accepts.
    pub client_ids: Vec<String>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// A short name for it that does not change.
    pub rule: &'static str,
    /// Which statement, from 1, with its Sid.
    pub statement: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// Looks through the statements about web identity. `known` are the providers of the account, if they could be listed.
pub fn lint(policy: &TrustPolicy, known: Option<&[KnownProvider]>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, statement) in policy.statements().into_iter().enumerate() {
        let sid = statement.get("Sid").and_then(Value::as_str);
        let name = sid.map_or_else(
            || format!("{}", at + 1),
            |sid| format!("{} ({sid})", at + 1),
        );
        let mut of = Statement {
            name,
            findings: &mut findings,
        };
        of.lint(statement, known);
    }
    findings
}

struct Statement<'a> {
    name: String,
    findings: &'a mut Vec<Finding>,
}

/// A condition on a claim: operator, claim (`aud`, `sub`), values.
struct Test {
    operator: String,
    claim: String,
    values: Vec<String>,
}

impl Statement<'_> {
    fn add(&mut self, level: Level, rule: &'static str, message: String, help: &str) {
        self.findings.push(Finding {
            level,
            rule,
            statement: self.name.clone(),
            message,
            help: help.to_owned(),
        });
    }

    fn lint(&mut self, statement: &Value, known: Option<&[KnownProvider]>) {
        if statement.get("Effect").and_then(Value::as_str) != Some("Allow") {
            return;
        }
        let principal = statement.get("Principal");
        let everybody = |value: Option<&Value>| {
            value
                .and_then(texts)
                .is_some_and(|list| list.iter().any(|one| one == "*"))
        };
        if everybody(principal) || everybody(principal.and_then(|p| p.get("AWS"))) {
            let help = "name the OIDC provider as {\"Federated\": ARN}";
            self.add(
                Level::Error,
                "any-principal",
                "everybody may assume the role".into(),
                help,
            );
            return;
        }
        let Some(federated) = principal.and_then(|p| p.get("Federated")).and_then(texts) else {
            return;
        };
        for text in federated {
            match ProviderArn::parse(&text) {
                Ok(arn) => self.lint_provider(statement, &arn, known),
                Err(_) if text.starts_with("https://") => {
                    let message = format!(
                        "the principal is the issuer URL \"{text}\", expected the provider's ARN"
                    );
                    self.add(
                        Level::Error,
                        "principal-url",
                        message,
                        "irsa iam role trust-policy prints the ARN",
                    );
                }
                // Other identity providers (SAML, Cognito) are not ours to judge.
                Err(_) => {}
            }
        }
    }

    fn lint_provider(
        &mut self,
        statement: &Value,
        arn: &ProviderArn,
        known: Option<&[KnownProvider]>,
    ) {
        self.lint_action(statement);
        let tests = self.tests(statement, arn);
        let of = |claim: &str| {
            tests
                .iter()
                .filter(|test| test.claim == claim)
                .collect::<Vec<_>>()
        };
        let provider = known.map(|list| list.iter().find(|one| one.arn == *arn));
        if provider == Some(None) {
            let message = format!("the account has no OIDC provider {arn}");
            let help = "irsa iam provider apply makes it; if its cluster is gone, remove the statement: whoever gets the \
                        issuer's host name could get tokens accepted";
            self.add(Level::Error, "stale-provider", message, help);
        }
        let (subs, auds) = (of("sub"), of("aud"));
        if subs.is_empty() {
            let message = format!(
                "no condition on {}:sub: every service account of the cluster may assume the role",
                arn.name()
            );
            self.add(Level::Error, "no-sub", message, "add the service account: irsa iam role apply ROLE --service-account NAMESPACE/NAME");
        }
        if auds.is_empty() {
            let message = format!(
                "no condition on {}:aud: a token made for another service is accepted too",
                arn.name()
            );
            self.add(
                Level::Error,
                "no-aud",
                message,
                "add StringEquals with sts.amazonaws.com",
            );
        }
        for test in subs {
            self.lint_sub(test);
        }
        for test in auds {
            self.lint_operator(test);
            self.lint_aud(test);
            self.lint_client_ids(test, provider.flatten());
        }
    }

    /// An audience that the provider does not take.
    fn lint_client_ids(&mut self, test: &Test, provider: Option<&KnownProvider>) {
        let accepted = provider.map(|provider| &provider.client_ids);
        for value in &test.values {
            let pattern = value.contains(['*', '?']);
            if !pattern && accepted.is_some_and(|ids| !ids.contains(value)) {
                let message = format!("the audience \"{value}\" is no client ID of the provider");
                self.add(
                    Level::Error,
                    "unknown-audience",
                    message,
                    "add it to the provider: irsa iam provider apply --client-id",
                );
            }
        }
    }

    fn lint_action(&mut self, statement: &Value) {
        if statement.get("NotAction").is_some() {
            let message = format!(
                "NotAction allows every action but those it names, expected Action \"{ACTION}\""
            );
            let help = "a web identity needs one action: name it";
            self.add(Level::Error, "not-action", message, help);
        }
        let actions = statement.get("Action").and_then(texts).unwrap_or_default();
        for action in actions {
            if action != ACTION && action != "sts:TagSession" {
                let message = format!("the action is \"{action}\", expected \"{ACTION}\"");
                self.add(
                    Level::Error,
                    "wrong-action",
                    message,
                    "a web identity needs no other",
                );
            }
        }
    }

    /// The conditions on claims of this provider. Keys that only look like it are found here.
    fn tests(&mut self, statement: &Value, arn: &ProviderArn) -> Vec<Test> {
        let mut tests = Vec::new();
        let condition = statement.get("Condition").and_then(Value::as_object);
        for (operator, block) in condition.into_iter().flatten() {
            for (key, values) in block.as_object().into_iter().flatten() {
                let values = texts(values).unwrap_or_default();
                let Some((name, claim)) = key.rsplit_once(':') else {
                    continue;
                };
                if name.eq_ignore_ascii_case(arn.name()) {
                    if name != arn.name() {
                        self.wrong_key(key, claim, arn);
                    }
                    if operator == "Null" {
                        self.lint_null(claim, &values);
                        continue;
                    }
                    tests.push(Test {
                        operator: operator.clone(),
                        claim: claim.to_ascii_lowercase(),
                        values,
                    });
                } else if !matches!(name, "aws" | "sts") && matches!(claim, "aud" | "sub") {
                    self.wrong_key(key, claim, arn);
                }
            }
        }
        tests
    }

    fn wrong_key(&mut self, key: &str, claim: &str, arn: &ProviderArn) {
        let expected = format!("{}:{claim}", arn.name());
        let name = key.strip_suffix(&format!(":{claim}")).unwrap_or(key);
        let bare = name.strip_prefix("https://").unwrap_or(name);
        let (level, rule, why) = if name.eq_ignore_ascii_case(arn.name()) {
            let why = "they differ in case, which IAM passes over and other readers may not";
            (Level::Warning, "key-case", why)
        } else if bare.trim_end_matches('/') == arn.name().trim_end_matches('/') {
            if name == bare {
                let why = "they differ in the final slash";
                (Level::Error, "trailing-slash", why)
            } else {
                (Level::Error, "key-scheme", "the key has no scheme")
            }
        } else {
            let why = "it is that of another provider, so it never fits";
            (Level::Error, "other-provider", why)
        };
        let message = format!("the condition key is \"{key}\", expected \"{expected}\": {why}");
        self.add(
            level,
            rule,
            message,
            "write the key byte for byte as the end of the provider's ARN",
        );
    }

    /// `Null` asks whether the claim is there, which it is in every token: it keeps nobody out, or everybody.
    fn lint_null(&mut self, claim: &str, values: &[String]) {
        if values
            .iter()
            .any(|value| value.eq_ignore_ascii_case("true"))
        {
            let message = format!("Null on {claim} wants a token without {claim}: there is none");
            let help = "take it out, and compare the claim with StringEquals";
            self.add(Level::Error, "null-claim", message, help);
        }
    }

    fn lint_aud(&mut self, test: &Test) {
        let everything = |value: &&String| value.chars().all(|c| matches!(c, '*' | '?'));
        if test.operator.contains("Like")
            && let Some(value) = test.values.iter().find(everything)
        {
            let message = format!("\"{value}\" takes tokens of every audience");
            self.add(
                Level::Error,
                "any-audience",
                message,
                "use StringEquals with sts.amazonaws.com",
            );
        }
    }

    fn lint_sub(&mut self, test: &Test) {
        self.lint_operator(test);
        let likes = test.operator.contains("Like");
        for value in &test.values {
            let rest = value.strip_prefix(ServiceAccount::SUBJECT_PREFIX);
            let namespace = rest
                .and_then(|rest| rest.split(':').next())
                .unwrap_or_default();
            let wild = value.contains(['*', '?']);
            if wild && !likes {
                let message = format!(
                    "\"{value}\" is compared with {}, where * is only a star",
                    test.operator
                );
                self.add(
                    Level::Error,
                    "literal-star",
                    message,
                    "use StringLike for patterns",
                );
            } else if wild && (rest.is_none() || namespace.chars().all(|c| matches!(c, '*' | '?')))
            {
                let message = format!("\"{value}\" lets in every service account of the cluster");
                self.add(
                    Level::Error,
                    "any-subject",
                    message,
                    "name the namespace at least",
                );
            } else if wild {
                let message = format!(
                    "\"{value}\" lets in every service account that fits, also those made later"
                );
                self.add(
                    Level::Warning,
                    "wildcard",
                    message,
                    "name each service account if you can",
                );
            } else if rest.is_none_or(|rest| rest.split(':').count() != 2) {
                let message =
                    format!("\"{value}\" is no subject of a service account, so it never fits");
                self.add(
                    Level::Error,
                    "not-a-subject",
                    message,
                    "write it as system:serviceaccount:NAMESPACE:NAME",
                );
            }
        }
    }

    /// Operators that also hold when the claim is absent or different.
    fn lint_operator(&mut self, test: &Test) {
        let loose = test.operator.ends_with("IfExists")
            || test.operator.starts_with("ForAllValues:")
            || test.operator.contains("Not");
        if loose {
            let message = format!(
                "{} on {} holds for tokens that it should keep out",
                test.operator, test.claim
            );
            self.add(Level::Error, "loose-operator", message, "use StringEquals");
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(
            f,
            "{level}: statement {}: {} [{}]",
            self.statement, self.message, self.rule
        )
    }
}
