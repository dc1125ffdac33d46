//! Tokens: claims, issuer, key, audience, times, subject.

use jiff::Timestamp;

use super::facts::{AccountSeen, TokenSeen};
use super::served::clocks;
use super::{Check, Diagnosis, Seen, StsAnswer, flags};
use crate::explain::Explain as _;
use crate::provider::STS_AUDIENCE;
use crate::token::Token;
use crate::token::verify::{Expectation, Refusal, SKEW_SECONDS, verify};

pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    match &facts.tokens {
        Seen::Unseen(unseen) => diagnosis.push(Check::unseen("token", unseen)),
        Seen::Found(tokens) => tokens.iter().for_each(|seen| match &seen.token {
            Ok(token) => of_token(diagnosis, seen, token),
            Err(error) => {
                let mut check = Check::failure("token", &seen.from, error.to_string())
                    .sts(StsAnswer::NotAToken);
                check.help = error.help();
                diagnosis.push(check);
            }
        }),
    }
    flags::unpublished(diagnosis);
}

fn of_token(diagnosis: &mut Diagnosis<'_>, seen: &TokenSeen, token: &Token) {
    let missing: Vec<&str> = ["iss", "sub", "aud", "exp", "iat"]
        .into_iter()
        .filter(|claim| !token.claims().contains_key(*claim))
        .collect();
    if !missing.is_empty() {
        let help = if token.text_claim("iss") == Some("kubernetes/serviceaccount") {
            "it is a legacy token from a Secret: use a projected token"
        } else {
            "use a projected service account token"
        };
        let message = format!("the token has no {}", missing.join(", "));
        diagnosis.push(
            Check::failure("token", &seen.from, message)
                .why("STS needs iss, sub, aud, exp and iat")
                .help(help)
                .sts(StsAnswer::Claim),
        );
        return;
    }
    issuer(diagnosis, seen, token);
    key(diagnosis, seen, token);
    audience(diagnosis, seen, token);
    times(diagnosis, seen, token);
    subject(diagnosis, seen, token);
}

fn issuer(diagnosis: &mut Diagnosis<'_>, seen: &TokenSeen, token: &Token) {
    let ours = diagnosis.facts.issuer.as_str();
    let found = token.text_claim("iss").unwrap_or_default();
    let id = "token-issuer";
    let check = if found == ours {
        Check::ok(id, &seen.from, format!("iss is {ours}"))
    } else if let Some(cause) = diagnosis.failed_with(
        &["flags-issuer", "apiserver-issuer", "discovery-issuer"],
        found,
    ) {
        Check::follows(id, &seen.from, cause)
    } else {
        Check::failure(id, &seen.from, "the token is of another issuer")
            .strings(found, ours)
            .why("STS looks for the provider by the iss of the token, byte for byte")
            .help(format!(
                "the first --service-account-issuer of every kube-apiserver must be {ours}: irsa apiserver check --live \
                 --issuer {ours} shows which is not; or give the token's issuer with --issuer"
            ))
            .sts(StsAnswer::NoProvider)
    };
    diagnosis.push(check);
}

/// Key, algorithm and signature.
fn key(diagnosis: &mut Diagnosis<'_>, seen: &TokenSeen, token: &Token) {
    let id = "token-key";
    let facts = diagnosis.facts;
    let Some(keys) = &diagnosis.keys else {
        diagnosis.push(Check::follows(id, &seen.from, "jwks"));
        return;
    };
    let expected = Expectation {
        issuer: &facts.issuer,
        audience: "",
        keys,
        now: facts.now,
    };
    let kid = token.kid().unwrap_or_default();
    // The signature is checked first: any other refusal is about something else.
    let check = match verify(token, &expected) {
        Err(refusal) if is_about_the_key(&refusal) => refused(diagnosis, seen, token, &refusal),
        _ => {
            let algorithm = token.algorithm().unwrap_or_default();
            let message = format!("{algorithm} by key {kid}, which is published");
            Check::ok(id, &seen.from, message)
        }
    };
    diagnosis.push(check);
}

const fn is_about_the_key(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Algorithm(_)
        | Refusal::Critical
        | Refusal::NoKid
        | Refusal::UnknownKid { .. }
        | Refusal::UnusableKey { .. }
        | Refusal::OtherAlgorithm { .. }
        | Refusal::Signature(_) => true,
        Refusal::Issuer { .. }
        | Refusal::TooManyKeys { .. }
        | Refusal::Audience { .. }
        | Refusal::Claim(_)
        | Refusal::Expired { .. }
        | Refusal::NotYet { .. } => false,
    }
}

fn refused(diagnosis: &Diagnosis<'_>, seen: &TokenSeen, token: &Token, refusal: &Refusal) -> Check {
    let id = "token-key";
    let other = token.text_claim("iss") != Some(diagnosis.facts.issuer.as_str());
    if other && diagnosis.has_failed("token-issuer") {
        // The keys of another cluster say nothing about this one.
        return Check::follows(id, &seen.from, "token-issuer");
    }
    let check = Check::failure(id, &seen.from, format!("the token is refused: {refusal}"))
        .why("STS takes the key with the token's kid from the JWKS, and no other")
        .sts(StsAnswer::VerificationKey);
    let check = match refusal {
        Refusal::UnknownKid { kid, published } => check.strings(kid, published.join(" ")),
        _ => check,
    };
    match refusal.help() {
        Some(help) => check.help(help),
        None => check,
    }
}

fn audience(diagnosis: &mut Diagnosis<'_>, seen: &TokenSeen, token: &Token) {
    let id = "token-audience";
    let found = token.audiences();
    let shown = found.join(" ");
    let facts = diagnosis.facts;
    let state = facts
        .provider
        .found()
        .and_then(|provider| provider.state.as_ref());
    let accepted = |list: &[String]| {
        let first = found.iter().find(|aud| list.iter().any(|one| one == *aud));
        first.map(|aud| (*aud).to_owned())
    };
    let check = match state {
        Some(state) => match accepted(&state.client_ids) {
            Some(aud) => Check::ok(id, &seen.from, format!("aud {aud} is a client ID of the provider")),
            None => Check::failure(id, &seen.from, "no aud of the token is a client ID of the provider")
                .strings(&shown, state.client_ids.join(" "))
                .why("STS takes tokens that were made for it, and no others")
                .help(if accepted(&[STS_AUDIENCE.to_owned()]).is_some() {
                    format!("irsa iam provider apply --issuer {} --client-id {STS_AUDIENCE}", facts.issuer)
                } else {
                    format!(
                        "have pods ask for {}: the annotation eks.amazonaws.com/audience, or audience: in the projected volume",
                        state.client_ids.first().map_or(STS_AUDIENCE, String::as_str)
                    )
                })
                .sts(StsAnswer::Audience),
        },
        None if accepted(&[STS_AUDIENCE.to_owned()]).is_some() => {
            Check::ok(id, &seen.from, format!("aud has {STS_AUDIENCE}"))
        }
        None => Check::warning(id, &seen.from, format!("no aud of the token is {STS_AUDIENCE}"))
            .strings(&shown, STS_AUDIENCE)
            .why("a provider has this client ID unless somebody chose another; the provider was not seen")
            .help("have pods ask for it: the annotation eks.amazonaws.com/audience, or audience: in the projected volume")
            .sts(StsAnswer::Audience),
    };
    diagnosis.push(check);
}

fn times(diagnosis: &mut Diagnosis<'_>, seen: &TokenSeen, token: &Token) {
    let id = "token-time";
    let clocks = clocks(diagnosis.facts);
    let show =
        |at: i64| Timestamp::from_second(at).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    let early = ["nbf", "iat"].into_iter().find_map(|claim| {
        let at = token.time_claim(claim)?;
        let ahead = clocks.iter().map(|now| at.saturating_sub(*now)).min()?;
        (ahead > SKEW_SECONDS).then_some((claim, at, ahead))
    });
    let untimely = ["exp", "nbf", "iat"]
        .into_iter()
        .find(|claim| token.claims().contains_key(*claim) && token.time_claim(claim).is_none());
    let no_time = |claim: &str| {
        Check::failure(id, &seen.from, format!("{claim} is no time"))
            .help("use a projected service account token")
            .sts(StsAnswer::Claim)
    };
    if let Some(claim) = untimely {
        diagnosis.push(no_time(claim));
        return;
    }
    let check = match (token.time_claim("exp"), early) {
        (None, _) => no_time("exp"),
        (Some(expires), _) if clocks.iter().all(|now| expires <= *now) => {
            let ago = clocks.iter().map(|now| now - expires).min().unwrap_or(0);
            Check::failure(
                id,
                &seen.from,
                format!("the token expired at {}, {ago} s ago", show(expires)),
            )
            .help(
                "read the token file at each use: kubelet renews it; a copied token is not renewed",
            )
            .sts(StsAnswer::Expired)
        }
        (_, Some((claim, at, ahead))) => Check::failure(
            id,
            &seen.from,
            format!("{claim} is {}, {ahead} s in the future", show(at)),
        )
        .why("relying parties refuse tokens from the future")
        .help("set the clocks of the control plane: timedatectl, chronyc tracking")
        .sts(StsAnswer::VerificationKey),
        (Some(expires), None) => Check::ok(id, &seen.from, format!("good until {}", show(expires))),
    };
    diagnosis.push(check);
}

/// Whose token it is, when a service account was named too.
fn subject(diagnosis: &mut Diagnosis<'_>, seen: &TokenSeen, token: &Token) {
    let Some(AccountSeen { account, .. }) = diagnosis.facts.account.found() else {
        return;
    };
    let found = token.text_claim("sub").unwrap_or_default();
    let expected = account.subject();
    let id = "token-subject";
    diagnosis.push(if found == expected {
        Check::ok(id, &seen.from, format!("sub is {expected}"))
    } else {
        Check::warning(
            id,
            &seen.from,
            "the token is not of the service account that was named",
        )
        .strings(found, expected)
        .help("give a token of that service account, or the token's own with --service-account")
    });
}
