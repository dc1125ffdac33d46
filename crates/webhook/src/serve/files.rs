//! A certificate from files, as cert-manager or the service CA of `OpenShift` put them into a Secret volume.
//!
//! The files are read again and again rather than watched: kubelet swaps a folder above them, which notifications
//! report differently or not at all. A pair that does not fit is half a renewal, or a mistake: the one before stays.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use irsa_endpoint::tls::{PairFiles, PairTexts, Served};
use tokio::time::sleep;

use super::error::ServeError;
use super::tls;
use crate::metrics::Metrics;

/// Takes the files' pair, then follows them for ever. The first pair must be good.
pub async fn follow(
    files: PairFiles,
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

async fn read(files: &PairFiles) -> Result<PairTexts, ServeError> {
    let files = files.clone();
    tokio::task::spawn_blocking(move || files.read())
        .await
        .map_err(ServeError::Stopped)?
        .map_err(|error| ServeError::Read {
            path: error.path,
            source: error.source,
        })
}

fn take(
    files: &PairFiles,
    content: &PairTexts,
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
