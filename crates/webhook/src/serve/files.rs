//! A certificate from files, as cert-manager or the service CA of `OpenShift` put them into a Secret volume.
//!
//! The files are read again and again rather than watched: kubelet swaps a folder above them, which notifications
//! report differently or not at all. A pair that does not fit is half a renewal, or a mistake: the one before stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use irsa_endpoint::tls::Served;
use tokio::fs;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::error::ServeError;
use super::tls;
use crate::metrics::Metrics;

/// Where the certificate stands.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The chain in PEM, leaf first.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

/// What the files held, to notice a change.
#[derive(PartialEq, Eq)]
struct Content {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// Takes the files' pair, then follows them for ever. The first pair must be good.
pub async fn follow(
    files: CertificateFiles,
    every: Duration,
    served: Arc<Served>,
    metrics: Metrics,
) -> Result<impl Future<Output = ()>, ServeError> {
    let mut last = read(&files).await?;
    take(&files, &last, &served, &metrics)?;
    Ok(async move {
        let mut complained = false;
        loop {
            sleep(every).await;
            let taken = match read(&files).await {
                Ok(content) if content == last => Ok(()),
                Ok(content) => {
                    let taken = take(&files, &content, &served, &metrics);
                    if taken.is_ok() {
                        last = content;
                    }
                    taken
                }
                Err(error) => Err(error),
            };
            match taken {
                Ok(()) => complained = false,
                Err(error) => {
                    let why = std::error::Error::source(&error).map(tracing::field::display);
                    if complained {
                        tracing::debug!(%error, why, "certificate still not taken");
                    } else {
                        metrics.certificate("refused");
                        tracing::warn!(%error, why, "certificate not taken, the one before stays");
                    }
                    complained = true;
                }
            }
        }
    })
}

async fn read(files: &CertificateFiles) -> Result<Content, ServeError> {
    let read = async |path: &PathBuf| {
        fs::read(path).await.map_err(|source| ServeError::Read {
            path: path.clone(),
            source,
        })
    };
    Ok(Content {
        chain: read(&files.cert).await?,
        key: Zeroizing::new(read(&files.key).await?),
    })
}

fn take(
    files: &CertificateFiles,
    content: &Content,
    served: &Served,
    metrics: &Metrics,
) -> Result<(), ServeError> {
    let place = format!("{} with {}", files.cert.display(), files.key.display());
    let expires = tls::take(served, &place, &content.chain, &content.key)?;
    metrics.certificate("taken");
    metrics.certificate_expires(expires);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    if u64::try_from(expires).unwrap_or_default() <= now.as_secs() {
        tracing::warn!(cert = %files.cert.display(), "the TLS certificate has expired");
    }
    Ok(())
}
