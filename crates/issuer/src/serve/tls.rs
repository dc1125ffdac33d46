//! Certificate and key files: read, checked as a pair, swapped while serving.
//!
//! Files are looked at by polling their metadata: kubelet's projected volumes, cert-manager, certbot and plain `cp`
//! replace files in ways that file notifications report differently, and a renewal is not urgent. A changed pair is
//! taken only when two looks in a row see the same, so that a certificate is not paired with the key before it, and
//! only when it parses and fits; otherwise the last good pair stays and is warned about once.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Metrics, ServeError};

/// The certificate chain and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Checks the files as the server would take them, and returns when the first certificate of the chain expires.
pub fn validate_tls(files: &TlsFiles) -> Result<SystemTime, ServeError> {
    let pair = Pair::load(files)?;
    let seconds = u64::try_from(pair.expires).unwrap_or_default();
    Ok(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}

/// The pair that is served now, and where the next one comes from.
#[derive(Debug)]
pub(super) struct Certificates {
    files: TlsFiles,
    served: Arc<Served>,
    /// How the files looked just before the first pair was read.
    loaded: Look,
    metrics: Metrics,
}

#[derive(Debug)]
struct Served(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificates {
    /// Loads the first pair; without one there is nothing to serve.
    pub(super) fn load(files: TlsFiles, metrics: Metrics) -> Result<Self, ServeError> {
        let loaded = Look::at(&files);
        let pair = Pair::load(&files)?;
        pair.announce(&files, &metrics);
        let served = Arc::new(Served(ArcSwap::new(Arc::new(pair.certified))));
        Ok(Self {
            files,
            served,
            loaded,
            metrics,
        })
    }

    /// TLS 1.2 and 1.3 with this certificate, offering HTTP/2 before HTTP/1.1.
    pub(super) fn server_config(&self) -> Result<rustls::ServerConfig, ServeError> {
        let fault = |source| ServeError::TlsSetup { source };
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Served>::clone(&self.served);
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(fault)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // tickets keep resumption state with the client; one is enough to come back once
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(fault)?;
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    /// Takes the pair that the files hold now, or keeps the last good one, warns and says why.
    pub(super) fn reload(&self) -> Result<(), ServeError> {
        match Pair::load(&self.files) {
            Ok(pair) => {
                pair.announce(&self.files, &self.metrics);
                self.served.0.store(Arc::new(pair.certified));
                self.metrics.certificate_reload_succeeded();
                Ok(())
            }
            Err(error) => {
                self.metrics.certificate_reload_failed();
                Err(error)
            }
        }
    }

    /// What the files look like from outside; differs after any kind of replacement.
    pub(super) fn look(&self) -> Look {
        Look::at(&self.files)
    }

    pub(super) fn loaded(&self) -> &Look {
        &self.loaded
    }

    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }
}

/// The identity and time of both files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look([Option<Glance>; 2]);

impl Look {
    fn at(files: &TlsFiles) -> Self {
        Self([glance(&files.cert), glance(&files.key)])
    }
}

type Glance = (u64, u64, u64, i64, i64);

fn glance(path: &Path) -> Option<Glance> {
    let seen = fs::metadata(path).ok()?;
    Some((
        seen.dev(),
        seen.ino(),
        seen.len(),
        seen.mtime(),
        seen.mtime_nsec(),
    ))
}

/// Decides from successive looks when to read the files again.
#[derive(Debug)]
pub(super) struct Watcher {
    taken: Look,
    last: Look,
}

impl Watcher {
    pub(super) fn new(first: Look) -> Self {
        Self {
            taken: first.clone(),
            last: first,
        }
    }

    /// Whether the files changed and then held still for one look.
    pub(super) fn settled_change(&mut self, look: Look) -> bool {
        let settled = look == self.last && look != self.taken;
        if settled {
            self.taken = look.clone();
        }
        self.last = look;
        settled
    }
}

struct Pair {
    certified: CertifiedKey,
    /// Unix seconds, of the first certificate of the chain to expire.
    expires: i64,
}

impl Pair {
    fn load(files: &TlsFiles) -> Result<Self, ServeError> {
        let chain = read_chain(&files.cert)?;
        let expires = first_expiry(&chain).map_err(|source| ServeError::ParseTls {
            path: files.cert.clone(),
            expected: CERTIFICATE,
            source,
        })?;
        let key = read_key(&files.key)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|source| {
            ServeError::TlsPair {
                cert: files.cert.clone(),
                key: files.key.clone(),
                source,
            }
        })?;
        Ok(Self { certified, expires })
    }

    /// Tells operators what they would otherwise learn from a client's error.
    fn announce(&self, files: &TlsFiles, metrics: &Metrics) {
        metrics.certificate_expires(self.expires);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        if u64::try_from(self.expires).unwrap_or_default() <= now.as_secs() {
            tracing::warn!(cert = %files.cert.display(), "the TLS certificate has expired");
        }
        // kubelet's projected volumes are group-readable by design, so this cannot be refused
        let mode = fs::metadata(&files.key).map_or(0, |seen| seen.mode() & 0o777);
        if mode & 0o077 != 0 {
            let mode = format!("{mode:04o}");
            tracing::warn!(key = %files.key.display(), mode, "the TLS key can be read by others");
        }
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let pem = read(path)?;
    let fault = |source: Box<dyn std::error::Error + Send + Sync>| ServeError::ParseTls {
        path: path.to_owned(),
        expected: CERTIFICATE,
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(error.into()))?;
    if chain.is_empty() {
        Err(fault("the file has no CERTIFICATE block".into()))
    } else {
        Ok(chain)
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, ServeError> {
    let pem = zeroize::Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| ServeError::ParseTls {
        path: path.to_owned(),
        expected: "a private key",
        source: error.into(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    let fault = |source| ServeError::ReadTls {
        path: path.to_owned(),
        source,
    };
    let length = fs::metadata(path).map_err(fault)?.len();
    if length > MAX_FILE_BYTES {
        let problem = format!("{length} bytes, at most {MAX_FILE_BYTES} are read");
        return Err(fault(io::Error::new(io::ErrorKind::FileTooLarge, problem)));
    }
    let mut bytes = Vec::new();
    // the length above is what the file said before: a device or a file that grows says something else
    let file = fs::File::open(path).map_err(fault)?;
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(fault)?;
    Ok(bytes)
}

fn first_expiry(
    chain: &[CertificateDer<'_>],
) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    let mut first = i64::MAX;
    for certificate in chain {
        let (_, parsed) = X509Certificate::from_der(certificate)?;
        first = first.min(parsed.validity().not_after.timestamp());
    }
    Ok(first)
}

/// AES-128 with SHA-256 before the others: the documents are public, and a handshake whose key schedule hashes with
/// SHA-384 costs a fifth more on processors that only know how to hurry SHA-256.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| !PREFERRED.contains(&suite.suite()));
    Arc::new(provider)
}

const PREFERRED: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];
const CERTIFICATE: &str = "a certificate";
/// A chain is a few kilobytes; a device or a log given by mistake is not read into memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn look(mark: u64) -> Look {
        Look([Some((0, mark, 0, 0, 0)), None])
    }

    #[test]
    fn a_change_is_taken_once_and_only_when_it_holds_still() {
        let mut watcher = Watcher::new(look(1));
        for (mark, expected) in [
            (1, false),
            (2, false),
            (3, false),
            (3, true),
            (3, false),
            (1, false),
            (1, true),
        ] {
            assert_eq!(watcher.settled_change(look(mark)), expected, "{mark}");
        }
    }
}
