//! The certificate of the host that serves the documents, and whether AWS needs its thumbprint.

use jiff::Timestamp;

use super::facts::{HostSeen, TlsSeen, Unseen};
use super::{Check, Diagnosis, Seen, StsAnswer};

/// Less than this and its renewal has failed already.
const SOON_SECONDS: i64 = 3 * 86_400;

pub(super) fn check(diagnosis: &mut Diagnosis<'_>) {
    let facts = diagnosis.facts;
    for host in &facts.hosts {
        match &host.tls {
            Ok(tls) => {
                certificate(diagnosis, host, tls);
                if host.serves_keys {
                    thumbprint(diagnosis, host, tls);
                }
            }
            Err(unseen) => {
                let told = ["discovery", "jwks", "takeover"]
                    .into_iter()
                    .find(|id| diagnosis.has_failed(id));
                diagnosis.push(match told {
                    Some(cause) => Check::follows("certificate", &host.host, cause),
                    None => Check::unseen("certificate", unseen),
                });
            }
        }
    }
}

fn certificate(diagnosis: &mut Diagnosis<'_>, host: &HostSeen, tls: &TlsSeen) {
    let now = diagnosis.facts.now.as_second();
    let leaf = tls.chain.certificates().first();
    let end = leaf.map_or(i64::MAX, |leaf| leaf.not_after);
    let date = Timestamp::from_second(end).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    let id = "certificate";
    let check = if let Some(problem) = &tls.problem {
        let shown = if end < now {
            format!("it expired at {date}")
        } else {
            problem.clone()
        };
        Check::failure(
            id,
            &host.host,
            format!("the certificate is refused by every TLS client: {shown}"),
        )
        .why("STS fetches the keys over TLS")
        .help("renew it for this very name, and have the server read it again")
        .sts(StsAnswer::VerificationKey)
    } else if end - now < SOON_SECONDS {
        Check::warning(
            id,
            &host.host,
            format!(
                "the certificate expires at {date}, in {} h",
                (end - now) / 3600
            ),
        )
        .why("from then on STS refuses every token")
        .help("renew it, and find out why that was not done by itself")
    } else {
        Check::ok(id, &host.host, format!("good until {date}"))
    };
    diagnosis.push(check);
}

fn thumbprint(diagnosis: &mut Diagnosis<'_>, host: &HostSeen, tls: &TlsSeen) {
    let id = "thumbprint";
    if tls.public_root {
        let message = "the chain ends in a public root: AWS looks at no thumbprint";
        diagnosis.push(Check::ok(id, &host.host, message));
        return;
    }
    let Some(top) = tls.chain.top() else {
        return;
    };
    let wanted = top.thumbprint.as_str();
    let facts = diagnosis.facts;
    let state = match &facts.provider {
        Seen::Found(provider) => provider.state.as_ref(),
        Seen::Unseen(_) => {
            let why = format!(
                "the chain of {} ends in no public root: the IAM provider must hold the thumbprint {wanted}",
                host.host
            );
            let help = "irsa iam provider apply sets it; with AWS credentials this is looked at";
            diagnosis.push(Check::unseen(id, &Unseen::not_asked(why, help)));
            return;
        }
    };
    let Some(state) = state else {
        diagnosis.push(Check::follows(id, &host.host, "provider"));
        return;
    };
    let there = |thumbprint: &str| {
        state
            .ca_thumbprints
            .iter()
            .any(|one| one.eq_ignore_ascii_case(thumbprint))
    };
    let leaf = tls.chain.certificates().first();
    let check = if there(wanted) && tls.chain.is_leaf_only() {
        Check::warning(id, &host.host, tls.chain.reason())
            .why("AWS pins this certificate: at its renewal every token is refused")
            .help("let the server send its CA too, then: irsa iam provider apply")
    } else if there(wanted) {
        Check::ok(id, &host.host, format!("the provider holds {wanted}"))
    } else {
        let list = state.ca_thumbprints.join(" ");
        let message = if leaf.is_some_and(|leaf| there(leaf.thumbprint.as_str())) {
            "the provider holds the thumbprint of the server's own certificate, not of its CA"
        } else {
            "the provider does not hold the thumbprint of the CA"
        };
        Check::failure(id, &host.host, message)
            .strings(list, wanted)
            .why("the chain ends in no public root, so AWS compares the thumbprint of its last certificate")
            .help(format!(
                "irsa iam provider apply --issuer {} --thumbprint {wanted}",
                facts.issuer
            ))
            .sts(StsAnswer::Thumbprint)
    };
    diagnosis.push(check);
}
