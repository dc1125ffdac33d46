//! The CA of the clients whose reviews are answered, read again when its file changes.
//!
//! **Guarantee.** Once a new file is taken, nobody asks with a certificate of the old one: handshakes are judged by the
//! new CA, a handshake is never shortened by an earlier one, and connections that are open finish what they do and end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use irsa_endpoint::tls::read_pem;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::cipher::provider;
use super::error::ServeError;

/// Judges the certificates of clients by the CA of now. Who shows none is let in, to the pages that kubelet asks for.
#[derive(Debug)]
pub(super) struct Clients {
    path: PathBuf,
    now: ArcSwap<Judge>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Judge {
    pem: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// With the CA that the file has now, which must be good.
    pub(super) async fn read(path: PathBuf) -> Result<Arc<Self>, ServeError> {
        let pem = read(&path).await?;
        let judge = judge(&path, pem)?;
        Ok(Arc::new(Self {
            path,
            now: ArcSwap::from_pointee(judge),
            changed: Arc::default(),
        }))
    }

    /// Is told when another CA was taken.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Follows the file for ever. What is no CA changes nothing: it is half a write, or a mistake.
    pub(super) async fn follow(self: Arc<Self>, every: Duration) {
        let mut complained = false;
        loop {
            sleep(every).await;
            let taken = match read(&self.path).await {
                Ok(pem) if pem == self.now.load().pem => Ok(()),
                Ok(pem) => judge(&self.path, pem).map(|judge| self.take(judge)),
                Err(error) => Err(error),
            };
            match taken {
                Ok(()) => complained = false,
                Err(error) if complained => {
                    tracing::debug!(%error, "CA of clients still not taken");
                }
                Err(error) => {
                    complained = true;
                    let why = std::error::Error::source(&error).map(tracing::field::display);
                    tracing::warn!(%error, why, "CA of clients not taken, the one before stays");
                }
            }
        }
    }

    fn take(&self, judge: Judge) {
        self.now.store(Arc::new(judge));
        self.changed.notify_one();
        tracing::info!(file = %self.path.display(), "another CA of clients from now on");
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_pem(&path)).await;
    match read.map_err(ServeError::Stopped)? {
        Ok(pem) => Ok(pem.to_vec()),
        Err(error) => Err(ServeError::ClientCa {
            path: error.path,
            source: error.source.into(),
        }),
    }
}

fn judge(path: &Path, pem: Vec<u8>) -> Result<Judge, ServeError> {
    let verifier = verifier(&pem).map_err(|source| ServeError::ClientCa {
        path: path.to_owned(),
        source,
    })?;
    Ok(Judge { pem, verifier })
}

fn verifier(
    pem: &[u8],
) -> Result<Arc<dyn ClientCertVerifier>, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| irsa_endpoint::tls::plain(&error))?)?;
    }
    if roots.is_empty() {
        return Err("there is no CERTIFICATE block".into());
    }
    let (roots, provider) = (Arc::new(roots), Arc::new(provider()));
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    Ok(builder.allow_unauthenticated().build()?)
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a hint is borrowed, and the CA may be another one a moment later. Clients then show what they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let judge = self.now.load();
        judge
            .verifier
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let judge = self.now.load();
        judge
            .verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let judge = self.now.load();
        judge
            .verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now.load().verifier.supported_verify_schemes()
    }
}
