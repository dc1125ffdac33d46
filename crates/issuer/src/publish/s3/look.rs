//! What a bucket is like for whoever reads it, each setting asked for by itself: whoever may see one of them sees it.

use aws_sdk_s3::types::PublicAccessBlockConfiguration;
use irsa_core::bucket::PublicAccessBlock;
use irsa_core::diagnosis::facts::{Existence, Seen, Unseen};
use irsa_core::issuer::DISCOVERY_PATH;

use super::{Fault, S3Error, S3Store};

impl S3Store {
    /// Whether the bucket is there, and whose it is, if an owner was given to the store.
    pub async fn look_for_bucket(&self) -> Seen<Existence> {
        let error = match self.head(self.owner.clone()).await {
            Ok(()) => return Seen::Found(Existence::Ours),
            Err(error) => error,
        };
        match (error.fault(), &self.owner) {
            (Fault::NoBucket | Fault::NoObject, _) => Seen::Found(Existence::Missing),
            (Fault::Hidden | Fault::Denied, Some(owner)) => self.refused(owner, &error).await,
            _ => Seen::Unseen(Unseen::from(&error)),
        }
    }

    /// Refused as the owner's, and open to everybody who may look: it is another's. Whoever squats a name may show no
    /// more than the documents, so these are asked for too.
    async fn refused(&self, owner: &str, error: &S3Error) -> Seen<Existence> {
        if self.head(None).await.is_ok() {
            return Seen::Found(Existence::Foreign(owner.to_owned()));
        }
        let as_owner = self.head_document(Some(owner.to_owned())).await;
        if as_owner.is_ok() {
            return Seen::Found(Existence::Ours);
        }
        match self.head_document(None).await {
            Ok(()) => Seen::Found(Existence::Foreign(owner.to_owned())),
            Err(_) => Seen::Unseen(Unseen::from(error)),
        }
    }

    async fn head_document(&self, owner: Option<String>) -> Result<(), S3Error> {
        let path = DISCOVERY_PATH.trim_start_matches('/');
        let sent = self
            .client
            .head_object()
            .bucket(self.bucket())
            .key(self.location.key(path))
            .set_expected_bucket_owner(owner)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| S3Error::of(format!("{} cannot be read", self.name(path)), error))
    }

    async fn head(&self, owner: Option<String>) -> Result<(), S3Error> {
        let sent = self
            .client
            .head_bucket()
            .bucket(self.bucket())
            .set_expected_bucket_owner(owner)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| S3Error::of(self.what("looked at"), error))
    }

    /// Block Public Access of the bucket; none set is all open.
    pub async fn look_at_block(&self) -> Seen<PublicAccessBlock> {
        let sent = self
            .client
            .get_public_access_block()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let what = || self.what("asked for Block Public Access");
        match sent.map_err(|error| S3Error::of(what(), error)) {
            Ok(output) => Seen::Found(
                output
                    .public_access_block_configuration()
                    .map_or(PublicAccessBlock::OPEN, switches),
            ),
            // A store without the call has no such switches.
            Err(error) if matches!(error.fault(), Fault::NotSet | Fault::NotImplemented) => {
                Seen::Found(PublicAccessBlock::OPEN)
            }
            Err(error) => Seen::Unseen(Unseen::from(&error)),
        }
    }

    /// The bucket policy.
    pub async fn look_at_policy(&self) -> Seen<Option<String>> {
        let sent = self
            .client
            .get_bucket_policy()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let what = || self.what("asked for its policy");
        match sent.map_err(|error| S3Error::of(what(), error)) {
            Ok(output) => {
                let policy = output.policy().filter(|text| !text.is_empty());
                Seen::Found(policy.map(str::to_owned))
            }
            Err(error) if *error.fault() == Fault::NotSet => Seen::Found(None),
            Err(error) => Seen::Unseen(Unseen::from(&error)),
        }
    }

    fn what(&self, done: &str) -> String {
        format!("bucket \"{}\" cannot be {done}", self.bucket())
    }
}

fn switches(found: &PublicAccessBlockConfiguration) -> PublicAccessBlock {
    PublicAccessBlock {
        block_public_acls: found.block_public_acls().unwrap_or(false),
        ignore_public_acls: found.ignore_public_acls().unwrap_or(false),
        block_public_policy: found.block_public_policy().unwrap_or(false),
        restrict_public_buckets: found.restrict_public_buckets().unwrap_or(false),
    }
}
