//! What all API servers of a cluster do with each other's tokens: decided from observations alone.

use irsa_core::discovery;
use irsa_core::explain::on_one_line;
use irsa_core::issuer::{IssuerUrl, JwksUri, TrailingSlash};
use irsa_core::jwks::JwkSet;
use irsa_core::token::Token;
use serde::Serialize;

use crate::findings::{Finding, Severity};
use crate::live::{LegacyToken, Review, Unanswered};
use crate::plan::{Wanted, is_comma_joined};

/// What was seen of one API server.
#[derive(Debug)]
pub struct ServerSeen {
    /// Its address.
    pub url: String,
    /// Why it was not asked to the end; what it did not say is empty then.
    pub silent: Option<Unanswered>,
    /// Its discovery document.
    pub discovery: Option<String>,
    /// Its JWKS.
    pub jwks: Option<String>,
    /// A token that it signed for its own audiences.
    pub token: String,
    /// What each server, in the same order, says of that token, or why it says nothing of it; nothing when it was not
    /// asked.
    pub reviews: Vec<Option<Result<Review, Unanswered>>>,
    /// What it says itself of a token with the audience of STS.
    pub sts: Option<Review>,
}

impl ServerSeen {
    /// A server that does not answer, among `servers`.
    pub fn silent(url: &str, why: Unanswered, servers: usize) -> Self {
        Self {
            url: url.to_owned(),
            silent: Some(why),
            discovery: None,
            jwks: None,
            token: String::new(),
            reviews: vec![None; servers],
            sts: None,
        }
    }

    /// How many of the problems that [`judge`] finds here are questions whose answer may be another one soon.
    pub fn passing(&self) -> usize {
        let reviews = self.reviews.iter().flatten();
        let unanswered = reviews.filter_map(|review| review.as_ref().err());
        let all = self.silent.iter().chain(unanswered);
        all.filter(|unanswered| unanswered.passing).count()
    }
}

/// One server in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its address.
    pub server: String,
    /// The issuer of its tokens.
    pub issuer: String,
    /// The key that signs them.
    pub signing_kid: String,
    /// The keys that it serves.
    pub kids: Vec<String>,
    /// Whether each server, in the order of the rows, accepts its tokens; nothing when that was not seen.
    pub accepted_by: Vec<Option<bool>>,
    /// Why it was not asked to the end.
    pub silent: Option<String>,
}

/// The table of servers, and what is wrong.
pub fn judge(servers: &[ServerSeen], wanted: Option<&Wanted>) -> (Vec<Row>, Vec<Finding>) {
    let mut findings = Vec::new();
    let rows: Vec<Row> = servers
        .iter()
        .map(|server| match &server.silent {
            Some(why) => silent(server, why, &mut findings),
            None => row(server, wanted, &mut findings),
        })
        .collect();
    for (server, row) in servers.iter().zip(&rows) {
        for (other, review) in servers.iter().zip(&server.reviews) {
            match review {
                Some(Ok(review)) if !review.authenticated => {
                    let why = review.error.as_deref().unwrap_or("no reason given");
                    findings.push(problem(
                        format!("{} refuses a token of {} (issuer \"{}\", kid {}): {why}", other.url, server.url, row.issuer, row.signing_kid),
                        "bring every API server to phase accept before any of them signs: irsa apiserver patch --phase accept",
                    ));
                }
                Some(Err(unanswered)) => findings.push(problem(
                    format!(
                        "{} was not heard on a token of {}: {}",
                        other.url, server.url, unanswered.why
                    ),
                    unanswered.help(),
                )),
                Some(Ok(_)) | None => {}
            }
        }
        if server.sts.as_ref().is_some_and(|sts| sts.authenticated) {
            findings.push(problem(
                format!("{} accepts tokens for sts.amazonaws.com: --api-audiences has it", server.url),
                "take it out: the audience belongs into the pods' projected tokens and the IAM OIDC provider only",
            ));
        }
    }
    let mut answered = rows.iter().filter(|row| row.silent.is_none());
    if let Some(first) = answered.next() {
        for other in answered {
            differ(
                &mut findings,
                "issuer",
                (first, &first.issuer),
                (other, &other.issuer),
            );
            let kids = |row: &Row| {
                let mut kids = row.kids.clone();
                kids.sort();
                kids.join(" ")
            };
            differ(
                &mut findings,
                "keys",
                (first, &kids(first)),
                (other, &kids(other)),
            );
        }
    }
    (rows, findings)
}

/// What is wrong with the tokens that kube-controller-manager wrote into Secrets: it signs them with a key of its own
/// setting, and never signs them anew.
pub fn judge_legacy(rows: &[Row], tokens: &[LegacyToken]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for row in rows.iter().filter(|row| !row.kids.is_empty()) {
        let refused: Vec<_> = tokens
            .iter()
            .filter(|token| !row.kids.contains(&token.kid))
            .collect();
        if let Some(first) = refused.first() {
            findings.push(problem(
                format!(
                    "{} refuses the tokens of {} Secrets of type service-account-token, such as {} (key {})",
                    row.server, refused.len(), first.secret, first.kid
                ),
                "accept their key again, or delete the Secrets and make tokens that expire",
            ));
        }
    }
    let newest = tokens.iter().max_by(|a, b| a.created.cmp(&b.created));
    let answered = rows.iter().find(|row| row.silent.is_none());
    if let (Some(newest), Some(row)) = (newest, answered)
        && newest.kid != row.signing_kid
    {
        findings.push(Finding {
            severity: Severity::Note,
            occurrence: None,
            message: format!(
                "kube-controller-manager signed the newest token Secret, {}, with key {}; the API servers sign with {}",
                newest.secret, newest.kid, row.signing_kid
            ),
            help: "if that Secret is newer than the change of the key, set --service-account-private-key-file too".to_owned(),
        });
    }
    findings
}

/// The row of a server that does not answer: the others are judged without it.
fn silent(server: &ServerSeen, unanswered: &Unanswered, findings: &mut Vec<Finding>) -> Row {
    let Unanswered { why, passing } = unanswered;
    let what = if *passing {
        "does not answer"
    } else {
        "refuses to say"
    };
    findings.push(problem(
        format!("{} {what}: {why}", server.url),
        unanswered.help(),
    ));
    Row {
        server: server.url.clone(),
        issuer: String::new(),
        signing_kid: String::new(),
        kids: Vec::new(),
        accepted_by: vec![None; server.reviews.len()],
        silent: Some(why.clone()),
    }
}

fn row(server: &ServerSeen, wanted: Option<&Wanted>, findings: &mut Vec<Finding>) -> Row {
    let token = Token::parse(&server.token).ok();
    let of_token =
        |read: fn(&Token) -> Option<&str>| token.as_ref().and_then(read).unwrap_or("?").to_owned();
    let row = Row {
        server: server.url.clone(),
        issuer: of_token(|token| token.text_claim("iss")),
        signing_kid: of_token(Token::kid),
        kids: kids(server, findings),
        accepted_by: server
            .reviews
            .iter()
            .map(|review| Some(review.as_ref()?.as_ref().ok()?.authenticated))
            .collect(),
        silent: None,
    };
    if is_comma_joined(&row.issuer) {
        findings.push(problem(
            format!("{} signs with the issuer \"{}\", which is two joined with a comma", server.url, row.issuer),
            "give --service-account-issuer once for each; EKS Anywhere joins podIamConfig with apiServerExtraArgs",
        ));
    }
    if server.jwks.is_some() && !row.kids.contains(&row.signing_kid) {
        findings.push(problem(
            format!(
                "{} signs with key {}, which is not in its own JWKS",
                server.url, row.signing_kid
            ),
            "add the public half of its signing key to --service-account-key-file",
        ));
    }
    let jwks_uri = wanted.and_then(|wanted| wanted.jwks_uri.as_ref());
    documents(server, &row, jwks_uri, findings);
    let wanted = wanted.map(|wanted| &wanted.issuer);
    if let Some(wanted) = wanted.filter(|wanted| wanted.as_str() != row.issuer) {
        findings.push(problem(
            format!(
                "{} signs with the issuer \"{}\", expected \"{wanted}\"",
                server.url, row.issuer
            ),
            "irsa apiserver patch --phase accept on every node, then --phase sign",
        ));
    }
    row
}

fn kids(server: &ServerSeen, findings: &mut Vec<Finding>) -> Vec<String> {
    let Some(jwks) = &server.jwks else {
        return Vec::new();
    };
    match JwkSet::parse(jwks.as_bytes()) {
        Ok(set) => set.keys().iter().map(|jwk| jwk.kid.clone()).collect(),
        Err(error) => {
            findings.push(problem(
                format!("the JWKS of {} cannot be used: {error}", server.url),
                "see the log of that API server",
            ));
            Vec::new()
        }
    }
}

fn documents(
    server: &ServerSeen,
    row: &Row,
    wanted: Option<&JwksUri>,
    findings: &mut Vec<Finding>,
) {
    let Some(text) = &server.discovery else {
        findings.push(problem(
            format!("{} serves no discovery document", server.url),
            "it serves one when its first issuer is an https URL without query and every verification key is RSA or P-256, P-384 or P-521",
        ));
        return;
    };
    let Ok(issuer) = IssuerUrl::parse(&row.issuer, TrailingSlash::Allow) else {
        return;
    };
    match discovery::parse(text.as_bytes(), &issuer) {
        Ok(document) if !document.jwks_uri.is_https() => findings.push(problem(
            format!(
                "the jwks_uri of {} is \"{}\", expected an https URL",
                server.url, document.jwks_uri
            ),
            "set --service-account-jwks-uri to an https URL",
        )),
        Ok(document) => {
            if let Some(wanted) = wanted.filter(|wanted| **wanted != document.jwks_uri) {
                findings.push(problem(
                    format!(
                        "the jwks_uri of {} is \"{}\", expected \"{wanted}\"",
                        server.url, document.jwks_uri
                    ),
                    "irsa apiserver patch --phase sign --jwks-uri URL on every node",
                ));
            }
        }
        Err(error) => findings.push(problem(
            format!(
                "the discovery document of {} does not fit its tokens: {}",
                server.url,
                on_one_line(&error)
            ),
            "see --service-account-issuer: the first one signs and is the issuer of the document",
        )),
    }
}

fn differ(findings: &mut Vec<Finding>, what: &str, one: (&Row, &str), other: (&Row, &str)) {
    if one.1 != other.1 {
        findings.push(Finding {
            severity: Severity::Note,
            occurrence: None,
            message: format!(
                "the {what} of {} and {} differ: \"{}\" and \"{}\"",
                one.0.server, other.0.server, one.1, other.1
            ),
            help: "all API servers of a cluster should have the same flags once a phase is through"
                .to_owned(),
        });
    }
}

fn problem(message: String, help: &str) -> Finding {
    Finding {
        severity: Severity::Problem,
        occurrence: None,
        message,
        help: help.to_owned(),
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
