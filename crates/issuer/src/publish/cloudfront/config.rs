//! What is sent to `CloudFront`: a distribution's configuration, made anew or changed in the parts that are ours.

use aws_sdk_cloudfront::error::BuildError;
use aws_sdk_cloudfront::types::{
    Aliases, DefaultCacheBehavior, DistributionConfig, DistributionConfigWithTags,
    MinimumProtocolVersion, Origin, OriginAccessControlConfig, OriginAccessControlOriginTypes,
    OriginAccessControlSigningBehaviors, OriginAccessControlSigningProtocols, Origins,
    S3OriginConfig, SslSupportMethod, Tag, Tags, ViewerCertificate, ViewerProtocolPolicy,
};
use irsa_core::bucket::OWNER_TAG;
use irsa_core::bucket::distribution::{CACHING_DISABLED, DistributionWanted};

/// The SDK misses a member: a bug, never met by a user.
pub(super) type ConfigError = BuildError;

/// The origin of a distribution that is made.
const ORIGIN: &str = "bucket";

/// Every request is signed (`SigV4`), so that the bucket knows the distribution.
pub(super) fn access_control(name: &str) -> Result<OriginAccessControlConfig, ConfigError> {
    OriginAccessControlConfig::builder()
        .name(name)
        .description("irsa: an issuer's documents in a private bucket")
        .signing_protocol(OriginAccessControlSigningProtocols::Sigv4)
        .signing_behavior(OriginAccessControlSigningBehaviors::Always)
        .origin_access_control_origin_type(OriginAccessControlOriginTypes::S3)
        .build()
}

/// A new distribution. The caller's reference is made of what is unique to it, so that of two runs at once only one
/// makes it.
pub(super) fn new(
    wanted: &DistributionWanted,
    access_control: &str,
) -> Result<DistributionConfigWithTags, ConfigError> {
    let name = wanted.name();
    let config = DistributionConfig::builder()
        .caller_reference(format!("{name}-{access_control}"))
        .comment(name)
        .enabled(true)
        .is_ipv6_enabled(true)
        .origins(listed(vec![origin(wanted, access_control, ORIGIN)?])?)
        .default_cache_behavior(behavior()?)
        .set_aliases(aliases(wanted.aliases.clone())?)
        .viewer_certificate(certificate(wanted))
        .build()?;
    let tag = Tag::builder().key(OWNER_TAG.0).value(OWNER_TAG.1).build()?;
    Ok(DistributionConfigWithTags::builder()
        .distribution_config(config)
        .tags(Tags::builder().items(tag).build())
        .build())
}

/// The same distribution with origin, caching, protocol, host names and certificate as they shall be. Whatever else is
/// set on it stays.
pub(super) fn changed(
    mut now: DistributionConfig,
    wanted: &DistributionWanted,
    access_control: &str,
) -> Result<DistributionConfig, ConfigError> {
    now.enabled = true;
    let id = match &now.default_cache_behavior {
        Some(behavior) => behavior.target_origin_id.clone(),
        None => ORIGIN.to_owned(),
    };
    let mut ours = origin(wanted, access_control, &id)?;
    let mut origins = now.origins.map(|list| list.items).unwrap_or_default();
    if let Some(found) = origins.iter_mut().find(|found| found.id == id) {
        // What was tuned by hand, as a shield or timeouts, is nobody else's business.
        found.domain_name = ours.domain_name;
        found.origin_path = ours.origin_path.take();
        found.s3_origin_config = ours.s3_origin_config.take();
        found.origin_access_control_id = ours.origin_access_control_id.take();
    } else {
        origins.push(ours);
    }
    now.origins = Some(listed(origins)?);
    now.default_cache_behavior = Some(match now.default_cache_behavior {
        Some(found) => mended(found),
        None => behavior()?,
    });
    let mut hosts = now
        .aliases
        .take()
        .and_then(|aliases| aliases.items)
        .unwrap_or_default();
    let missing = |alias: &&String| !hosts.iter().any(|host| host.eq_ignore_ascii_case(alias));
    let missing: Vec<String> = wanted.aliases.iter().filter(missing).cloned().collect();
    hosts.extend(missing);
    now.aliases = aliases(hosts)?;
    if wanted.certificate.is_some() {
        now.viewer_certificate = Some(certificate(wanted));
    }
    Ok(now)
}

/// What a behaviour shall be like in the parts that matter to relying parties.
fn mended(mut found: DefaultCacheBehavior) -> DefaultCacheBehavior {
    if found.viewer_protocol_policy != ViewerProtocolPolicy::RedirectToHttps {
        found.viewer_protocol_policy = ViewerProtocolPolicy::HttpsOnly;
    }
    if found.cache_policy_id.as_deref() != Some(CACHING_DISABLED) {
        found.cache_policy_id = Some(CACHING_DISABLED.to_owned());
        drop_legacy_caching(&mut found);
    }
    found
}

/// `CloudFront` takes a cache policy or the older settings, not both.
#[expect(deprecated, reason = "they are taken away here")]
fn drop_legacy_caching(behavior: &mut DefaultCacheBehavior) {
    behavior.forwarded_values = None;
    behavior.min_ttl = None;
    behavior.default_ttl = None;
    behavior.max_ttl = None;
}

/// The same distribution, switched off.
pub(super) fn disabled(mut now: DistributionConfig) -> DistributionConfig {
    now.enabled = false;
    now
}

fn origin(
    wanted: &DistributionWanted,
    access_control: &str,
    id: &str,
) -> Result<Origin, ConfigError> {
    // An empty identity: the older way in (origin access identity) is not used.
    let none = S3OriginConfig::builder().origin_access_identity("").build();
    Origin::builder()
        .id(id)
        .domain_name(wanted.origin())
        .origin_path("")
        .s3_origin_config(none)
        .origin_access_control_id(access_control)
        .build()
}

fn listed(origins: Vec<Origin>) -> Result<Origins, ConfigError> {
    Origins::builder()
        .quantity(count(origins.len()))
        .set_items(Some(origins))
        .build()
}

fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn behavior() -> Result<DefaultCacheBehavior, ConfigError> {
    DefaultCacheBehavior::builder()
        .target_origin_id(ORIGIN)
        .viewer_protocol_policy(ViewerProtocolPolicy::HttpsOnly)
        .cache_policy_id(CACHING_DISABLED)
        .compress(false)
        .build()
}

fn aliases(hosts: Vec<String>) -> Result<Option<Aliases>, ConfigError> {
    if hosts.is_empty() {
        return Ok(None);
    }
    Aliases::builder()
        .quantity(count(hosts.len()))
        .set_items(Some(hosts))
        .build()
        .map(Some)
}

fn certificate(wanted: &DistributionWanted) -> ViewerCertificate {
    match &wanted.certificate {
        Some(arn) => ViewerCertificate::builder()
            .acm_certificate_arn(arn)
            .ssl_support_method(SslSupportMethod::SniOnly)
            .minimum_protocol_version(MinimumProtocolVersion::TlSv122021)
            .build(),
        None => ViewerCertificate::builder()
            .cloud_front_default_certificate(true)
            .build(),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudfront::types::FunctionAssociations;
    use irsa_core::store_url::BucketName;

    use super::*;

    fn wanted(alias: &str) -> DistributionWanted {
        DistributionWanted {
            bucket: BucketName::parse("oidc").unwrap(),
            region: "eu-west-1".into(),
            aliases: vec![alias.into()],
            certificate: Some("arn:aws:acm:us-east-1:1:certificate/one".into()),
        }
    }

    fn made(alias: &str) -> DistributionConfig {
        let with_tags = new(&wanted(alias), "O1").unwrap();
        with_tags.distribution_config.unwrap()
    }

    #[test]
    fn what_is_there_for_others_stays() {
        let mut now = made("a.example.com");
        let other = Origin::builder()
            .id("site")
            .domain_name("site.example.com")
            .build()
            .unwrap();
        let mut origins = now.origins.take().unwrap().items;
        origins.push(other);
        now.origins = Some(listed(origins).unwrap());
        let behavior = now.default_cache_behavior.as_mut().unwrap();
        behavior.viewer_protocol_policy = ViewerProtocolPolicy::AllowAll;
        behavior.function_associations =
            Some(FunctionAssociations::builder().quantity(0).build().unwrap());
        let mut again = now.clone();
        for _ in 0..2 {
            again = changed(again, &wanted("b.example.com"), "O2").unwrap();
            let hosts = again.aliases.as_ref().unwrap();
            assert_eq!(
                (hosts.quantity, hosts.items.as_deref().unwrap()),
                (2, &["a.example.com".to_owned(), "b.example.com".into()][..])
            );
            let origins = again.origins.as_ref().unwrap();
            assert_eq!(
                (origins.quantity, &origins.items[1]),
                (2, &now.origins.as_ref().unwrap().items[1])
            );
            assert_eq!(
                origins.items[0].origin_access_control_id.as_deref(),
                Some("O2")
            );
            let behavior = again.default_cache_behavior.as_ref().unwrap();
            assert!(behavior.function_associations.is_some());
            assert_eq!(
                behavior.viewer_protocol_policy,
                ViewerProtocolPolicy::HttpsOnly
            );
        }
    }
}
