//! Whether a store compares before it writes. S3 does; some compatible stores ignore the headers without a word, and
//! then two runs overwrite each other and one of the two keys is lost.

use std::time::{Duration, SystemTime};

use irsa_core::change::Expected;

use super::{Conditions, S3Error, S3Store, Trust, random_name};
use crate::publish::PublishError;

impl S3Store {
    /// What is known of the store; found out if need be.
    pub(super) async fn learn(&self) -> Result<Conditions, PublishError> {
        match &self.trust {
            Trust::Known(conditions) => Ok(*conditions),
            Trust::Probed {
                found,
                allow_ignored,
            } => match found.get_or_try_init(|| self.probe()).await? {
                Conditions::Ignored if !allow_ignored => {
                    Err(PublishError::NoConditions(self.location.to_string()))
                }
                conditions => Ok(*conditions),
            },
        }
    }

    /// Removes what runs that were killed left behind. Nothing depends on it: what cannot be removed stays.
    async fn sweep(&self) {
        let scratch = self.location.key(SCRATCH);
        let listed = self
            .client
            .list_objects_v2()
            .bucket(self.bucket())
            .prefix(&scratch)
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let Ok(listed) = listed else { return };
        let old = |object: &&aws_sdk_s3::types::Object| {
            let written = object
                .last_modified()
                .and_then(|at| SystemTime::try_from(*at).ok());
            let age = written.and_then(|written| SystemTime::now().duration_since(written).ok());
            age.is_some_and(|age| age > ABANDONED)
        };
        let keys = listed.contents().iter().filter(old);
        // Not every store looks at the prefix, and nothing else may ever be removed here.
        let ours = |key: &&str| key.starts_with(&scratch);
        for key in keys.filter_map(|object| object.key()).filter(ours) {
            let sent = self
                .client
                .delete_object()
                .bucket(self.bucket())
                .key(key)
                .set_expected_bucket_owner(self.owner.clone())
                .send()
                .await;
            if let Err(error) = sent {
                let error = S3Error::of(format!("scratch object {key} cannot be removed"), error);
                tracing::debug!(%error, "left over from a run that was killed");
            }
        }
    }

    /// Writes a scratch object twice as if it were new, and removes it. The second write must be refused.
    async fn probe(&self) -> Result<Conditions, S3Error> {
        self.sweep().await;
        let path = format!("{SCRATCH}{}", random_name()?);
        let new = Some(&Expected::Absent);
        match self.write(&path, b"{}", new).await {
            // The name is new: a first attempt arrived though its answer did not, and the second was refused.
            Err(error) if !error.is_lost_race() => return Err(error),
            _ => {}
        }
        let second = self.write(&path, b"{}", new).await;
        let removed = self
            .client
            .delete_object()
            .bucket(self.bucket())
            .key(self.location.key(&path))
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let found = match second {
            Ok(()) => Conditions::Ignored,
            Err(error) if error.is_lost_race() => Conditions::Honoured,
            Err(error) => return Err(error),
        };
        let what = || format!("{} cannot be removed", self.name(&path));
        removed.map_err(|error| S3Error::of(what(), error))?;
        Ok(found)
    }
}

/// What the names of scratch objects begin with.
pub(super) const SCRATCH: &str = ".irsa-probe-";
/// A probe takes seconds: what is older belongs to nobody.
const ABANDONED: Duration = Duration::from_mins(5);
