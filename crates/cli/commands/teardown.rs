//! `irsa teardown`.

mod documents;

use std::collections::BTreeMap;
use std::time::Duration;

use irsa_core::bootstrap::teardown::{self, BucketSeen, Plan, Removal, Seen, Unwanted};
use irsa_core::bucket::distribution::{self, DistributionChange};
use irsa_core::bucket::{BucketChange, PublicAccessBlock};
use irsa_core::issuer::IssuerUrl;
use irsa_core::provider::ProviderArn;
use irsa_iam::{provider, role};
use irsa_issuer::publish::Publisher as _;
use irsa_issuer::publish::cloudfront;
use irsa_issuer::publish::dir::Directory;

use self::documents::{discovery_path, documents};
use super::bootstrap::lock;
use super::bootstrap::show::{Event, Step, Voice};
use super::bootstrap::site::{Site, Store};
use super::iam;
use super::publish::s3::Access;
use crate::args::{self, FetchArgs};
use crate::aws::AwsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;

/// Take down what irsa bootstrap has set up in AWS.
///
/// Roles and the IAM OIDC provider go first, so that AWS trusts nothing of the issuer any more; then the documents, the
/// CloudFront distribution, and the bucket is closed. Its name stays taken: whoever got it could speak for the issuer.
/// Only what carries the tag irsa:managed is touched. Keys, API servers and the webhook stay as they are.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The issuer, byte for byte: instead of typing it when asked
    #[arg(long, value_name = "ISSUER")]
    pub confirm: Option<String>,
    /// Delete the bucket too, with all versions of the documents: a stranger may then take its name
    #[arg(long)]
    pub release_bucket_name: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait until a CloudFront distribution is disabled everywhere
    #[arg(long, value_name = "DURATION", value_parser = args::duration, default_value = "30m")]
    pub wait: Duration,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Trust.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// What is looked at and taken down.
struct Ruin<'a> {
    site: &'a Site<'a>,
    issuer: IssuerUrl,
    unwanted: Unwanted,
    seen: Seen,
    patience: Duration,
}

/// Takes the chain down, or shows what that does.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        confirm,
        release_bucket_name,
        dry_run,
        wait,
        aws,
        fetch,
    } = args;
    context.block_on(Box::pin(async {
        let site = Site::new(context, &aws, &fetch).await?;
        let _lock = if dry_run {
            None
        } else {
            Some(lock::take(context)?)
        };
        let voice = Voice::new(context);
        let Some(mut ruin) = Ruin::new(&site, release_bucket_name, wait).await? else {
            return leftover(&site, &voice, dry_run).await;
        };
        let plan = ruin.plan()?;
        let steps: Vec<Step> = plan.removals.iter().map(step).collect();
        let issuer = ruin.issuer.to_string();
        if plan.removals.is_empty() {
            voice.plan(&[], &plan.kept)?;
            let message = format!("nothing to do: nothing of {issuer} is left that irsa made");
            end(&voice, 0, 0, Some(issuer), &message)?;
            return Ok(Exit::Done);
        }
        voice.plan(&steps, &plan.kept)?;
        if dry_run {
            end(&voice, 0, steps.len(), Some(issuer), "nothing was changed")?;
            return Ok(Exit::Done);
        }
        confirmed(&voice, confirm, &issuer)?;
        let done = ruin.take_down(&voice).await?;
        let message = format!("done: AWS trusts nothing of {issuer} any more");
        end(&voice, done, 0, Some(issuer), &message)?;
        Ok(Exit::Done)
    }))
}

/// What a run that was killed at its very end left: without a distribution there is no issuer to confirm. Whether AWS
/// still trusts the one that it had cannot be looked up, and that is said.
async fn leftover(site: &Site<'_>, voice: &Voice, dry_run: bool) -> Result<Exit, Failure> {
    let mut steps = Vec::new();
    if let Store::S3(bucket) = &site.store {
        let cdn = cloudfront::observe(&site.cloudfront, bucket.store.location().bucket()).await?;
        // Nobody was asked, so nothing that could still serve is touched.
        let unused = |change: &DistributionChange| {
            cdn.distribution.is_none()
                && matches!(change, DistributionChange::DeleteAccessControl { .. })
        };
        for change in distribution::plan_removal(&cdn).into_iter().filter(unused) {
            steps.push(step(&Removal::Distribution(change.clone())));
            if !dry_run {
                cloudfront::apply(&site.cloudfront, &change, Duration::ZERO, |_| ()).await?;
            }
        }
    }
    voice.plan(&steps, &[])?;
    let (done, pending) = if dry_run {
        (0, steps.len())
    } else {
        (steps.len(), 0)
    };
    let message = "nothing else to do: there is no distribution, so the issuer is not known; if its provider may still \
                   be there, write issuer: into the section cluster and run this again";
    end(voice, done, pending, None, message)?;
    Ok(Exit::Done)
}

/// The issuer must be typed: this cannot be undone for pods that run.
fn confirmed(voice: &Voice, given: Option<String>, issuer: &str) -> Result<(), Failure> {
    let asked = given.is_none();
    let answer = match given {
        Some(text) => Some(text),
        None => voice.ask(&format!(
            "From then on no pod of the cluster gets AWS credentials. Type the issuer, {issuer}, to go on:"
        ))?,
    };
    match answer {
        Some(text) if text == issuer => Ok(()),
        Some(text) => Err(Failure::usage(
            format!("nothing was changed: \"{text}\" is not the issuer"),
            format!("{} {issuer}", if asked { "type" } else { "--confirm" }),
        )),
        None => Err(Failure::usage(
            "nothing was changed: there is no terminal to ask on",
            format!("look at the plan above, then add --confirm {issuer}"),
        )),
    }
}

fn step(removal: &Removal) -> Step {
    let stage = match removal {
        Removal::Role { .. } => "roles",
        Removal::Provider(_) => "provider",
        Removal::Document(_) => "documents",
        Removal::Distribution(_) => "distribution",
        Removal::CloseBucket(_) | Removal::DeleteBucket(_) => "bucket",
    };
    Step {
        stage,
        change: removal.to_string(),
    }
}

fn end(
    voice: &Voice,
    done: usize,
    pending: usize,
    issuer: Option<String>,
    message: &str,
) -> Result<(), Failure> {
    let event = Event::End {
        done,
        pending,
        issuer,
        provider: None,
        message,
    };
    voice.end(&event, &[message.to_owned()])
}

impl<'a> Ruin<'a> {
    /// Looks at everything. `None` without an issuer: that of a distribution which is not there.
    async fn new(
        site: &'a Site<'a>,
        release_bucket: bool,
        patience: Duration,
    ) -> Result<Option<Self>, Failure> {
        let mut seen = Seen::default();
        if let Store::S3(bucket) = &site.store
            && bucket.access == Access::CloudFront
        {
            let name = bucket.store.location().bucket();
            seen.cdn = cloudfront::observe(&site.cloudfront, name).await?;
        }
        let Some(issuer) = site.issuer(&seen.cdn)? else {
            return Ok(None);
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
            },
            seen,
            patience,
        };
        ruin.look_at_iam().await?;
        ruin.look_at_store().await?;
        Ok(Some(ruin))
    }

    fn plan(&self) -> Result<Plan, Failure> {
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

    async fn take_down(&mut self, voice: &Voice) -> Result<usize, Failure> {
        let mut done = 0;
        let mut keys = self.keys();
        while let Some(removal) = self.plan()?.removals.into_iter().next() {
            let step = step(&removal);
            voice.begin(&step)?;
            self.apply(&removal, &keys, voice, &step)
                .await
                .map_err(|failure| {
                    failure.noted(&format!(
                        "{done} step(s) were done; the same command goes on after them"
                    ))
                })?;
            self.forget(&removal).await?;
            voice.done(&step)?;
            keys.extend(self.keys());
            keys.sort_unstable();
            keys.dedup();
            done += 1;
        }
        Ok(done)
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
                cloudfront::apply(&site.cloudfront, change, self.patience, tell).await?;
            }
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
            Removal::DeleteBucket(_) => seen.bucket = None,
        }
        Ok(())
    }
}
