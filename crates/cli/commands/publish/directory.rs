//! Publishing to directories: under a lock each, one after the other.

use std::path::PathBuf;

use irsa_core::documents::IssuerDocuments;
use irsa_issuer::publish::dir::Directory;

use super::Mode;
use super::result::{Published, Run};
use super::sync::{Job, SyncError};

/// Publishes, or shows what publishing would do.
pub async fn run(
    issuers: &[(IssuerDocuments, PathBuf)],
    withdraw: &[String],
    mode: Mode,
) -> (Run, Option<SyncError>) {
    let mut rows = Vec::with_capacity(issuers.len());
    let mut errors: Vec<SyncError> = Vec::new();
    for (documents, place) in issuers {
        let job = Job {
            documents,
            to: format!("dir:{}", place.display()),
            withdraw,
            direct: false,
            owned: false,
            reader: None,
            patient: false,
        };
        let done = match mode {
            Mode::Write => write(&job, place).await,
            Mode::Show | Mode::Compare => job.show(&Directory::new(place.clone())).await,
        };
        rows.push(done.unwrap_or_else(|error| {
            let row = Published::failed(
                documents.issuer().to_string(),
                job.to.clone(),
                error.to_string(),
            );
            errors.push(error);
            row
        }));
    }
    let error = SyncError::worst(errors, rows.len());
    (Run::new(&[], rows, mode != Mode::Write), error)
}

async fn write(job: &Job<'_>, place: &std::path::Path) -> Result<Published, SyncError> {
    let locked = Directory::new(place.to_owned()).lock();
    job.publish(&locked?).await
}
