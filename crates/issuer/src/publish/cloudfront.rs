//! The `CloudFront` distribution in front of a private bucket: looked at, and changed one call at a time. What is to be
//! changed is decided in [`irsa_core::bucket::distribution`].

mod config;
mod error;

pub use error::{CloudFrontError, Fault};

use std::time::Duration;

use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::types::{
    Aliases, DefaultCacheBehavior, DistributionSummary, Origin, Origins, Tags, ViewerProtocolPolicy,
};
use irsa_core::bucket::OWNER_TAG;
use irsa_core::bucket::distribution::{
    CdnState, DistributionChange, DistributionState, DistributionWanted, OriginState, name,
};
use irsa_core::store_url::BucketName;

/// `CloudFront` says so of a distribution that every edge location has.
const DEPLOYED: &str = "Deployed";
/// It takes some minutes; asking more often brings nothing.
const PAUSE: Duration = Duration::from_secs(10);

fn of(id: &str, verb: &str) -> String {
    format!("CloudFront distribution {id} cannot be {verb}")
}

/// What is in front of the bucket, of what bears our name.
pub async fn observe(client: &Client, bucket: &BucketName) -> Result<CdnState, CloudFrontError> {
    let name = name(bucket);
    let access_control = access_control(client, &name).await?;
    let distribution = match find(client, &name, bucket).await? {
        Some(found) => Some(state(client, &found).await?),
        None => None,
    };
    Ok(CdnState {
        access_control,
        distribution,
    })
}

async fn access_control(client: &Client, name: &str) -> Result<Option<String>, CloudFrontError> {
    let mut marker = None;
    loop {
        let listed = client
            .list_origin_access_controls()
            .set_marker(marker)
            .send()
            .await
            .map_err(|error| {
                CloudFrontError::of("origin access controls cannot be listed", error)
            })?;
        let Some(page) = listed.origin_access_control_list() else {
            return Ok(None);
        };
        if let Some(found) = page.items().iter().find(|one| one.name() == name) {
            return Ok(Some(found.id().to_owned()));
        }
        marker = page.next_marker().map(str::to_owned);
        if !page.is_truncated() || marker.is_none() {
            return Ok(None);
        }
    }
}

/// The distribution with our comment whose origin is the bucket.
async fn find(
    client: &Client,
    name: &str,
    bucket: &BucketName,
) -> Result<Option<DistributionSummary>, CloudFrontError> {
    let origin = format!("{bucket}.s3.");
    let fits = |one: &&DistributionSummary| {
        let origins = one.origins().map(Origins::items).unwrap_or_default();
        one.comment() == name
            && origins
                .iter()
                .any(|found| found.domain_name().starts_with(&origin))
    };
    let mut marker = None;
    loop {
        let listed = client
            .list_distributions()
            .set_marker(marker)
            .send()
            .await
            .map_err(|error| {
                CloudFrontError::of("CloudFront distributions cannot be listed", error)
            })?;
        let Some(page) = listed.distribution_list() else {
            return Ok(None);
        };
        if let Some(found) = page.items().iter().find(fits) {
            return Ok(Some(found.clone()));
        }
        marker = page.next_marker().map(str::to_owned);
        if !page.is_truncated() || marker.is_none() {
            return Ok(None);
        }
    }
}

async fn state(
    client: &Client,
    found: &DistributionSummary,
) -> Result<DistributionState, CloudFrontError> {
    let behavior = found.default_cache_behavior();
    let policy = behavior.map(DefaultCacheBehavior::viewer_protocol_policy);
    let origins = found.origins().map(Origins::items).unwrap_or_default();
    let aliases = found.aliases().map(Aliases::items).unwrap_or_default();
    Ok(DistributionState {
        id: found.id().to_owned(),
        arn: found.arn().to_owned(),
        domain: found.domain_name().to_owned(),
        tagged: tagged(client, found).await?,
        deployed: found.status() == DEPLOYED,
        enabled: found.enabled(),
        https_only: matches!(
            policy,
            Some(ViewerProtocolPolicy::HttpsOnly | ViewerProtocolPolicy::RedirectToHttps)
        ),
        aliases: aliases.to_vec(),
        certificate: found
            .viewer_certificate()
            .and_then(|one| one.acm_certificate_arn().or(one.iam_certificate_id()))
            .filter(|id| !id.is_empty())
            .map(str::to_owned),
        origins: origins.iter().map(origin).collect(),
        default_origin: behavior
            .map(|behavior| behavior.target_origin_id().to_owned())
            .unwrap_or_default(),
        cache_policy: behavior
            .and_then(|behavior| behavior.cache_policy_id())
            .map(str::to_owned),
    })
}

fn origin(found: &Origin) -> OriginState {
    let id = found.origin_access_control_id();
    OriginState {
        id: found.id().to_owned(),
        domain: found.domain_name().to_owned(),
        path: found.origin_path().unwrap_or_default().to_owned(),
        access_control: id.filter(|id| !id.is_empty()).map(str::to_owned),
    }
}

async fn tagged(client: &Client, found: &DistributionSummary) -> Result<bool, CloudFrontError> {
    let listed = client
        .list_tags_for_resource()
        .resource(found.arn())
        .send()
        .await
        .map_err(|error| CloudFrontError::of(of(found.id(), "asked for its tags"), error))?;
    let tags = listed.tags().map(Tags::items).unwrap_or_default();
    Ok(tags
        .iter()
        .any(|tag| (tag.key(), tag.value()) == (OWNER_TAG.0, Some(OWNER_TAG.1))))
}

/// Makes one change. A wait ends after `limit`; `tell` hears how long it has taken.
pub async fn apply(
    client: &Client,
    change: &DistributionChange,
    limit: Duration,
    tell: impl Fn(Duration),
) -> Result<(), CloudFrontError> {
    match change {
        DistributionChange::CreateAccessControl { name } => {
            create_access_control(client, name).await
        }
        DistributionChange::Create {
            wanted,
            access_control,
        } => create(client, wanted, access_control).await,
        DistributionChange::Update {
            id,
            wanted,
            access_control,
            ..
        } => {
            let change = |now| config::changed(now, wanted, access_control);
            update(client, id, change).await
        }
        DistributionChange::Disable { id } => {
            update(client, id, |now| Ok(config::disabled(now))).await
        }
        DistributionChange::Wait { id } => wait(client, id, limit, tell).await,
        DistributionChange::Delete { id } => delete(client, id).await,
        DistributionChange::DeleteAccessControl { id } => delete_access_control(client, id).await,
    }
}

async fn create_access_control(client: &Client, name: &str) -> Result<(), CloudFrontError> {
    let what = || format!("origin access control {name} cannot be made");
    let config =
        config::access_control(name).map_err(|error| CloudFrontError::request(what(), error))?;
    client
        .create_origin_access_control()
        .origin_access_control_config(config)
        .send()
        .await
        .map(drop)
        .map_err(|error| CloudFrontError::of(what(), error))
}

async fn create(
    client: &Client,
    wanted: &DistributionWanted,
    access_control: &str,
) -> Result<(), CloudFrontError> {
    let what = || {
        format!(
            "CloudFront distribution of {} cannot be made",
            wanted.origin()
        )
    };
    let config = config::new(wanted, access_control)
        .map_err(|error| CloudFrontError::request(what(), error))?;
    client
        .create_distribution_with_tags()
        .distribution_config_with_tags(config)
        .send()
        .await
        .map(drop)
        .map_err(|error| CloudFrontError::of(what(), error))
}

async fn update(
    client: &Client,
    id: &str,
    change: impl FnOnce(
        aws_sdk_cloudfront::types::DistributionConfig,
    )
        -> Result<aws_sdk_cloudfront::types::DistributionConfig, config::ConfigError>,
) -> Result<(), CloudFrontError> {
    let what = || of(id, "changed");
    let now = client
        .get_distribution_config()
        .id(id)
        .send()
        .await
        .map_err(|error| CloudFrontError::of(of(id, "read"), error))?;
    let missing = || CloudFrontError::request(what(), "the answer has no configuration");
    let (tag, config) = (now.e_tag().map(str::to_owned), now.distribution_config);
    let config = change(config.ok_or_else(missing)?)
        .map_err(|error| CloudFrontError::request(what(), error))?;
    client
        .update_distribution()
        .id(id)
        .set_if_match(tag)
        .distribution_config(config)
        .send()
        .await
        .map(drop)
        .map_err(|error| CloudFrontError::of(what(), error))
}

async fn wait(
    client: &Client,
    id: &str,
    limit: Duration,
    tell: impl Fn(Duration),
) -> Result<(), CloudFrontError> {
    let start = tokio::time::Instant::now();
    loop {
        let found = client
            .get_distribution()
            .id(id)
            .send()
            .await
            .map_err(|error| CloudFrontError::of(of(id, "read"), error))?;
        if found
            .distribution()
            .is_some_and(|one| one.status() == DEPLOYED)
        {
            return Ok(());
        }
        let waited = start.elapsed();
        if waited >= limit {
            return Err(CloudFrontError::not_deployed(format!(
                "CloudFront distribution {id}, waited for {} s",
                waited.as_secs()
            )));
        }
        tell(waited);
        tokio::time::sleep(PAUSE.min(limit.saturating_sub(waited))).await;
    }
}

async fn delete(client: &Client, id: &str) -> Result<(), CloudFrontError> {
    let found = client.get_distribution().id(id).send().await;
    let found = match found.map_err(|error| CloudFrontError::of(of(id, "read"), error)) {
        Err(error) if error.fault() == Fault::Missing => return Ok(()),
        other => other?,
    };
    client
        .delete_distribution()
        .id(id)
        .set_if_match(found.e_tag().map(str::to_owned))
        .send()
        .await
        .map(drop)
        .map_err(|error| CloudFrontError::of(of(id, "deleted"), error))
}

async fn delete_access_control(client: &Client, id: &str) -> Result<(), CloudFrontError> {
    let what = |verb| format!("origin access control {id} cannot be {verb}");
    let found = client.get_origin_access_control().id(id).send().await;
    let found = match found.map_err(|error| CloudFrontError::of(what("read"), error)) {
        Err(error) if error.fault() == Fault::Missing => return Ok(()),
        other => other?,
    };
    client
        .delete_origin_access_control()
        .id(id)
        .set_if_match(found.e_tag().map(str::to_owned))
        .send()
        .await
        .map(drop)
        .map_err(|error| CloudFrontError::of(what("deleted"), error))
}
