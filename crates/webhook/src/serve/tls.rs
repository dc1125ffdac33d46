//! The certificate that is served, and whose certificates are looked at.

use std::path::Path;
use std::sync::Arc;

use irsa_endpoint::tls::{self, Pair, PairError, Served};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::cipher::{TlsPolicy, provider};
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

/// TLS with whatever is served. With a client CA the certificates of clients are asked for and verified; who shows none
/// is let in to the pages that kubelet asks for, and to no other.
pub(super) fn config(
    served: &Arc<Served>,
    policy: &TlsPolicy,
    client_ca: Option<&Path>,
) -> Result<rustls::ServerConfig, ServeError> {
    let (provider, versions) = policy.apply();
    let clients = client_ca.map(verifier).transpose()?;
    tls::server_config(served, provider, &versions, clients).map_err(ServeError::Tls)
}

fn verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, ServeError> {
    let fault = |source: Box<dyn std::error::Error + Send + Sync>| ServeError::ClientCa {
        path: path.to_owned(),
        source,
    };
    let pem = std::fs::read(path).map_err(|error| fault(error.into()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| fault(error.into()))?;
        roots
            .add(certificate)
            .map_err(|error| fault(error.into()))?;
    }
    if roots.is_empty() {
        return Err(fault("there is no CERTIFICATE block".into()));
    }
    let (roots, provider) = (Arc::new(roots), Arc::new(provider()));
    WebPkiClientVerifier::builder_with_provider(roots, provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| fault(error.into()))
}
