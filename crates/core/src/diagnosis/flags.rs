//! kube-apiserver: the flags in files, and what the servers themselves serve.

use super::facts::{FlagsSeen, ServerSeen};
use super::{Check, Diagnosis, Seen, StsAnswer};
use crate::discovery::{self, DiscoveryError};
use crate::issuer::{IssuerUrl, TrailingSlash};
use crate::jwks::JwkSet;
use crate::provider::STS_AUDIENCE;

pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    match &facts.flags {
        Seen::Found(files) => files.iter().for_each(|file| of_file(diagnosis, file)),
        Seen::Unseen(unseen) => diagnosis.push(Check::unseen("flags-issuer", unseen)),
    }
    match &facts.servers {
        Seen::Found(servers) => servers
            .iter()
            .for_each(|server| of_server(diagnosis, server)),
        Seen::Unseen(unseen) => diagnosis.push(Check::unseen("apiserver-issuer", unseen)),
    }
}

fn of_file(diagnosis: &mut Diagnosis<'_>, seen: &FlagsSeen) {
    let ours = diagnosis.facts.issuer.as_str();
    let first = seen.issuers.first().map_or("", String::as_str);
    let id = "flags-issuer";
    let check = if first == ours {
        Check::ok(id, &seen.file, format!("--service-account-issuer={ours}"))
    } else {
        let joined = first.contains(',');
        let (message, help) = if joined {
            (
                "the first --service-account-issuer is several issuers joined with commas, which kube-apiserver never splits",
                "give the flag once for each issuer".to_owned(),
            )
        } else if seen.issuers.iter().any(|issuer| issuer == ours) {
            (
                "the issuer is accepted, and does not sign: it is not the first --service-account-issuer",
                format!(
                    "irsa apiserver patch --phase sign --issuer {ours} {}",
                    seen.file
                ),
            )
        } else {
            (
                "the first --service-account-issuer, with which tokens are signed, is another",
                format!(
                    "irsa apiserver patch --phase accept --issuer {ours} {}",
                    seen.file
                ),
            )
        };
        Check::failure(id, &seen.file, message)
            .strings(first, ours)
            .why("it becomes the iss of every token, by which STS looks for the provider")
            .help(help)
            .sts(StsAnswer::NoProvider)
    };
    diagnosis.push(check);
    if seen
        .audiences
        .iter()
        .any(|audience| audience == STS_AUDIENCE)
    {
        let message = format!("--api-audiences has {STS_AUDIENCE}");
        diagnosis.push(
            Check::warning("flags-audiences", &seen.file, message)
                .why("the cluster itself accepts the tokens that pods hold for AWS")
                .help("take it out: it belongs into projected tokens and the IAM provider only"),
        );
    }
    for (fault, help) in &seen.others {
        let check = Check::warning("flags", &seen.file, fault);
        diagnosis.push(check.help(help));
    }
}

fn of_server(diagnosis: &mut Diagnosis<'_>, seen: &ServerSeen) {
    let issuer = &diagnosis.facts.issuer;
    let id = "apiserver-issuer";
    let check = match &seen.discovery {
        None => Check::failure(id, &seen.url, "the API server serves no discovery document")
            .why("it does so only when its first --service-account-issuer is an https URL and every key can be published")
            .help("irsa apiserver check shows which flag is in the way"),
        Some(text) => match discovery::parse(text.as_bytes(), issuer) {
            Err(DiscoveryError::OtherIssuer { found, .. }) => of_other(diagnosis, seen, &found),
            Err(DiscoveryError::Json(_) | DiscoveryError::Missing(_)) => {
                Check::warning(id, &seen.url, "the API server's discovery document cannot be read")
            }
            _ => Check::ok(id, &seen.url, format!("signs as {issuer}")),
        },
    };
    diagnosis.push(check);
}

fn of_other(diagnosis: &Diagnosis<'_>, seen: &ServerSeen, found: &str) -> Check {
    let (id, ours) = ("apiserver-issuer", diagnosis.facts.issuer.as_str());
    if let Some(cause) = diagnosis.failed_with(&["flags-issuer"], found) {
        return Check::follows(id, &seen.url, cause);
    }
    Check::failure(id, &seen.url, "the API server signs tokens of another issuer")
        .strings(found, ours)
        .why("it becomes the iss of every token, by which STS looks for the provider")
        .help(format!(
            "make it the first --service-account-issuer: irsa apiserver patch --issuer {ours}; on a live cluster in two phases"
        ))
        .sts(StsAnswer::NoProvider)
}

/// Keys of the API servers that nobody can fetch: tokens of theirs would be refused once they sign.
pub(super) fn unpublished(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    let (Some(servers), Some(published)) = (facts.servers.found(), &diagnosis.keys) else {
        return;
    };
    let mut checks = Vec::new();
    for server in servers {
        let own = server.discovery.as_deref().and_then(|text| {
            let issuer = IssuerUrl::parse(facts.issuer.as_str(), TrailingSlash::Allow).ok()?;
            discovery::parse(text.as_bytes(), &issuer).ok()
        });
        let set = server
            .jwks
            .as_deref()
            .and_then(|text| JwkSet::parse(text.as_bytes()).ok());
        let (Some(_), Some(set)) = (own, set) else {
            continue;
        };
        let missing: Vec<&str> = set
            .keys()
            .iter()
            .map(|jwk| jwk.kid.as_str())
            .filter(|kid| !published.contains(kid))
            .collect();
        checks.push(if missing.is_empty() {
            let message = format!("its {} key(s) are all published", set.keys().len());
            Check::ok("apiserver-keys", &server.url, message)
        } else {
            let message = format!("accepts keys that are not published: {}", missing.join(", "));
            Check::warning("apiserver-keys", &server.url, message)
                .why("if one of them signs, now or later, every relying party refuses its tokens")
                .help("publish every key of the key files: irsa publish; or take those out that sign no more")
        });
    }
    // Whoever signs with such a key is told with the token.
    if !diagnosis.has_failed("token-key") {
        diagnosis.checks.extend(checks);
    }
}
