//! What a bucket is like for whoever reads it, each setting asked for by itself: whoever may see one of them sees it.

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
            (Fault::NoBucket, _) => Seen::Found(Existence::Missing),
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

    pub(super) async fn head(&self, owner: Option<String>) -> Result<(), S3Error> {
        let sent = self
            .client
            .head_bucket()
            .bucket(self.bucket())
            .set_expected_bucket_owner(owner)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| S3Error::of_head(self.cannot("be looked at"), error))
    }

    /// Block Public Access of the bucket.
    pub async fn look_at_block(&self) -> Seen<PublicAccessBlock> {
        self.block().await.into()
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
        match sent.map_err(|error| S3Error::of(self.cannot("be asked for its policy"), error)) {
            Ok(output) => {
                let policy = output.policy().filter(|text| !text.is_empty());
                Seen::Found(policy.map(str::to_owned))
            }
            Err(error) if *error.fault() == Fault::NotSet => Seen::Found(None),
            Err(error) => Seen::Unseen(Unseen::from(&error)),
        }
    }
}
