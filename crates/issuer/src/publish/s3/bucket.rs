//! The bucket itself: looked at, and changed one setting at a time. What is to be changed is decided in
//! [`irsa_core::bucket`].

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, ObjectOwnership,
    OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration, Tag, Tagging,
    VersioningConfiguration,
};
use irsa_core::bucket::{BucketChange, BucketState, OWNER_TAG, PublicAccessBlock};

use super::error::Fault;
use super::{S3Error, S3Store};

/// What S3 calls the Region that must not be named when a bucket is made.
const UNNAMED_REGION: &str = "us-east-1";

/// The answer of a call, or `None` if the bucket lacks the setting or the store lacks the call.
fn optional<T>(answer: Result<T, S3Error>) -> Result<Option<T>, S3Error> {
    match answer {
        Ok(output) => Ok(Some(output)),
        Err(error) if matches!(error.fault(), Fault::NotSet | Fault::NotImplemented) => Ok(None),
        Err(error) => Err(error),
    }
}

impl S3Store {
    /// What the bucket is like; `None` if it does not exist. An untagged bucket is asked for `proof` that it is used
    /// for these issuers, unless it is empty.
    pub async fn observe_bucket(
        &self,
        proof: impl AsyncFn(&Self) -> bool,
    ) -> Result<Option<BucketState>, S3Error> {
        let head = || self.head(self.owner.clone());
        match self.settling.wait(head).await {
            Err(error) if *error.fault() == Fault::NoBucket => return Ok(None),
            other => other?,
        }
        let tags = self.settling.wait(|| self.tags()).await?;
        let tagged = tags.iter().any(|tag| (tag.key(), tag.value()) == OWNER_TAG);
        let adoptable =
            !tagged && (self.settling.wait(|| self.is_empty()).await? || proof(self).await);
        let settings = || self.settings(tagged, adoptable);
        self.settling.wait(settings).await.map(Some)
    }

    async fn settings(&self, tagged: bool, adoptable: bool) -> Result<BucketState, S3Error> {
        Ok(BucketState {
            tagged,
            adoptable,
            owner_enforced: self.owner_enforced().await?,
            versioned: self.versioned().await?,
            block: self.block().await?,
            policy: self.policy().await?,
        })
    }

    /// Makes one change. A bucket that it makes may not be found by every call at once: for two minutes, calls of this
    /// store and of others made with [`S3Store::at`] wait for it.
    pub async fn apply_bucket(&self, change: &BucketChange) -> Result<(), S3Error> {
        self.settling.wait(|| self.change(change)).await
    }

    async fn change(&self, change: &BucketChange) -> Result<(), S3Error> {
        match change {
            BucketChange::Create { region } => {
                self.create(region).await?;
                self.settling.begin();
                Ok(())
            }
            BucketChange::Tag => self.tag().await,
            BucketChange::EnforceOwner => self.enforce_owner().await,
            BucketChange::Version => self.version().await,
            BucketChange::Block(block) => self.set_block(*block).await,
            BucketChange::Policy { before, json, .. } => {
                self.set_policy(before.as_deref(), json).await
            }
        }
    }

    pub(super) fn cannot(&self, verb: &str) -> String {
        format!("bucket \"{}\" cannot {verb}", self.bucket())
    }

    async fn is_empty(&self) -> Result<bool, S3Error> {
        let listed = self
            .client
            .list_objects_v2()
            .bucket(self.bucket())
            .max_keys(1)
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await
            .map_err(|error| S3Error::of(self.cannot("be listed"), error))?;
        Ok(listed.contents().is_empty())
    }

    async fn tags(&self) -> Result<Vec<Tag>, S3Error> {
        let sent = self
            .client
            .get_bucket_tagging()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let read = sent.map_err(|error| S3Error::of(self.cannot("be asked for its tags"), error));
        Ok(optional(read)?.map_or_else(Vec::new, |output| output.tag_set().to_vec()))
    }

    async fn owner_enforced(&self) -> Result<bool, S3Error> {
        let sent = self
            .client
            .get_bucket_ownership_controls()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let read = sent.map_err(|error| {
            S3Error::of(self.cannot("be asked for its ownership controls"), error)
        });
        let output = optional(read)?;
        let rules = output
            .as_ref()
            .and_then(|output| output.ownership_controls())
            .map(OwnershipControls::rules)
            .unwrap_or_default();
        Ok(rules
            .iter()
            .any(|rule| *rule.object_ownership() == ObjectOwnership::BucketOwnerEnforced))
    }

    async fn versioned(&self) -> Result<bool, S3Error> {
        let sent = self
            .client
            .get_bucket_versioning()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let read =
            sent.map_err(|error| S3Error::of(self.cannot("be asked for its versioning"), error));
        let status = optional(read)?.and_then(|output| output.status().cloned());
        Ok(status == Some(BucketVersioningStatus::Enabled))
    }

    /// Block Public Access of the bucket; none set is all open, and a store without the call has no such switches.
    pub(super) async fn block(&self) -> Result<PublicAccessBlock, S3Error> {
        let sent = self
            .client
            .get_public_access_block()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let read = sent
            .map_err(|error| S3Error::of(self.cannot("be asked for Block Public Access"), error));
        let output = optional(read)?;
        let found = output
            .as_ref()
            .and_then(|output| output.public_access_block_configuration());
        let on = |read: fn(&PublicAccessBlockConfiguration) -> Option<bool>| {
            found.and_then(read).unwrap_or(false)
        };
        Ok(PublicAccessBlock {
            block_public_acls: on(PublicAccessBlockConfiguration::block_public_acls),
            ignore_public_acls: on(PublicAccessBlockConfiguration::ignore_public_acls),
            block_public_policy: on(PublicAccessBlockConfiguration::block_public_policy),
            restrict_public_buckets: on(PublicAccessBlockConfiguration::restrict_public_buckets),
        })
    }

    async fn policy(&self) -> Result<Option<String>, S3Error> {
        let sent = self
            .client
            .get_bucket_policy()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .send()
            .await;
        let read = sent.map_err(|error| S3Error::of(self.cannot("be asked for its policy"), error));
        let policy = optional(read)?.and_then(|output| output.policy().map(str::to_owned));
        Ok(policy.filter(|text| !text.is_empty()))
    }

    async fn create(&self, region: &str) -> Result<(), S3Error> {
        let cannot = |error| S3Error::request(self.cannot("be made"), error);
        let tag = Tag::builder().key(OWNER_TAG.0).value(OWNER_TAG.1).build();
        let mut configuration = CreateBucketConfiguration::builder().tags(tag.map_err(cannot)?);
        if region != UNNAMED_REGION {
            configuration =
                configuration.location_constraint(BucketLocationConstraint::from(region));
        }
        let sent = self
            .client
            .create_bucket()
            .bucket(self.bucket())
            .object_ownership(ObjectOwnership::BucketOwnerEnforced)
            .create_bucket_configuration(configuration.build())
            .send()
            .await;
        match sent.map_err(|error| S3Error::of(self.cannot("be made"), error)) {
            // A first attempt arrived though its answer did not, or another run was faster.
            Err(error) if *error.fault() == Fault::AlreadyYours => Ok(()),
            other => other.map(drop),
        }
    }

    /// All tags are replaced by one call: those that are there go along.
    async fn tag(&self) -> Result<(), S3Error> {
        let cannot = |error| S3Error::request(self.cannot("be tagged"), error);
        let ours = Tag::builder().key(OWNER_TAG.0).value(OWNER_TAG.1).build();
        let mut tags = self.tags().await?;
        tags.retain(|tag| tag.key() != OWNER_TAG.0);
        tags.push(ours.map_err(cannot)?);
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build();
        let sent = self
            .client
            .put_bucket_tagging()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .tagging(tagging.map_err(cannot)?)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| S3Error::of(self.cannot("be tagged"), error))
    }

    async fn enforce_owner(&self) -> Result<(), S3Error> {
        let cannot = |error| S3Error::request(self.cannot("be closed to ACLs"), error);
        let rule = OwnershipControlsRule::builder()
            .object_ownership(ObjectOwnership::BucketOwnerEnforced)
            .build();
        let controls = OwnershipControls::builder()
            .rules(rule.map_err(cannot)?)
            .build();
        let sent = self
            .client
            .put_bucket_ownership_controls()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .ownership_controls(controls.map_err(cannot)?)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| S3Error::of(self.cannot("be closed to ACLs"), error))
    }

    async fn version(&self) -> Result<(), S3Error> {
        let configuration = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Enabled)
            .build();
        let sent = self
            .client
            .put_bucket_versioning()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .versioning_configuration(configuration)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| S3Error::of(self.cannot("be made to keep versions"), error))
    }

    async fn set_block(&self, block: PublicAccessBlock) -> Result<(), S3Error> {
        let configuration = PublicAccessBlockConfiguration::builder()
            .block_public_acls(block.block_public_acls)
            .ignore_public_acls(block.ignore_public_acls)
            .block_public_policy(block.block_public_policy)
            .restrict_public_buckets(block.restrict_public_buckets)
            .build();
        let sent = self
            .client
            .put_public_access_block()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .public_access_block_configuration(configuration)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| S3Error::of(self.cannot("have Block Public Access set"), error))
    }

    /// S3 has no condition for this write: what stands is looked at once more just before it.
    async fn set_policy(&self, before: Option<&str>, json: &str) -> Result<(), S3Error> {
        if self.policy().await?.as_deref() != before {
            return Err(S3Error::lost_race(self.cannot("be given a policy")));
        }
        let sent = self
            .client
            .put_bucket_policy()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner.clone())
            .policy(json)
            .send()
            .await;
        sent.map(drop)
            .map_err(|error| S3Error::of_policy(self.cannot("be given a policy"), error))
    }
}
