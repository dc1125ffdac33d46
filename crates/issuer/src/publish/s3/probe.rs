//! Whether a store compares before it writes. S3 does; some compatible stores ignore the headers without a word, and
//! then two runs overwrite each other and one of the two keys is lost.

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

    /// Writes a scratch object twice as if it were new, and removes it. The second write must be refused.
    async fn probe(&self) -> Result<Conditions, S3Error> {
        let path = format!(".irsa-probe-{}", random_name()?);
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
