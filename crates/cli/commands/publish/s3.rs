//! Publishing to S3: the bucket first, if asked, then the documents of all issuers beside each other.

use std::io::{self, IsTerminal as _};

use aws_config::SdkConfig;
use clap::ValueEnum;
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use irsa_core::bucket::{self, BucketChange, BucketState, BucketWanted};
use irsa_core::discovery;
use irsa_core::documents::{DocumentName, IssuerDocuments};
use irsa_core::issuer::IssuerUrl;
use irsa_core::partition::Partition;
use irsa_core::store_url::{Addressing, S3Issuer, S3Location};
use irsa_issuer::publish::Publisher as _;
use irsa_issuer::publish::s3::{self, S3Store};
use irsa_issuer::relying_party::RelyingParty;

use super::front::Front;
use super::result::{Published, Run};
use super::sync::{Job, SyncError};
use super::{Mode, S3Args};
use crate::args::FetchArgs;
use crate::aws;
use crate::report::Failure;

/// Who reads the documents in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Access {
    /// Everybody, by a bucket policy for exactly the documents; Block Public Access is opened as far as it must be
    Policy,
    /// One CloudFront distribution, made for it; the bucket stays private and the issuer is at the distribution's domain
    /// or at your own
    #[value(name = "cloudfront")]
    CloudFront,
    /// You see to it: a server, CDN or proxy of yours reads the bucket
    None,
}

/// S3 as this run reaches it.
#[derive(Debug)]
pub struct Reach {
    config: SdkConfig,
    /// Of a store that is not AWS's.
    endpoint: Option<String>,
    region: String,
}

impl Reach {
    /// Finds out where S3 is.
    pub fn new(config: SdkConfig) -> Result<Self, Failure> {
        let endpoint = aws::endpoint(&config, "S3");
        let region = match (&endpoint, aws::region(&config)) {
            (_, Ok(region)) => region,
            // Other stores do not look at it, but a request cannot be signed without one.
            (Some(_), Err(_)) => "us-east-1".to_owned(),
            (None, Err(failure)) => return Err(failure),
        };
        Ok(Self {
            config,
            endpoint,
            region,
        })
    }

    /// What clients are made from.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Whether the store is not AWS's.
    pub fn is_compatible(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Whether requests leave this host: over loopback a write arrives at once or never.
    pub fn is_remote(&self) -> bool {
        let host = self.endpoint.as_deref().and_then(|endpoint| {
            endpoint
                .parse::<http::Uri>()
                .ok()?
                .host()
                .map(str::to_owned)
        });
        host.is_none_or(|host| {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            host != "localhost" && !address.is_ok_and(|address| address.is_loopback())
        })
    }

    /// The issuer URL of a place, as the store itself answers it.
    pub fn issuer(&self, location: &S3Location) -> Result<IssuerUrl, Failure> {
        let derived = match &self.endpoint {
            Some(endpoint) => location.issuer_at(endpoint),
            None => location.issuer(&self.region, Addressing::Virtual),
        };
        derived.map_err(|error| Failure::refused(&error))
    }

    /// Where the documents of one of many issuers stand: where the issuer URL says, if the store itself answers it,
    /// else at the path of the URL.
    pub fn place(&self, root: &S3Location, issuer: &IssuerUrl) -> Result<S3Location, Failure> {
        let refused = |error| Failure::refused(&error);
        if let Some(found) = S3Issuer::recognise(issuer) {
            let same = found.location.bucket() == root.bucket();
            return Ok(if same { found.location } else { root.clone() });
        }
        let own = self.issuer(root)?;
        match issuer.as_str().strip_prefix(own.as_str()) {
            Some(rest) if rest.starts_with('/') => root.below(rest).map_err(refused),
            _ => root.below(issuer.path()).map_err(refused),
        }
    }

    /// The Region that requests go to.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether the store itself answers the issuer URL from this place.
    pub fn is_direct(&self, location: &S3Location, issuer: &IssuerUrl) -> Result<bool, Failure> {
        if self.endpoint.is_some() {
            return Ok(self.issuer(location)? == *issuer);
        }
        location
            .answers(issuer, &self.region)
            .map_err(|error| Failure::refused(&error))
    }
}

/// Everything to be published by one run.
#[derive(Debug)]
pub struct Work<'a> {
    /// The bucket, and the root of many issuers.
    pub root: S3Location,
    /// Issuers and their places.
    pub issuers: &'a [(IssuerDocuments, S3Location)],
    /// Keys to be dropped.
    pub withdraw: &'a [String],
    /// Show, compare or write.
    pub mode: Mode,
    /// The distribution in front of the bucket, if there is to be one.
    pub front: Option<&'a Front>,
}

/// The bucket, with the account that it must belong to: by default that of the credentials, if S3 is AWS's.
pub async fn store(reach: &Reach, root: &S3Location, args: &S3Args) -> Result<S3Store, Failure> {
    let owner = match (&args.bucket_owner, &reach.endpoint) {
        (Some(owner), _) => Some(owner.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(aws::account(&reach.config).await?),
    };
    let client = s3::client(&reach.config, reach.endpoint.is_some());
    let mut store = S3Store::new(client, root.clone(), owner);
    if let Some(max_age) = args.max_age {
        store = store.max_age(max_age);
    }
    Ok(if reach.endpoint.is_some() {
        store.probed(args.allow_unconditional_writes)
    } else {
        store
    })
}

/// Publishes, or shows what publishing would do. What happened to each issuer is in the run; what went wrong, if
/// anything did, is beside it.
pub async fn run(
    reach: &Reach,
    work: &Work<'_>,
    args: &S3Args,
    fetch: &FetchArgs,
) -> Result<(Run, Option<SyncError>), Failure> {
    let reader = RelyingParty::new(fetch.ca_file.as_deref(), fetch.timeout);
    let mut jobs = jobs(reach, work, (!args.no_read_back).then_some(&reader))?;
    let store = store(reach, &work.root, args).await?;
    let (exists, bucket) = set_up(reach, &store, work, args).await?;
    let before = work
        .front
        .map(|front| front.changes.as_slice())
        .unwrap_or_default();
    for (job, _) in &mut jobs {
        job.patient = !bucket.is_empty() || !before.is_empty();
        job.owned = store.is_owned();
    }
    let outcomes = publish(&store, &jobs, work.mode, exists, args.parallel).await;
    let (rows, error) = settle(&jobs, outcomes);
    let shown_only = work.mode != Mode::Write;
    let mut run = Run::new(&bucket, rows, shown_only);
    run.bucket.splice(..0, before.iter().cloned());
    Ok((run, error))
}

type Jobs<'a> = Vec<(Job<'a>, S3Location)>;

fn jobs<'a>(
    reach: &Reach,
    work: &Work<'a>,
    reader: Option<&RelyingParty>,
) -> Result<Jobs<'a>, Failure> {
    let job = |(documents, location): &'a (IssuerDocuments, S3Location)| {
        let direct = reach.is_direct(location, documents.issuer())?;
        let job = Job {
            documents,
            to: location.to_string(),
            withdraw: work.withdraw,
            direct: direct && reader.is_some(),
            owned: false,
            reader: reader.cloned(),
            patient: false,
        };
        Ok((job, location.clone()))
    };
    work.issuers.iter().map(job).collect()
}

/// Sets the bucket up, if that was asked for: whether it exists afterwards, and what was or would be changed.
async fn set_up(
    reach: &Reach,
    store: &S3Store,
    work: &Work<'_>,
    args: &S3Args,
) -> Result<(bool, Vec<BucketChange>), Failure> {
    if !args.create_bucket && args.access.is_none() {
        return Ok((true, Vec::new()));
    }
    let partition = Partition::of_region(&reach.region);
    let objects = work.issuers.iter().flat_map(|(documents, location)| {
        DocumentName::ALL.map(|name| location.object_arn(partition, documents.path(name)))
    });
    let wanted = BucketWanted {
        bucket: work.root.bucket().clone(),
        region: reach.region.clone(),
        access: match args.access {
            Some(Access::None) => bucket::Access::None,
            Some(Access::CloudFront) => {
                let front = work.front.and_then(|front| front.distribution.as_ref());
                bucket::Access::CloudFront {
                    distribution: front.map(|found| found.arn.clone()),
                }
            }
            Some(Access::Policy) | None => bucket::Access::Policy,
        },
        documents: objects.collect(),
        create: args.create_bucket,
        adopt: args.adopt_bucket,
    };
    let mut seen = observe(store, work).await?;
    let mut changes = bucket::plan(&wanted, seen.as_ref())?;
    if work.mode != Mode::Write {
        return Ok((seen.is_some(), changes));
    }
    let mut done = Vec::new();
    if let Some(create @ BucketChange::Create { .. }) = changes.first() {
        apply(store, create).await?;
        done.push(create.clone());
        // Not every store makes buckets as S3 does: what is still to be set is what is seen to be missing.
        seen = observe(store, work).await?;
        changes = bucket::plan(&wanted, seen.as_ref())?;
    }
    for change in changes {
        apply(store, &change).await?;
        done.push(change);
    }
    Ok((true, done))
}

async fn observe(store: &S3Store, work: &Work<'_>) -> Result<Option<BucketState>, Failure> {
    Ok(store
        .observe_bucket(async |store| holds_ours(store, work).await)
        .await?)
}

async fn apply(store: &S3Store, change: &BucketChange) -> Result<(), Failure> {
    store.apply_bucket(change).await?;
    let text = change.to_string();
    let line = text.lines().next().unwrap_or_default();
    tracing::info!(bucket = %store.location().bucket(), "{line}");
    Ok(())
}

/// Whether the bucket holds the discovery document of one of the issuers: then it is used for them.
async fn holds_ours(store: &S3Store, work: &Work<'_>) -> bool {
    for (documents, location) in work.issuers.iter().take(PROOFS) {
        let path = documents.path(DocumentName::Discovery);
        if let Ok(Some(stored)) = store.at(location.clone()).get(path).await
            && discovery::parse(&stored.bytes, documents.issuer()).is_ok()
        {
            return true;
        }
    }
    false
}

async fn publish(
    store: &S3Store,
    jobs: &Jobs<'_>,
    mode: Mode,
    exists: bool,
    parallel: usize,
) -> Vec<Result<Published, SyncError>> {
    let progress = progress(jobs.len());
    let many = jobs.len() > 1;
    let one = async |(job, location): &(Job<'_>, S3Location)| {
        let store = store.at(location.clone());
        let outcome = match mode {
            Mode::Write => job.publish(&store).await,
            Mode::Show | Mode::Compare if exists => job.show(&store).await,
            Mode::Show | Mode::Compare => job.show_in_nothing(),
        };
        if many && progress.is_hidden() {
            tell(job, &outcome);
        }
        progress.inc(1);
        outcome
    };
    let outcomes = stream::iter(jobs)
        .map(one)
        .buffered(parallel)
        .collect()
        .await;
    progress.finish_and_clear();
    outcomes
}

/// For logs of runs that nobody watches: a line for each issuer when it is done.
fn tell(job: &Job<'_>, outcome: &Result<Published, SyncError>) {
    let issuer = job.documents.issuer();
    match outcome {
        Ok(published) => tracing::info!(%issuer, changes = published.changes.len(), "looked after"),
        Err(error) => tracing::warn!(%issuer, %error, "not published"),
    }
}

/// A bar on a terminal when there is more than one issuer to wait for.
fn progress(total: usize) -> ProgressBar {
    if total < 2 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
    match ProgressStyle::with_template("{bar:40} {pos}/{len} issuers, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A row for each issuer, and the error of the run.
fn settle(
    jobs: &Jobs<'_>,
    outcomes: Vec<Result<Published, SyncError>>,
) -> (Vec<Published>, Option<SyncError>) {
    let (mut rows, mut errors) = (Vec::new(), Vec::new());
    for ((job, _), outcome) in jobs.iter().zip(outcomes) {
        match outcome {
            Ok(row) => rows.push(row),
            Err(error) => {
                let issuer = job.documents.issuer().to_string();
                rows.push(Published::failed(issuer, job.to.clone(), error.to_string()));
                errors.push(error);
            }
        }
    }
    let error = SyncError::worst(errors, rows.len());
    (rows, error)
}

/// As many documents are looked at to prove that a bucket is used for these issuers.
const PROOFS: usize = 20;
