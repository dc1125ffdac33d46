//! Taking a bucket out of use: what else is in it, and its end with all versions of the documents.

use super::error::Fault;
use super::probe::SCRATCH;
use super::{S3Error, S3Store};

impl S3Store {
    /// Whether the bucket holds objects with other keys than these.
    pub async fn holds_others(&self, ours: &[String]) -> Result<bool, S3Error> {
        // One more than ours: if there is another, it is among them.
        let count = i32::try_from(ours.len()).unwrap_or(i32::MAX - 1) + 1;
        let listed = self
            .client
            .list_objects_v2()
            .bucket(self.bucket())
            .max_keys(count)
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await
            .map_err(|error| S3Error::of(self.cannot("be listed"), error))?;
        let other = |key: Option<&str>| key.is_none_or(|key| !ours.iter().any(|one| one == key));
        Ok(listed.contents().iter().any(|object| other(object.key())))
    }

    /// Deletes every version of these objects, then the bucket. S3 refuses when anything else is left, also an old
    /// version of it. What is gone already counts as deleted.
    pub async fn delete_bucket(&self, ours: &[String]) -> Result<(), S3Error> {
        for key in ours {
            self.delete_versions(key, |found| found == key).await?;
        }
        // A store with versions keeps those of scratch objects too.
        let scratch = self.location.key(SCRATCH);
        self.delete_versions(&scratch, |found| found.starts_with(&scratch))
            .await?;
        let sent = self
            .client
            .delete_bucket()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        match sent.map_err(|error| S3Error::of(self.cannot("be deleted"), error)) {
            Err(error) if *error.fault() == Fault::NoBucket => Ok(()),
            other => other.map(drop),
        }
    }

    async fn delete_versions(
        &self,
        prefix: &str,
        ours: impl Fn(&str) -> bool,
    ) -> Result<(), S3Error> {
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(self.bucket())
                .prefix(prefix)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .set_expected_bucket_owner(self.owner.clone())
                .send()
                .await
                .map_err(|error| S3Error::of(self.cannot("be asked for old versions"), error))?;
            let versions = page
                .versions()
                .iter()
                .map(|one| (one.key(), one.version_id()));
            let markers = page
                .delete_markers()
                .iter()
                .map(|one| (one.key(), one.version_id()));
            for (found, version) in versions.chain(markers) {
                if let Some(key) = found.filter(|key| ours(key)) {
                    self.delete_version(key, version).await?;
                }
            }
            key_marker = page.next_key_marker().map(str::to_owned);
            version_marker = page.next_version_id_marker().map(str::to_owned);
            if page.is_truncated() != Some(true) {
                return Ok(());
            }
        }
    }

    async fn delete_version(&self, key: &str, version: Option<&str>) -> Result<(), S3Error> {
        let sent = self
            .client
            .delete_object()
            .bucket(self.bucket())
            .key(key)
            .set_version_id(version.map(str::to_owned))
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let what = || format!("s3://{}/{key} cannot be removed", self.bucket());
        sent.map(drop).map_err(|error| S3Error::of(what(), error))
    }
}
