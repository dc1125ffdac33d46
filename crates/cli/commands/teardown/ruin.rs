//! The chain of one cluster that is taken down: looked at, and removed one step at a time. What is to be removed is
//! decided in [`irsa_core::bootstrap::teardown`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use irsa_core::bootstrap::teardown::{self, BucketSeen, Plan, Removal, Seen, Unwanted};
use irsa_core::bucket::distribution::{CdnState, DistributionChange};
use irsa_core::bucket::{BucketChange, PublicAccessBlock};
use irsa_core::issuer::IssuerUrl;
use irsa_core::provider::ProviderArn;
use irsa_iam::{provider, role};
use irsa_issuer::publish::Publisher as _;
use irsa_issuer::publish::cloudfront;
use irsa_issuer::publish::dir::Directory;

use super::super::bootstrap::show::{Step, Voice};
use super::super::bootstrap::site::{Site, Store};
use super::super::iam;
use super::super::publish::s3::Access;
use super::documents::{discovery_path, documents};
use super::{leftover, step};
use crate::report::Failure;

/// How often a wait is told of.
const PAUSE: Duration = Duration::from_secs(10);

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a distribution.
    pub(super) wait: Duration,
    /// For AWS to forget a provider.
    pub(super) settle: Duration,
}

/// What is looked at and taken down.
pub(super) struct Ruin<'a> {
    site: &'a Site<'a>,
    pub(super) issuer: IssuerUrl,
    unwanted: Unwanted,
    seen: Seen,
    patience: Patience,
}

/// What is in front of the bucket, if anything is to be.
async fn distribution(site: &Site<'_>) -> Result<CdnState, Failure> {
    match &site.store {
        Store::S3(bucket) if bucket.access == Access::CloudFront => {
            let name = bucket.store.location().bucket();
            Ok(cloudfront::observe(&site.cloudfront, name).await?)
        }
        _ => Ok(CdnState::default()),
    }
}

impl<'a> Ruin<'a> {
    /// Looks at everything. `None` without an issuer: that of a distribution which is not there.
    pub(super) async fn new(
        site: &'a Site<'a>,
        release_bucket: bool,
        patience: Patience,
    ) -> Result<Option<Self>, Failure> {
        let seen = Seen {
            cdn: distribution(site).await?,
            ..Seen::default()
        };
        let issuer = match site.issuer(&seen.cdn)? {
            Some(issuer) => issuer,
            None => match leftover::issuer(site).await? {
                Some(issuer) => issuer,
                None => return Ok(None),
            },
        };
        let provider = iam::provider_arn(&site.config, &issuer, None).await?;
        let names = site.section.roles.iter().map(|role| role.name.clone());
        let mut ruin = Self {
            site,
            issuer,
            unwanted: Unwanted {
                provider,
                roles: names.collect(),
                release_bucket,
                bucket_owner: site.section.publish.bucket_owner.clone(),
            },
            seen,
            patience,
        };
        ruin.look_at_iam().await?;
        ruin.look_at_store().await?;
        Ok(Some(ruin))
    }

    /// Looks at everything again.
    pub(super) async fn look(&mut self) -> Result<(), Failure> {
        self.seen.cdn = distribution(self.site).await?;
        self.look_at_iam().await?;
        self.look_at_store().await
    }

    /// Whose providers were looked at: nobody sees those of all accounts.
    pub(super) fn whose(&self) -> String {
        match self.unwanted.provider.account() {
            "" => "this account".to_owned(),
            account => format!("AWS account {account}"),
        }
    }

    pub(super) fn plan(&self) -> Result<Plan, Failure> {
        Ok(teardown::plan(&self.unwanted, &self.seen)?)
    }

    async fn look_at_iam(&mut self) -> Result<(), Failure> {
        let client = &self.site.iam;
        let arn: &ProviderArn = &self.unwanted.provider;
        self.seen.provider = provider::observe(client, arn).await?;
        let mut roles = BTreeMap::new();
        for name in &self.unwanted.roles {
            if let Some(state) = role::observe(client, name).await? {
                let attachments = role::attachments(client, name).await?;
                roles.insert(name.clone(), (state, attachments));
            }
        }
        self.seen.roles = roles;
        Ok(())
    }

    async fn look_at_store(&mut self) -> Result<(), Failure> {
        match &self.site.store {
            Store::Directory(path) => {
                let directory = Directory::new(path.clone());
                let (documents, foreign) = documents(&directory, &self.issuer).await?;
                (self.seen.documents, self.seen.foreign_documents) = (documents, foreign);
            }
            Store::S3(bucket) => {
                let store = &bucket.store;
                // Whether it would be adopted does not matter to who takes down.
                let Some(mut state) = store.observe_bucket(async |_| false).await? else {
                    (self.seen.bucket, self.seen.documents) = (None, Vec::new());
                    return Ok(());
                };
                // A store that shows none of the switches has none to close; S3 always has two of them closed.
                if bucket.reach.is_compatible() && state.block == PublicAccessBlock::OPEN {
                    state.block = PublicAccessBlock::CLOSED;
                }
                let (found, foreign) = documents(store, &self.issuer).await?;
                let ours = self.keys();
                self.seen.bucket = Some(BucketSeen {
                    name: store.location().bucket().clone(),
                    holds_others: store.holds_others(&ours).await?,
                    state,
                });
                (self.seen.documents, self.seen.foreign_documents) = (found, foreign);
            }
        }
        Ok(())
    }

    /// The object keys that documents of this issuer have or had.
    fn keys(&self) -> Vec<String> {
        let Store::S3(bucket) = &self.site.store else {
            return Vec::new();
        };
        let jwks = self.site.jwks_uri().ok().flatten();
        let jwks = jwks.unwrap_or_else(|| self.issuer.default_jwks_uri());
        let found = self.seen.documents.iter().map(|one| one.path.as_str());
        let mut paths: Vec<&str> = [discovery_path()].into_iter().chain(found).collect();
        paths.extend(jwks.below(&self.issuer));
        let location = bucket.store.location();
        let mut keys: Vec<String> = paths.into_iter().map(|path| location.key(path)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    pub(super) async fn take_down(&mut self, voice: &Voice) -> Result<usize, Failure> {
        let mut done = 0;
        let mut keys = self.keys();
        loop {
            match self.take_next(&mut done, &mut keys, voice).await {
                Ok(true) => {}
                Ok(false) => return Ok(done),
                Err(failure) => {
                    let failure = if done > 0 { failure.midway() } else { failure };
                    return Err(failure.noted(&format!(
                        "{done} step(s) were done; the same command goes on after them"
                    )));
                }
            }
        }
    }

    /// The next step, if one is left; `done` counts it as soon as it is.
    async fn take_next(
        &mut self,
        done: &mut usize,
        keys: &mut Vec<String>,
        voice: &Voice,
    ) -> Result<bool, Failure> {
        let Some(removal) = self.plan()?.removals.into_iter().next() else {
            return Ok(false);
        };
        let step = step(&removal);
        voice.begin(&step)?;
        self.apply(&removal, keys, voice, &step).await?;
        *done += 1;
        self.forget(&removal).await?;
        voice.done(&step)?;
        keys.extend(self.keys());
        keys.sort_unstable();
        keys.dedup();
        Ok(true)
    }

    async fn apply(
        &self,
        removal: &Removal,
        keys: &[String],
        voice: &Voice,
        step: &Step,
    ) -> Result<(), Failure> {
        let site = self.site;
        match (removal, &site.store) {
            (Removal::Role { name, removal }, _) => role::remove(&site.iam, name, removal).await?,
            (Removal::Provider(arn), _) => provider::delete(&site.iam, arn).await?,
            (Removal::Document(document), Store::S3(bucket)) => {
                bucket
                    .store
                    .remove_if(&document.path, &document.tag)
                    .await?;
            }
            (Removal::Document(document), Store::Directory(path)) => {
                let locked = Directory::new(path.clone()).lock()?;
                locked.remove_if(&document.path, &document.tag).await?;
            }
            (Removal::Distribution(change), _) => {
                let tell = |waited| voice.waiting(step, waited);
                cloudfront::apply(&site.cloudfront, change, self.patience.wait, tell).await?;
            }
            (Removal::AwaitDistrust(arn), _) => self.await_distrust(arn, voice, step).await?,
            (Removal::CloseBucket(_), Store::S3(bucket)) => {
                let closed = BucketChange::Block(PublicAccessBlock::CLOSED);
                bucket.store.apply_bucket(&closed).await?;
            }
            (Removal::DeleteBucket(_), Store::S3(bucket)) => {
                bucket.store.delete_bucket(keys).await?;
            }
            (Removal::CloseBucket(_) | Removal::DeleteBucket(_), Store::Directory(_)) => {}
        }
        Ok(())
    }

    /// IAM shows a change to all of AWS some seconds later, and somebody may have made the provider anew.
    async fn await_distrust(
        &self,
        arn: &ProviderArn,
        voice: &Voice,
        step: &Step,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        while let Some(left) = self.patience.settle.checked_sub(start.elapsed())
            && !left.is_zero()
        {
            voice.waiting(step, start.elapsed());
            tokio::time::sleep(left.min(PAUSE)).await;
        }
        match provider::observe(&self.site.iam, arn).await? {
            None => Ok(()),
            Some(_) => Err(Failure::again(
                format!("OIDC provider {arn} was deleted, and is there again"),
                "the bucket's name was not given away; see who makes it, and run this again",
            )),
        }
    }

    /// Takes what was removed out of what was seen. It is not looked at again: AWS shows what is gone for some seconds,
    /// and every removal says itself what it expects.
    async fn forget(&mut self, removal: &Removal) -> Result<(), Failure> {
        use DistributionChange as Cdn;
        use irsa_core::role::RoleRemoval;
        let seen = &mut self.seen;
        match removal {
            Removal::Role { name, removal } => {
                if *removal == RoleRemoval::Delete {
                    seen.roles.remove(name);
                } else if let Some((state, _)) = seen.roles.get_mut(name) {
                    match removal {
                        RoleRemoval::Detach(arn) => state.policy_arns.retain(|one| one != arn),
                        _ => state.inline = None,
                    }
                }
            }
            Removal::Provider(_) => seen.provider = None,
            Removal::Document(document) => seen.documents.retain(|one| one != document),
            Removal::Distribution(Cdn::Delete { .. }) => seen.cdn.distribution = None,
            Removal::Distribution(Cdn::DeleteAccessControl { .. }) => {
                seen.cdn.access_control = None;
            }
            Removal::Distribution(_) => {
                if let Store::S3(bucket) = &self.site.store {
                    let name = bucket.store.location().bucket();
                    seen.cdn = cloudfront::observe(&self.site.cloudfront, name).await?;
                }
            }
            Removal::CloseBucket(_) => {
                if let Some(bucket) = &mut seen.bucket {
                    bucket.state.block = PublicAccessBlock::CLOSED;
                }
            }
            Removal::AwaitDistrust(_) => seen.distrusted = true,
            Removal::DeleteBucket(_) => seen.bucket = None,
        }
        Ok(())
    }
}
