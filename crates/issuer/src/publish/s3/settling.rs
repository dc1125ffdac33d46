//! A bucket that was just made: objects of S3 are strongly consistent, buckets and their settings are not (S3 User
//! Guide, "Amazon S3 data consistency model"), and compatible stores keep "no such bucket" for a while too.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::S3Error;
use super::error::Fault;

/// After that, a bucket that is not found is an error: as long as Terraform's AWS provider waits.
const LIMIT: Duration = Duration::from_mins(2);

/// Between two calls: first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// When the bucket was made, if it was by this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Settling(Arc<OnceLock<Instant>>);

impl Settling {
    /// The bucket was made now.
    pub(super) fn begin(&self) {
        self.0.get_or_init(Instant::now);
    }

    fn is_over(&self) -> bool {
        self.0.get().is_none_or(|made| made.elapsed() >= LIMIT)
    }

    /// Repeats a call that does not find the bucket, while the bucket is new.
    pub(super) async fn wait<T, F>(&self, call: impl Fn() -> F) -> Result<T, S3Error>
    where
        F: Future<Output = Result<T, S3Error>>,
    {
        let mut pause = PAUSES.0;
        loop {
            match call().await {
                Err(error) if *error.fault() == Fault::NoBucket && !self.is_over() => {
                    tracing::debug!(%error, "the bucket is new: once more");
                }
                other => return other,
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}
