//! The certificate that is served now, swapped while serving.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::cipher::{TlsPolicy, provider};
use super::error::ServeError;

/// The pair that is served. Without one every handshake fails.
#[derive(Debug, Default)]
pub struct Served(ArcSwapOption<CertifiedKey>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl Served {
    /// Serves this pair from now on, in PEM with the leaf first, and returns when it expires, in Unix seconds.
    /// `place` names it in errors.
    pub fn take(&self, place: &str, chain: &[u8], key: &[u8]) -> Result<i64, ServeError> {
        let fault = |source: Box<dyn std::error::Error + Send + Sync>| ServeError::Pair {
            place: place.to_owned(),
            source,
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| fault(error.into()))?;
        let expires = first_expiry(&chain).map_err(fault)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| fault(error.into()))?;
        let pair =
            CertifiedKey::from_der(chain, key, &provider()).map_err(|error| fault(error.into()))?;
        self.0.store(Some(Arc::new(pair)));
        Ok(expires)
    }

    /// Whether there is a pair to serve.
    pub fn is_there(&self) -> bool {
        self.0.load().is_some()
    }
}

/// TLS with whatever is served, HTTP/2 before HTTP/1.1.
pub(super) fn config(
    served: &Arc<Served>,
    policy: &TlsPolicy,
) -> Result<rustls::ServerConfig, ServeError> {
    let (provider, versions) = policy.apply();
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Served>::clone(served);
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .map_err(ServeError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(ServeError::Tls)?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// Unix seconds, of the first certificate of the chain to expire.
fn first_expiry(
    chain: &[CertificateDer<'_>],
) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    let mut first = None;
    for der in chain {
        let (_, certificate) = X509Certificate::from_der(der)?;
        let expires = certificate.validity().not_after.timestamp();
        first = Some(first.map_or(expires, |first: i64| first.min(expires)));
    }
    first.ok_or_else(|| "there is no CERTIFICATE block".into())
}
