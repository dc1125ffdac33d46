//! The two documents, as STS fetches them.

use super::facts::{Answer, Look, NoAnswer, NoAnswerKind, RelyingParty};
use super::{Check, Diagnosis, Facts, StsAnswer, served};
use crate::discovery::{self, DiscoveryError};
use crate::explain::Explain;
use crate::issuer::{AwsObstacle, IssuerUrl, TrailingSlash};
use crate::jwks::{JwkSet, JwksError, MAX_DOCUMENT_BYTES, MAX_KEYS};
use crate::store_url::S3Issuer;
use crate::strict_json;
use crate::token::verify::families;

/// The `jwks_uri` of a discovery document, also of one that is not the issuer's: what STS would fetch next.
pub fn jwks_uri(body: &[u8]) -> Option<String> {
    let document = strict_json::parse(body.get(..MAX_DOCUMENT_BYTES).unwrap_or(body)).ok()?;
    let uri = document.get("jwks_uri")?.as_str()?;
    (uri.starts_with("https://") || uri.starts_with("http://")).then(|| uri.to_owned())
}

/// Whether both documents were answered with 200.
pub(super) fn are_readable(facts: &Facts) -> bool {
    let good = |look: &Look| {
        look.outcome
            .as_ref()
            .is_ok_and(|answer| answer.status == 200)
    };
    good(&facts.discovery) && facts.jwks.as_ref().is_none_or(good)
}

/// What can be said of the issuer URL alone.
pub(super) fn issuer_url(diagnosis: &mut Diagnosis<'_>) {
    let issuer = &diagnosis.facts.issuer;
    let aws = diagnosis.facts.relying_party == RelyingParty::Aws;
    let id = "issuer-url";
    let public =
        "give the documents a public name: irsa publish --to s3://BUCKET, or irsa serve behind one";
    let unreached = |what: &str, why: String| {
        Check::failure(id, issuer.as_str(), what)
            .why(why)
            .sts(StsAnswer::Communication)
            .help(public)
    };
    let check = match issuer.aws_obstacle() {
        // No relying party and no API server takes it.
        Some(AwsObstacle::NotHttps) => {
            Check::failure(id, issuer.as_str(), "the issuer is not https")
                .why("kube-apiserver serves no documents for it, and AWS accepts no such provider")
                .help("serve the documents over https, and name that URL everywhere")
        }
        Some(AwsObstacle::Loopback) if aws => unreached(
            "the issuer is an address of this machine",
            "AWS fetches the documents from outside".to_owned(),
        ),
        Some(AwsObstacle::Private(reason)) if aws => unreached(
            "AWS cannot reach the issuer",
            format!("{reason}, and AWS fetches the documents from outside"),
        ),
        Some(AwsObstacle::Port) if aws => {
            Check::warning(id, issuer.as_str(), "the issuer has a port")
                .why("AWS documents that a provider URL has none; trust policies do not show it")
                .help("serve it on port 443, and leave the port out everywhere")
        }
        _ => Check::ok(id, issuer.as_str(), "https, and a form that AWS takes"),
    };
    diagnosis.push(check);
}

/// Discovery document, JWKS, and how they are served.
pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    let body = match answer(diagnosis, "discovery", &facts.discovery) {
        Some(answer) => discovery_document(diagnosis, answer),
        None => false,
    };
    match (&facts.jwks, body) {
        (Some(look), _) => {
            if let Some(answer) = answer(diagnosis, "jwks", look) {
                jwks(diagnosis, &look.url, answer);
            }
        }
        (None, true) => {}
        (None, false) => diagnosis.push(Check::follows("jwks", "", cause_of_discovery(diagnosis))),
    }
    served::check(diagnosis);
}

fn cause_of_discovery(diagnosis: &Diagnosis<'_>) -> &'static str {
    let ids = ["takeover", "discovery", "discovery-issuer", "jwks-uri"];
    let failed = ids.into_iter().find(|id| diagnosis.has_failed(id));
    failed.or(diagnosis.unreadable).unwrap_or("discovery")
}

/// The answer with status 200; what else came becomes a check.
fn answer<'a>(
    diagnosis: &mut Diagnosis<'_>,
    id: &'static str,
    look: &'a Look,
) -> Option<&'a Answer> {
    let check = match &look.outcome {
        Ok(answer) if answer.status == 200 && answer.body.len() <= MAX_DOCUMENT_BYTES => {
            return Some(answer);
        }
        Ok(answer) if answer.status == 200 => {
            let message = format!("larger than {MAX_DOCUMENT_BYTES} bytes");
            Check::failure(id, &look.url, message).help("find out what is served there")
        }
        Ok(answer) => refused(diagnosis, id, look, answer),
        Err(none) => unanswered(diagnosis, id, look, none),
    };
    let check = if check.sts.is_none() && check.verdict == super::Verdict::Failure {
        check.sts(StsAnswer::VerificationKey)
    } else {
        check
    };
    diagnosis.push(check);
    None
}

fn refused(diagnosis: &Diagnosis<'_>, id: &'static str, look: &Look, answer: &Answer) -> Check {
    let status = answer.status;
    let help = "publish the document there: irsa publish, or irsa serve";
    if let Some(location) = &answer.location {
        return Check::failure(
            id,
            &look.url,
            format!("answers {status}, a redirect to {location}"),
        )
        .why("relying parties need not follow redirects, and the issuer would not be the URL that they ended at")
        .help("serve the document at this very URL");
    }
    if status == 404 && contains(&answer.body, "NoSuchBucket") {
        return takeover(diagnosis, look);
    }
    if let (401 | 403, Some(cause)) = (status, diagnosis.unreadable) {
        return Check::follows(id, &look.url, cause);
    }
    let check = Check::failure(
        id,
        &look.url,
        format!("answers {status}, expected 200 to everybody"),
    );
    match status {
        401 | 403 if S3Issuer::recognise(&diagnosis.facts.issuer).is_some() => check
            .why("AWS fetches it without credentials; S3 says 403 also for what does not exist")
            .help("irsa publish --to s3://BUCKET --access policy; name the bucket with --bucket to have it looked at"),
        401 | 403 => check
            .why("AWS fetches it without credentials")
            .help("let everybody read the two documents, and nothing else"),
        429 | 500..=599 => check
            .why("AWS gets the same answer")
            .help("look at the logs of the server")
            .retryable(true),
        _ => check.help(help),
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// A bucket's name that is free, behind an issuer that may be trusted.
fn takeover(diagnosis: &Diagnosis<'_>, look: &Look) -> Check {
    let trusted = trusts(diagnosis);
    let why = if trusted {
        "whoever makes a bucket of that name signs tokens that your account accepts"
    } else {
        "whoever makes a bucket of that name is this issuer; every provider that trusts it accepts their tokens"
    };
    let help = if trusted {
        "now: irsa iam provider delete, or make the bucket again: irsa publish --to s3://BUCKET --create-bucket"
    } else {
        "make the bucket again: irsa publish --to s3://BUCKET --create-bucket; or delete every provider of this issuer"
    };
    Check::failure(
        "takeover",
        &look.url,
        "the bucket behind the issuer does not exist",
    )
    .why(why)
    .help(help)
    .sts(StsAnswer::VerificationKey)
}

fn trusts(diagnosis: &Diagnosis<'_>) -> bool {
    let provider = diagnosis.facts.provider.found();
    provider.is_some_and(|provider| provider.state.is_some())
}

fn unanswered(diagnosis: &Diagnosis<'_>, id: &'static str, look: &Look, none: &NoAnswer) -> Check {
    let reason = &none.reason;
    let dangling = "the IAM provider trusts a name that nobody answers: whoever gets it signs tokens that your account \
                    accepts";
    let check = match none.kind {
        NoAnswerKind::Name => Check::failure(
            id,
            &look.url,
            format!("the host name has no address: {reason}"),
        )
        .help("check the name and its DNS records; if the issuer is gone for good: irsa iam provider delete"),
        NoAnswerKind::Connection => {
            Check::failure(id, &look.url, format!("no connection: {reason}")).help(
                "check that the server is up, and that it is reachable from outside as well as from here",
            )
        }
        NoAnswerKind::Tls => Check::failure(id, &look.url, format!("no TLS: {reason}"))
            .help("the server must speak TLS 1.2 or 1.3"),
        NoAnswerKind::Timeout => {
            Check::failure(id, &look.url, format!("no answer in time: {reason}"))
                .why("STS waits about 5 s")
                .help("find out what is slow: the server, or the way to it")
        }
        NoAnswerKind::Broken => Check::failure(id, &look.url, format!("half an answer: {reason}"))
            .help("look at the logs of the server"),
    };
    let check = match none.kind {
        NoAnswerKind::Tls => check,
        _ => check.sts(StsAnswer::Communication).retryable(true),
    };
    if trusts(diagnosis) && none.kind == NoAnswerKind::Name {
        return check.why(dangling).retryable(false);
    }
    check
}

/// The content of the discovery document; whether it says where the keys are.
fn discovery_document(diagnosis: &mut Diagnosis<'_>, answer: &Answer) -> bool {
    let (facts, url) = (diagnosis.facts, &diagnosis.facts.discovery.url);
    let strict = discovery::parse(&answer.body, &facts.issuer);
    let check = match strict {
        Ok(_) => Check::ok("discovery", url, format!("names {}", facts.issuer)),
        Err(DiscoveryError::OtherIssuer { found, expected }) => {
            diagnosis.push(other_issuer(url, &found, &expected));
            let named = IssuerUrl::parse(&found, TrailingSlash::Allow);
            match named.map(|named| discovery::parse(&answer.body, &named)) {
                Ok(Err(error)) => content("jwks-uri", url, &error),
                _ => Check::ok("discovery", url, "is there"),
            }
        }
        Err(error @ (DiscoveryError::JwksUri(_) | DiscoveryError::Downgrade(_))) => {
            content("jwks-uri", url, &error)
        }
        Err(error) => content("discovery", url, &error),
    };
    diagnosis.push(check);
    facts.jwks.is_some()
}

/// AWS passes over a slash at the end, as users of older guides know; others do not.
fn other_issuer(url: &str, found: &str, expected: &str) -> Check {
    let (id, message) = (
        "discovery-issuer",
        "the discovery document names another issuer",
    );
    let help = format!(
        "publish it again: irsa publish --issuer {expected} --to TARGET FILE...; if {found} is the right one, give it with \
         --issuer"
    );
    let check = if found.trim_end_matches('/') == expected.trim_end_matches('/') {
        Check::warning(id, url, message)
            .why("AWS passes over the slash; other relying parties compare byte for byte and refuse (OpenID Connect Discovery 1.0, section 4.3)")
    } else {
        Check::failure(id, url, message)
            .why("relying parties compare the two byte for byte (OpenID Connect Discovery 1.0, section 4.3)")
            .sts(StsAnswer::VerificationKey)
    };
    check.strings(found, expected).help(help)
}

fn content<E: Explain>(id: &'static str, url: &str, error: &E) -> Check {
    let unseen = super::facts::Unseen::from(error);
    let check = Check::failure(id, url, unseen.why).sts(StsAnswer::VerificationKey);
    match unseen.help {
        Some(help) => check.help(help),
        None => check,
    }
}

fn jwks(diagnosis: &mut Diagnosis<'_>, url: &str, answer: &Answer) {
    let set = match JwkSet::parse(&answer.body) {
        Ok(set) => set,
        Err(error) => {
            let check = content("jwks", url, &error);
            let private = matches!(error, JwksError::PrivateKey { .. });
            diagnosis.push(if private {
                check.why("everybody can sign tokens with it")
            } else {
                check
            });
            return;
        }
    };
    let (rsa, ec) = families(&set);
    let usable = set.keys().iter().any(|jwk| jwk.key.publishable().is_ok());
    let check = if !usable {
        let message = match useless(&set, &[]).as_slice() {
            [] => "has no key".to_owned(),
            reasons => format!(
                "has no key that verifies tokens of Kubernetes: {}",
                reasons.join("; ")
            ),
        };
        Check::failure("jwks", url, message)
            .help("publish the keys: irsa publish; irsa keys inspect FILE shows each kid")
            .sts(StsAnswer::VerificationKey)
    } else if rsa > MAX_KEYS || ec > MAX_KEYS {
        let message =
            format!("has {rsa} RSA and {ec} EC keys, expected at most {MAX_KEYS} of each");
        Check::failure("jwks", url, message)
            .help("withdraw keys that sign no more: irsa publish --withdraw KID")
            .sts(StsAnswer::VerificationKey)
    } else {
        Check::ok("jwks", url, format!("{} key(s)", set.keys().len()))
    };
    diagnosis.push(check);
    // Of a set without keys there is nothing more to say.
    if usable {
        useless_keys(diagnosis, url, &set);
        diagnosis.keys = Some(set);
    }
}

/// Why entries verify nothing, but for those that are told elsewhere.
fn useless(set: &JwkSet, told: &[&str]) -> Vec<String> {
    let ignored = set
        .ignored()
        .iter()
        .filter(|jwk| !jwk.kid.as_deref().is_some_and(|kid| told.contains(&kid)))
        .map(|jwk| format!("key {}: {}", jwk.position, jwk.reason));
    let small = set.keys().iter().filter_map(|jwk| {
        let error = jwk.key.publishable().err()?;
        Some(format!("\"{}\": {error}", jwk.kid))
    });
    ignored.chain(small).collect()
}

/// Entries that verify nothing. One that the token names is told there.
fn useless_keys(diagnosis: &mut Diagnosis<'_>, url: &str, set: &JwkSet) {
    let tokens = diagnosis.facts.tokens.found();
    let wanted: Vec<&str> = tokens
        .into_iter()
        .flatten()
        .filter_map(|seen| seen.token.as_ref().ok()?.kid())
        .collect();
    let empty = set.keys().iter().filter(|jwk| jwk.kid.is_empty()).count();
    let mut faults = useless(set, &wanted);
    if empty > 0 {
        faults.push(format!(
            "{empty} without kid, which tokens of Kubernetes before 1.16 needed"
        ));
    }
    if !faults.is_empty() {
        let message = format!("has entries that verify nothing: {}", faults.join("; "));
        diagnosis.push(
            Check::warning("jwks-keys", url, message)
                .why("relying parties differ in what they make of them")
                .help("publish the set again: irsa publish"),
        );
    }
}
