//! The certificate that is served, and whose certificates are looked at.

use std::sync::Arc;

use irsa_endpoint::tls::{self, Pair, PairError, Served};
use rustls::server::danger::ClientCertVerifier;

use super::cipher::{TlsPolicy, provider};
use super::clients::Clients;
use super::error::ServeError;

/// Serves this pair from now on, in PEM with the leaf first, and returns when it expires, in Unix seconds. `place`
/// names it in errors.
pub(crate) fn take(
    served: &Served,
    place: &str,
    chain: &[u8],
    key: &[u8],
) -> Result<i64, ServeError> {
    let pair = Pair::parse(chain, key, &provider()).map_err(|error| ServeError::Pair {
        place: place.to_owned(),
        source: match error {
            PairError::Chain(source) | PairError::Key(source) => source,
            PairError::Mismatch(source) => source.into(),
        },
    })?;
    let expires = pair.expires;
    served.put(pair);
    Ok(expires)
}

/// TLS with whatever is served. With `clients` the certificates of clients are asked for and verified; who shows none
/// is let in to the pages that kubelet asks for, and to no other.
pub(super) fn config(
    served: &Arc<Served>,
    policy: &TlsPolicy,
    clients: Option<Arc<Clients>>,
) -> Result<rustls::ServerConfig, ServeError> {
    let (provider, versions) = policy.apply();
    let clients = clients.map(|clients| clients as Arc<dyn ClientCertVerifier>);
    tls::server_config(served, provider, &versions, clients).map_err(ServeError::Tls)
}
