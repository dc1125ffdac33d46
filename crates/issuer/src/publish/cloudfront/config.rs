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

/// The only origin.
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
        .origins(origins(wanted, access_control)?)
        .default_cache_behavior(behavior()?)
        .set_aliases(aliases(wanted)?)
        .viewer_certificate(certificate(wanted))
        .build()?;
    let tag = Tag::builder().key(OWNER_TAG.0).value(OWNER_TAG.1).build()?;
    Ok(DistributionConfigWithTags::builder()
        .distribution_config(config)
        .tags(Tags::builder().items(tag).build())
        .build())
}

/// The same distribution with origin, caching, protocol, host name and certificate as they shall be.
pub(super) fn changed(
    mut now: DistributionConfig,
    wanted: &DistributionWanted,
    access_control: &str,
) -> Result<DistributionConfig, ConfigError> {
    now.enabled = true;
    now.origins = Some(origins(wanted, access_control)?);
    now.default_cache_behavior = Some(behavior()?);
    if wanted.alias.is_some() {
        now.aliases = aliases(wanted)?;
    }
    if wanted.certificate.is_some() {
        now.viewer_certificate = Some(certificate(wanted));
    }
    Ok(now)
}

/// The same distribution, switched off.
pub(super) fn disabled(mut now: DistributionConfig) -> DistributionConfig {
    now.enabled = false;
    now
}

fn origins(wanted: &DistributionWanted, access_control: &str) -> Result<Origins, ConfigError> {
    // An empty identity: the older way in (origin access identity) is not used.
    let none = S3OriginConfig::builder().origin_access_identity("").build();
    let origin = Origin::builder()
        .id(ORIGIN)
        .domain_name(wanted.origin())
        .origin_path("")
        .s3_origin_config(none)
        .origin_access_control_id(access_control)
        .build()?;
    Origins::builder().quantity(1).items(origin).build()
}

fn behavior() -> Result<DefaultCacheBehavior, ConfigError> {
    DefaultCacheBehavior::builder()
        .target_origin_id(ORIGIN)
        .viewer_protocol_policy(ViewerProtocolPolicy::HttpsOnly)
        .cache_policy_id(CACHING_DISABLED)
        .compress(false)
        .build()
}

fn aliases(wanted: &DistributionWanted) -> Result<Option<Aliases>, ConfigError> {
    let Some(alias) = &wanted.alias else {
        return Ok(None);
    };
    Aliases::builder()
        .quantity(1)
        .items(alias)
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
