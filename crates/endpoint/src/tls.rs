//! The certificate that is served now, swapped while serving, and the TLS that goes with it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use files::{PairFiles, PairTexts, Unreadable, read_pem};

mod files;

/// The pair that is served. Without one every handshake fails.
#[derive(Debug, Default)]
pub struct Served(ArcSwapOption<CertifiedKey>);

impl Served {
    /// Serves this pair from now on. Says whether it is another one than before.
    pub fn put(&self, pair: Pair) -> bool {
        let pair = Arc::new(pair.certified);
        let before = self.0.swap(Some(Arc::clone(&pair)));
        before.is_none_or(|before| before.cert != pair.cert)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// A certificate chain and its private key.
#[derive(Debug)]
pub struct Pair {
    certified: CertifiedKey,
    /// When the first certificate of the chain expires, in Unix seconds.
    pub expires: i64,
}

/// Why two texts are no pair. Never quotes them.
#[derive(Debug)]
pub enum PairError {
    /// The chain is not one of certificates in PEM.
    Chain(Box<dyn std::error::Error + Send + Sync>),
    /// The key is not a private key in PEM.
    Key(Box<dyn std::error::Error + Send + Sync>),
    /// The key is not the certificate's, or of a kind that TLS cannot use.
    Mismatch(rustls::Error),
}

impl Pair {
    /// Reads a chain, leaf first, and its key (PKCS#8, PKCS#1 or SEC1), both in PEM.
    pub fn parse(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Self, PairError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| PairError::Chain(plain(&error).into()))?;
        let expires = first_expiry(&chain).map_err(PairError::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| PairError::Key(plain(&error).into()))?;
        let certified =
            CertifiedKey::from_der(chain, key, provider).map_err(PairError::Mismatch)?;
        Ok(Self { certified, expires })
    }

    /// Whether a client that connects to `host` (a name or an address) takes the certificate for this host's: by its
    /// subject alternative names, as RFC 9525 has it.
    pub fn names(&self, host: &str) -> bool {
        // An address of IPv6 stands in brackets in a URL.
        let plain = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let Ok(name) = ServerName::try_from(plain.unwrap_or(host)) else {
            return false;
        };
        self.certified
            .end_entity_cert()
            .and_then(|leaf| verify_server_name(&ParsedCertificate::try_from(leaf)?, &name))
            .is_ok()
    }
}

/// What is wrong with a text in PEM, without the bytes of it that the library shows.
pub fn plain(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a block in PEM has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line in PEM is not whole",
        pem::Error::Base64Decode(_) => "a block in PEM is not base64",
        pem::Error::NoItemsFound => "there is no block in PEM of that kind",
        _ => "it cannot be read as PEM",
    }
}

/// TLS with whatever is served, HTTP/2 before HTTP/1.1, for anybody or for clients whose certificate is looked at. Those
/// are looked at in every handshake.
pub fn server_config(
    served: &Arc<Served>,
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, rustls::Error> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Served>::clone(served);
    let builder =
        ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions)?;
    let knows_clients = clients.is_some();
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if knows_clients {
        // A resumed session brings its client's certificate along unjudged: whoever is no longer trusted would be.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        return Ok(config);
    }
    // tickets keep resumption state with the client; one is enough to come back once
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn first_expiry(
    chain: &[CertificateDer<'_>],
) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    let mut first = None;
    for certificate in chain {
        let (_, parsed) = X509Certificate::from_der(certificate)?;
        let expires = parsed.validity().not_after.timestamp();
        first = Some(first.map_or(expires, |first: i64| first.min(expires)));
    }
    first.ok_or_else(|| "there is no CERTIFICATE block".into())
}
