//! `--access cloudfront`: the bucket closed, and a distribution in front of it, before any document is written.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use irsa_core::bucket::distribution::{
    self, DistributionChange, DistributionState, DistributionWanted,
};
use irsa_core::bucket::{self, Access, BucketChange, BucketWanted};
use irsa_core::issuer::{DISCOVERY_PATH, IssuerUrl, TrailingSlash};
use irsa_core::partition::Partition;
use irsa_core::store_url::S3Location;
use irsa_issuer::publish::cloudfront;
use irsa_issuer::publish::s3::S3Store;
use irsa_issuer::source::IssuerSpec;

use super::s3::Reach;
use super::{Mode, S3Args};
use crate::report::{self, Failure};
use crate::settings;

/// `CloudFront` seldom takes more than twenty minutes.
const PATIENCE: Duration = Duration::from_mins(30);
const TICK: Duration = Duration::from_millis(120);

/// What stands in front of the bucket.
#[derive(Debug)]
pub struct Front {
    /// What was or would be done.
    pub changes: Vec<String>,
    /// The distribution; none when one would be made.
    pub distribution: Option<DistributionState>,
}

impl Front {
    /// The issuer URL of a place behind the distribution; `None` while there is none.
    pub fn issuer(&self, location: &S3Location) -> Result<Option<IssuerUrl>, Failure> {
        let Some(found) = &self.distribution else {
            return Ok(None);
        };
        let text = match location.prefix() {
            "" => format!("https://{}", found.domain),
            prefix => format!("https://{}/{prefix}", found.domain),
        };
        settings::parse_issuer(&text, TrailingSlash::Refuse).map(Some)
    }
}

/// Who is to be served, as far as that is known before there is a distribution.
#[derive(Debug, Default)]
pub struct Issuers {
    /// Host names of one's own.
    pub aliases: Vec<String>,
    /// The ARNs of their documents.
    pub documents: Vec<String>,
}

impl Issuers {
    /// Adds one with the place of its documents.
    pub fn add(&mut self, reach: &Reach, spec: &IssuerSpec, location: &S3Location) {
        let new = alias(&spec.issuer).filter(|alias| !self.aliases.contains(alias));
        self.aliases.extend(new);
        let partition = Partition::of_region(reach.region());
        let jwks = spec.jwks_uri.clone();
        let jwks = jwks.unwrap_or_else(|| spec.issuer.default_jwks_uri());
        let discovery = DISCOVERY_PATH.trim_start_matches('/');
        let paths = jwks.below(&spec.issuer).into_iter().chain([discovery]);
        self.documents
            .extend(paths.map(|path| location.object_arn(partition, path)));
    }
}

/// The host name of one's own that an issuer has.
fn alias(issuer: &IssuerUrl) -> Option<String> {
    let name = issuer.iam_name();
    let host = name.split('/').next().unwrap_or_default();
    (!host.ends_with(".cloudfront.net")).then(|| host.to_owned())
}

/// Refuses an issuer whose documents a distribution would serve at other paths than it names.
pub fn check_place(issuer: &IssuerUrl, location: &S3Location) -> Result<(), Failure> {
    if issuer.path().trim_start_matches('/') == location.prefix() {
        return Ok(());
    }
    Err(Failure::usage(
        format!("issuer {issuer} has another path than its documents have in {location}"),
        "a distribution serves the bucket's objects under their own names: make path and prefix the same",
    ))
}

/// Makes bucket and distribution as they shall be, or finds out what that takes.
pub async fn ensure(
    reach: &Reach,
    store: &S3Store,
    args: &S3Args,
    issuers: &Issuers,
    mode: Mode,
) -> Result<Front, Failure> {
    let wanted = DistributionWanted {
        bucket: store.location().bucket().clone(),
        region: reach.region().to_owned(),
        aliases: issuers.aliases.clone(),
        certificate: args.certificate_arn.clone(),
    };
    let wanted = wanted.checked().map_err(|error| Failure::refused(&error))?;
    let mut changes = close_bucket(reach, store, args, issuers, mode).await?;
    let client = aws_sdk_cloudfront::Client::new(reach.config());
    loop {
        let state = cloudfront::observe(&client, &wanted.bucket).await?;
        let Some(change) = distribution::plan(&wanted, &state)?.into_iter().next() else {
            let distribution = state.distribution;
            return Ok(Front {
                changes,
                distribution,
            });
        };
        changes.push(change.to_string());
        if mode != Mode::Write {
            let distribution = state.distribution;
            return Ok(Front {
                changes,
                distribution,
            });
        }
        make(&client, &change).await?;
        if matches!(change, DistributionChange::Create { .. }) {
            for alias in &wanted.aliases {
                report::note(&format!(
                    "note: {alias} must lead to the distribution: make a CNAME (or alias) record of it"
                ));
            }
        }
    }
}

/// Makes one change, with a spinner on a terminal: a wait takes minutes.
async fn make(
    client: &aws_sdk_cloudfront::Client,
    change: &DistributionChange,
) -> Result<(), Failure> {
    let text = change.to_string();
    let text = text.lines().next().unwrap_or_default().to_owned();
    let style = ProgressStyle::with_template("{spinner} {wide_msg} ({elapsed})").ok();
    let watched = io::stderr().is_terminal();
    let bar = style.filter(|_| watched).map(|style| {
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.set_message(text.clone());
        bar.enable_steady_tick(TICK);
        bar
    });
    if bar.is_none() {
        tracing::info!("{text}");
    }
    let tell = |waited: Duration| {
        if bar.is_none() {
            tracing::info!(seconds = waited.as_secs(), "waiting for CloudFront");
        }
    };
    let made = cloudfront::apply(client, change, PATIENCE, tell).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(made?)
}

/// The bucket without any way in; the distribution is let in when it is there.
async fn close_bucket(
    reach: &Reach,
    store: &S3Store,
    args: &S3Args,
    issuers: &Issuers,
    mode: Mode,
) -> Result<Vec<String>, Failure> {
    let wanted = BucketWanted {
        bucket: store.location().bucket().clone(),
        region: reach.region().to_owned(),
        access: Access::CloudFront { distribution: None },
        documents: issuers.documents.clone(),
        create: args.create_bucket,
        adopt: args.adopt_bucket,
    };
    let state = store.observe_bucket(async |_| false).await?;
    let planned = bucket::plan(&wanted, state.as_ref())?;
    let mut done = Vec::new();
    for change in planned {
        done.push(change.to_string());
        if mode == Mode::Write {
            store.apply_bucket(&change).await?;
            if matches!(change, BucketChange::Create { .. }) {
                tracing::info!(bucket = %wanted.bucket, "bucket made");
            }
        }
    }
    Ok(done)
}
