//! The two documents and the hosts that serve them, as STS reaches them.

use std::time::Duration;

use irsa_core::diagnosis::facts::{HostSeen, Look, TlsSeen, Unseen};
use irsa_core::diagnosis::jwks_uri;
use irsa_core::issuer::IssuerUrl;
use irsa_issuer::chain_probe::{self, parse_target};
use irsa_issuer::fetch_probe;

/// The discovery document, and what its `jwks_uri` names.
pub(super) async fn fetch(issuer: &IssuerUrl, limit: Duration) -> (Look, Option<Look>) {
    let discovery = fetch_probe::look(&issuer.discovery_url(), limit).await;
    let good = discovery
        .outcome
        .as_ref()
        .ok()
        .filter(|answer| answer.status == 200);
    let uri = good.and_then(|answer| jwks_uri(&answer.body));
    // Keys over plain http are refused unseen: whoever sits in between chooses them.
    let uri = uri.filter(|uri| uri.starts_with("https://") || !issuer.is_https());
    match uri {
        Some(uri) => (discovery, Some(fetch_probe::look(&uri, limit).await)),
        None => (discovery, None),
    }
}

/// The certificates of the hosts: the issuer's, and that of the keys where it is another.
pub(super) async fn hosts(
    issuer: &IssuerUrl,
    jwks: Option<&Look>,
    limit: Duration,
) -> Vec<HostSeen> {
    let mut hosts: Vec<HostSeen> = Vec::new();
    let keys = jwks.map_or(issuer.as_str(), |look| look.url.as_str());
    for (url, serves_keys) in [(keys, true), (issuer.as_str(), false)] {
        let Ok(target) = parse_target(url) else {
            continue;
        };
        let port = target.port_or_known_default().unwrap_or(443);
        let host = format!("{}:{port}", target.host_str().unwrap_or_default());
        if hosts.iter().any(|seen| seen.host == host) {
            continue;
        }
        let tls = match chain_probe::probe(&target, limit).await {
            Ok(probe) => Ok(TlsSeen {
                chain: probe.chain,
                public_root: probe.ends_in_public_root,
                problem: probe.problem,
            }),
            Err(error) => Err(Unseen::from(&error)),
        };
        hosts.push(HostSeen {
            host,
            serves_keys,
            tls,
        });
    }
    hosts
}
