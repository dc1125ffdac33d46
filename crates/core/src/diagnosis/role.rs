//! The role, and whether its trust policy lets the token in.

use super::facts::{ProviderSeen, RelyingParty, RoleFound, RoleSeen, TokenSeen};
use super::{Check, Diagnosis, Seen, StsAnswer};
use crate::provider::{ProviderArn, STS_AUDIENCE};
use crate::token::Token;
use crate::trust::TrustPolicy;
use crate::trust::evaluate::{Condition, Outcome, Presented, Verdict, evaluate};
use crate::trust::lint::lint;

pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    let seen = match &facts.role {
        Seen::Found(seen) => seen,
        Seen::Unseen(unseen) => {
            diagnosis.push(Check::unseen("role", unseen));
            return;
        }
    };
    let Some(found) = &seen.found else {
        diagnosis.push(
            Check::failure("role", &seen.arn, "the role does not exist")
                .why("STS does not say so: it only says that access is denied")
                .help(
                    "irsa iam role apply NAME --service-account NAMESPACE/NAME, or correct the ARN",
                )
                .sts(StsAnswer::Denied),
        );
        return;
    };
    if !arn(diagnosis, seen, found) {
        return;
    }
    match &found.trust {
        // The ARN of a provider that is not there cannot be known of services that make ARNs in their own way.
        Ok(_) if diagnosis.has_failed("provider") && facts.relying_party == RelyingParty::Other => {
            diagnosis.push(Check::follows("trust", &found.arn, "provider"));
        }
        Ok(policy) => trust(diagnosis, found, policy),
        Err(error) => {
            let unseen = super::facts::Unseen::from(error);
            diagnosis.push(
                Check::failure("trust", &found.arn, unseen.why)
                    .help("irsa iam role trust-policy prints a right one")
                    .sts(StsAnswer::Denied),
            );
        }
    }
}

/// The ARN byte for byte, and the account; whether it makes sense to look further.
fn arn(diagnosis: &mut Diagnosis<'_>, seen: &RoleSeen, found: &RoleFound) -> bool {
    if seen.arn != found.arn {
        diagnosis.push(
            Check::failure("role", &seen.arn, "the role has another ARN")
                .strings(&seen.arn, &found.arn)
                .why("STS compares the whole ARN, path included")
                .help("write the ARN as IAM has it")
                .sts(StsAnswer::Denied),
        );
        return false;
    }
    let account = found.arn.split(':').nth(4).unwrap_or_default();
    let provider = diagnosis.facts.provider.found();
    // Compatible services have no account in ARNs of providers.
    let other = provider
        .map(|provider| provider.arn.account())
        .filter(|other| !other.is_empty() && *other != account);
    if let Some(other) = other {
        let message = format!("the role is in account {account}, the provider in {other}");
        diagnosis.push(
            Check::failure("role", &found.arn, message)
                .strings(account, other)
                .why("STS looks for the provider in the account of the role")
                .help(format!("irsa iam provider apply in account {account} too: one issuer may have a provider in many accounts"))
                .sts(StsAnswer::NoProvider),
        );
        return false;
    }
    diagnosis.push(Check::ok("role", &found.arn, "exists"));
    true
}

/// What the token shows to STS, as if everything before the trust policy were in order: its causes are named there.
fn presented(diagnosis: &Diagnosis<'_>, found: &RoleFound) -> Option<Presented> {
    let facts = diagnosis.facts;
    let tokens = facts.tokens.found();
    let token = tokens.and_then(|tokens| tokens.iter().find_map(whole));
    let account = facts.account.found().map(|seen| seen.account.subject());
    let subject = token
        .and_then(|token| token.text_claim("sub").map(str::to_owned))
        .or(account)?;
    let provider = if let Some(ProviderSeen { arn, .. }) = facts.provider.found() {
        arn.clone()
    } else {
        let mut fields = found.arn.split(':');
        let partition = fields.nth(1)?;
        let account = fields.nth(2)?;
        ProviderArn::of(&facts.issuer, partition, account)
    };
    let client_ids: Vec<String> = facts
        .provider
        .found()
        .and_then(|provider| provider.state.as_ref())
        .map(|state| state.client_ids.clone())
        .unwrap_or_default();
    let audiences = token.map(Token::audiences).unwrap_or_default();
    let accepted = audiences
        .iter()
        .find(|aud| client_ids.iter().any(|one| one == *aud));
    let audience = match accepted {
        Some(aud) => (*aud).to_owned(),
        None if client_ids.is_empty() && !audiences.is_empty() => {
            let sts = audiences.iter().find(|aud| **aud == STS_AUDIENCE);
            (*sts.or(audiences.first())?).to_owned()
        }
        None if client_ids.iter().any(|one| one == STS_AUDIENCE) => STS_AUDIENCE.to_owned(),
        None => client_ids
            .first()
            .cloned()
            .unwrap_or_else(|| STS_AUDIENCE.to_owned()),
    };
    Some(Presented {
        provider,
        audience,
        subject,
    })
}

/// A token that lacks claims is told by itself.
fn whole(seen: &TokenSeen) -> Option<&Token> {
    let token = seen.token.as_ref().ok()?;
    (!token.audiences().is_empty() && token.time_claim("exp").is_some()).then_some(token)
}

fn trust(diagnosis: &mut Diagnosis<'_>, found: &RoleFound, policy: &TrustPolicy) {
    let Some(presented) = presented(diagnosis, found) else {
        let why = "whom the role lets in was not judged: there is no token and no service account";
        let help = "add --token-file FILE, or --service-account NAMESPACE/NAME";
        let unseen = super::facts::Unseen::not_asked(why, help);
        diagnosis.push(Check::unseen("trust", &unseen));
        lints(diagnosis, found, policy);
        return;
    };
    let verdict = evaluate(policy, &presented);
    let who = &presented.subject;
    if verdict.undecided {
        let message = format!(
            "whether it lets {who} in depends on what only AWS knows: {}",
            list(&verdict)
        );
        diagnosis.push(
            Check::warning("trust", &found.arn, message)
                .help("see that the condition holds where the pod runs"),
        );
    } else if verdict.allowed {
        let message = format!("lets {who} in, for {}", presented.audience);
        diagnosis.push(Check::ok("trust", &found.arn, message));
        lints(diagnosis, found, policy);
    } else {
        let check = refusal(found, &presented, &verdict);
        diagnosis.push(check);
    }
}

fn list(verdict: &Verdict) -> String {
    let said = verdict
        .statements
        .iter()
        .enumerate()
        .map(|(at, outcome)| format!("statement {} {outcome}", at + 1));
    said.collect::<Vec<_>>().join("; ")
}

fn refusal(found: &RoleFound, presented: &Presented, verdict: &Verdict) -> Check {
    let who = &presented.subject;
    let nearest = verdict
        .statements
        .iter()
        .enumerate()
        .max_by_key(|(at, outcome)| (nearness(outcome), std::cmp::Reverse(*at)));
    let Some((at, outcome)) = nearest else {
        return Check::failure("trust", &found.arn, "the trust policy has no statement")
            .help(apply(found, presented))
            .sts(StsAnswer::Denied);
    };
    let message = format!("keeps {who} out: statement {} {outcome}", at + 1);
    let check = Check::failure("trust", &found.arn, message)
        .why("the trust policy decides last, and STS does not say which condition refused")
        .help(match outcome {
            Outcome::Denies => "take the Deny out, or narrow it".to_owned(),
            _ => apply(found, presented),
        })
        .sts(StsAnswer::Denied);
    let strings = match outcome {
        Outcome::Refuses(condition) => strings_of(condition, presented),
        Outcome::OtherPrincipal(named) => Some((named.join(" "), presented.provider.to_string())),
        Outcome::OtherAction(named) => Some((named.join(" "), crate::trust::ACTION.to_owned())),
        _ => None,
    };
    match strings {
        Some((found, expected)) => check.strings(found, expected),
        None => check,
    }
}

/// How near a statement comes to letting the token in.
const fn nearness(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Denies => 5,
        Outcome::Refuses(_) => 4,
        Outcome::Unknown { .. } => 3,
        Outcome::OtherAction(_) => 2,
        Outcome::OtherPrincipal(_) => 1,
        Outcome::Allows | Outcome::Malformed => 0,
    }
}

/// The policy's text, and what it would have to be: the value, or the key when it is the key that fits nothing.
fn strings_of(condition: &Condition, presented: &Presented) -> Option<(String, String)> {
    if condition.operator.contains("Not") || condition.operator.ends_with("Null") {
        return None;
    }
    if let Some(value) = &condition.found {
        return Some((condition.expected.join(" "), value.clone()));
    }
    let (_, claim) = condition.key.rsplit_once(':')?;
    let key = format!("{}:{claim}", presented.provider.name());
    Some((condition.key.clone(), key))
}

fn apply(found: &RoleFound, presented: &Presented) -> String {
    let name = found.arn.rsplit('/').next().unwrap_or_default();
    let account = presented
        .subject
        .strip_prefix("system:serviceaccount:")
        .map_or_else(
            || "NAMESPACE/NAME".to_owned(),
            |account| account.replacen(':', "/", 1),
        );
    let provider = presented.provider.name();
    format!("irsa iam role apply {name} --issuer https://{provider} --service-account {account}")
}

/// What works and lets in too much.
fn lints(diagnosis: &mut Diagnosis<'_>, found: &RoleFound, policy: &TrustPolicy) {
    for finding in lint(policy, None) {
        let message = format!(
            "statement {}: {} [{}]",
            finding.statement, finding.message, finding.rule
        );
        let check = Check::warning("trust-policy", &found.arn, message);
        diagnosis.push(check.help(finding.help));
    }
}
