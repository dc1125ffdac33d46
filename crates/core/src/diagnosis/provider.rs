//! The IAM OIDC provider of the issuer.

use super::facts::ProviderSeen;
use super::{Check, Diagnosis, Seen, StsAnswer};
use crate::provider::{ProviderArn, ProviderState, STS_AUDIENCE};

pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    let seen = match &facts.provider {
        Seen::Found(seen) => seen,
        Seen::Unseen(unseen) => {
            diagnosis.push(Check::unseen("provider", unseen));
            return;
        }
    };
    match &seen.state {
        None => {
            let check = missing(diagnosis, seen);
            diagnosis.push(check);
        }
        Some(state) => {
            url(diagnosis, seen, state);
            client_ids(diagnosis, seen, state);
        }
    }
}

fn missing(diagnosis: &Diagnosis<'_>, seen: &ProviderSeen) -> Check {
    let issuer = &diagnosis.facts.issuer;
    let apply = format!("irsa iam provider apply --issuer {issuer}");
    let why = "STS looks for the provider by the iss of the token, byte for byte";
    let bare = |name: &str| name.trim_end_matches('/').to_ascii_lowercase();
    let name = issuer.iam_name();
    // Other services than AWS keep the port.
    let with_port = issuer.as_str().strip_prefix("https://").unwrap_or_default();
    let near = |other: &&ProviderArn| {
        let other = bare(other.name());
        other == bare(&name) || other == bare(with_port)
    };
    if let Some(other) = seen.others.iter().find(near) {
        return Check::failure(
            "provider",
            other.to_string(),
            "the account has a provider that is nearly that of the issuer",
        )
        .strings(format!("https://{}", other.name()), issuer.as_str())
        .why(format!("{why}; the URL of a provider cannot be changed"))
        .help(format!("{apply}; then delete the other one"))
        .sts(StsAnswer::NoProvider);
    }
    let message = format!(
        "account {} has no OIDC provider of this issuer",
        seen.arn.account()
    );
    Check::failure("provider", seen.arn.to_string(), message)
        .why(why)
        .help(apply)
        .sts(StsAnswer::NoProvider)
}

fn url(diagnosis: &mut Diagnosis<'_>, seen: &ProviderSeen, state: &ProviderState) {
    let issuer = &diagnosis.facts.issuer;
    let found = state.url.strip_prefix("https://").unwrap_or(&state.url);
    let with_port = issuer.as_str().strip_prefix("https://").unwrap_or_default();
    let check = if found == issuer.iam_name() || found == with_port {
        Check::ok("provider", seen.arn.to_string(), format!("trusts {issuer}"))
    } else {
        Check::failure(
            "provider",
            seen.arn.to_string(),
            "the provider has another URL than the issuer",
        )
        .strings(format!("https://{found}"), issuer.as_str())
        .why("STS looks for the provider by the iss of the token, byte for byte; the URL of a provider cannot be changed")
        .help(format!(
            "irsa iam provider delete, then: irsa iam provider apply --issuer {issuer}"
        ))
        .sts(StsAnswer::NoProvider)
    };
    diagnosis.push(check);
}

/// With a token its own audience is compared; without one, the audience that pods ask for.
fn client_ids(diagnosis: &mut Diagnosis<'_>, seen: &ProviderSeen, state: &ProviderState) {
    let facts = diagnosis.facts;
    let subject = seen.arn.to_string();
    let shown = state.client_ids.join(" ");
    let id = "client-ids";
    let tokens = facts.tokens.found();
    let check = if tokens.is_some_and(|tokens| !tokens.is_empty())
        || state.client_ids.iter().any(|one| one == STS_AUDIENCE)
    {
        Check::ok(id, subject, format!("accepts tokens for {shown}"))
    } else {
        Check::warning(id, subject, format!("has no client ID {STS_AUDIENCE}"))
            .strings(shown, STS_AUDIENCE)
            .why("pods ask for tokens with this audience unless an annotation says otherwise")
            .help(format!(
                "irsa iam provider apply --issuer {} --client-id {STS_AUDIENCE}",
                facts.issuer
            ))
            .sts(StsAnswer::Audience)
    };
    diagnosis.push(check);
}
