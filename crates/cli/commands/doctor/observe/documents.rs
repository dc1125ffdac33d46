//! The two documents and the hosts that serve them, as STS reaches them.

use std::time::Duration;

use irsa_core::diagnosis::facts::{HostSeen, Look, TlsSeen, Unseen};
use irsa_core::diagnosis::jwks_uri;
use irsa_core::issuer::IssuerUrl;
use irsa_issuer::fetch_probe::{self, Fetched, Server};

/// What an issuer publishes, and who sent it.
pub(super) struct Documents {
    /// The GET of the discovery document.
    pub(super) discovery: Look,
    /// The GET of what its `jwks_uri` names.
    pub(super) jwks: Option<Look>,
    /// The certificates of the very connections that brought the two.
    pub(super) hosts: Vec<HostSeen>,
}

/// The discovery document, and what its `jwks_uri` names.
pub(super) async fn fetch(issuer: &IssuerUrl, limit: Duration) -> Documents {
    let discovery = fetch_probe::look(&issuer.discovery_url(), limit).await;
    let good = discovery
        .look
        .outcome
        .as_ref()
        .ok()
        .filter(|answer| answer.status == 200);
    let uri = good.and_then(|answer| jwks_uri(&answer.body));
    // Keys over plain http are refused unseen: whoever sits in between chooses them.
    let uri = uri.filter(|uri| uri.starts_with("https://") || !issuer.is_https());
    let jwks = match uri {
        Some(uri) => Some(fetch_probe::look(&uri, limit).await),
        None => None,
    };
    documents(discovery, jwks)
}

fn documents(discovery: Fetched, jwks: Option<Fetched>) -> Documents {
    // Without a jwks_uri the keys are expected where the discovery document is.
    let (jwks, servers) = match jwks {
        Some(jwks) => (Some(jwks.look), [jwks.server, discovery.server]),
        None => (None, [discovery.server, None]),
    };
    Documents {
        hosts: hosts(servers),
        discovery: discovery.look,
        jwks,
    }
}

/// The server of the keys, and that of the discovery document where it is another or has shown another certificate.
fn hosts(servers: [Option<Server>; 2]) -> Vec<HostSeen> {
    let mut hosts: Vec<HostSeen> = Vec::new();
    for Server { name, tls } in servers.into_iter().flatten() {
        let tls = match tls {
            Ok(probe) => Ok(TlsSeen {
                chain: probe.chain,
                public_root: probe.ends_in_public_root,
                problem: probe.problem,
            }),
            Err(error) => Err(Unseen::from(&error)),
        };
        let chain = tls.as_ref().ok().map(|tls| &tls.chain);
        let known = |seen: &HostSeen| {
            seen.host == name && seen.tls.as_ref().ok().map(|tls| &tls.chain) == chain
        };
        if hosts.iter().any(known) {
            continue;
        }
        // Where the keys are, every certificate is one that AWS may meet.
        let serves_keys = hosts.first().is_none_or(|first| first.host == name);
        hosts.push(HostSeen {
            host: name,
            serves_keys,
            tls,
        });
    }
    hosts
}
