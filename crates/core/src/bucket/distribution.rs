//! The `CloudFront` distribution in front of a private bucket: what must change so that it serves an issuer's
//! documents, and nobody reads the bucket past it.
//!
//! Nothing is cached at the edge ([`CACHING_DISABLED`]): a new key is visible at once, and relying parties keep
//! documents as long as `Cache-Control` says. The bucket lets in this one distribution by origin access control.
//!
//! Several issuers share one distribution, each below its own path or at its own host name: what is there for others
//! stays. A certificate that other host names need, and a default origin that is not the bucket, are never replaced.

mod difference;

use std::fmt;

pub use self::difference::Difference;

use super::{BucketName, OWNER_TAG};
use crate::explain::Explain;
use crate::partition::Partition;

/// AWS's managed cache policy `CachingDisabled` (`CloudFront` Developer Guide, managed cache policies).
pub const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";

/// What the distribution shall be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributionWanted {
    /// The bucket behind it.
    pub bucket: BucketName,
    /// Its Region.
    pub region: String,
    /// Host names of one's own; without one the issuer is at `*.cloudfront.net`.
    pub aliases: Vec<String>,
    /// The ARN of an ACM certificate in us-east-1 for the aliases.
    pub certificate: Option<String>,
}

/// What is there now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CdnState {
    /// The ID of the origin access control with our name.
    pub access_control: Option<String>,
    /// The distribution in front of the bucket.
    pub distribution: Option<DistributionState>,
}

/// A place that a distribution reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginState {
    /// Its name within the distribution.
    pub id: String,
    /// Its host.
    pub domain: String,
    /// What is put before every path; mostly empty.
    pub path: String,
    /// The ID of the origin access control that it is read with.
    pub access_control: Option<String>,
}

/// A distribution as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact about the distribution"
)]
pub struct DistributionState {
    /// Its ID, like `E1ABCDEF`.
    pub id: String,
    /// `arn:aws:cloudfront::ACCOUNT:distribution/ID`.
    pub arn: String,
    /// `d111111abcdef8.cloudfront.net`.
    pub domain: String,
    /// Whether it carries [`OWNER_TAG`].
    pub tagged: bool,
    /// Whether every edge location has it as it is.
    pub deployed: bool,
    /// Whether it serves.
    pub enabled: bool,
    /// Whether plain http is refused or redirected.
    pub https_only: bool,
    /// Host names of one's own.
    pub aliases: Vec<String>,
    /// The ARN of its ACM certificate, or the ID of one in IAM.
    pub certificate: Option<String>,
    /// What it reads.
    pub origins: Vec<OriginState>,
    /// The [`OriginState::id`] of what it reads when no other rule says so.
    pub default_origin: String,
    /// The ID of its cache policy.
    pub cache_policy: Option<String>,
}

/// One outside change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DistributionChange {
    /// Make the origin access control.
    CreateAccessControl {
        /// Its name.
        name: String,
    },
    /// Make the distribution, with [`OWNER_TAG`] in the same call.
    Create {
        /// What it shall be like.
        wanted: DistributionWanted,
        /// The ID of the origin access control.
        access_control: String,
    },
    /// Mend it.
    Update {
        /// Which.
        id: String,
        /// What it shall be like.
        wanted: DistributionWanted,
        /// The ID of the origin access control.
        access_control: String,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// Wait until every edge location has it.
    Wait {
        /// Which.
        id: String,
    },
    /// Serve no longer.
    Disable {
        /// Which.
        id: String,
    },
    /// Delete it; it must have been disabled everywhere.
    Delete {
        /// Which.
        id: String,
    },
    /// Delete the origin access control.
    DeleteAccessControl {
        /// Its ID.
        id: String,
    },
}

/// Why a distribution cannot be made as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DistributionError {
    /// The partition lacks the service, or serves no default domain.
    #[error("CloudFront cannot serve an issuer in Region {0}")]
    Partition(String),
    /// An own domain needs a certificate.
    #[error("issuer host \"{0}\" is a domain of your own, and no certificate is named for it")]
    NoCertificate(String),
    /// Not one that `CloudFront` takes.
    #[error("\"{0}\" is not the ARN of an ACM certificate in us-east-1")]
    Certificate(String),
    /// Somebody else's.
    #[error("CloudFront distribution {id} in front of bucket \"{bucket}\" has no tag {tag}: irsa did not make it", tag = OWNER_TAG.0)]
    Foreign {
        /// Which.
        id: String,
        /// The bucket behind it.
        bucket: BucketName,
    },
    /// Other issuers are served with the certificate that is there.
    #[error(
        "CloudFront distribution {id} has the certificate {found}, expected {expected}, and answers for {} too",
        others.join(", ")
    )]
    OtherCertificate {
        /// Which.
        id: String,
        /// The certificate that it has.
        found: String,
        /// The one that is wanted.
        expected: String,
        /// Host names that are not ours.
        others: Vec<String>,
    },
    /// Somebody let it read another place.
    #[error("CloudFront distribution {id} reads {origin} by default, expected bucket \"{bucket}\"")]
    OtherOrigin {
        /// Which.
        id: String,
        /// Host of the origin, or the name of a group of origins.
        origin: String,
        /// The bucket that should be read.
        bucket: BucketName,
    },
}

impl Explain for DistributionError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Partition(_) => "use access: policy, or access: none with a server or CDN of yours in front".into(),
            Self::NoCertificate(_) => "name an ACM certificate of us-east-1 for it (certificate_arn), or leave the issuer out to get \
                one at cloudfront.net"
                .into(),
            Self::Certificate(_) => "write it like arn:aws:acm:us-east-1:123456789012:certificate/ID; CloudFront takes none of \
                another Region"
                .into(),
            Self::Foreign { id, bucket } => format!(
                "nothing was changed; if it is to be used, tag it {}={}, else use another bucket than {bucket}: aws cloudfront \
                 get-distribution --id {id} shows it",
                OWNER_TAG.0, OWNER_TAG.1
            ),
            Self::OtherCertificate { others, found, .. } => format!(
                "nothing was changed: a distribution has one certificate. Request one in us-east-1 that names {} too, and have it \
                 put in place of {found} in every cluster that uses the bucket; or use a bucket of its own for this issuer",
                others.join(", ")
            ),
            Self::OtherOrigin { id, .. } => format!(
                "nothing was changed, since something else is served from there: aws cloudfront get-distribution-config --id {id} \
                 shows it; make the bucket its default origin again, or use another bucket"
            ),
        })
    }
}

impl DistributionWanted {
    /// Checks what `CloudFront` would refuse.
    pub fn checked(self) -> Result<Self, DistributionError> {
        if Partition::of_region(&self.region).name != "aws" {
            return Err(DistributionError::Partition(self.region));
        }
        match (self.aliases.first(), &self.certificate) {
            (Some(alias), None) => Err(DistributionError::NoCertificate(alias.clone())),
            (_, Some(arn)) if !arn.starts_with("arn:aws:acm:us-east-1:") => Err(
                DistributionError::Certificate(arn.chars().take(300).collect()),
            ),
            _ => Ok(self),
        }
    }

    /// The name of the origin access control, and the comment of the distribution.
    pub fn name(&self) -> String {
        name(&self.bucket)
    }

    /// The host that the distribution reads: the bucket in its Region, so that no redirect is ever met.
    pub fn origin(&self) -> String {
        format!("{}.s3.{}.amazonaws.com", self.bucket, self.region)
    }
}

impl DistributionState {
    /// Where it reads a bucket: the default origin if that is the bucket, else any that is.
    pub fn origin_of(&self, bucket: &BucketName) -> Option<&OriginState> {
        let start = format!("{bucket}.s3.");
        let mut fitting: Vec<_> = self
            .origins
            .iter()
            .filter(|origin| origin.domain.starts_with(&start))
            .collect();
        fitting.sort_by_key(|origin| origin.id != self.default_origin);
        fitting.into_iter().next()
    }
}

/// What our distribution and origin access control of a bucket are called.
pub fn name(bucket: &BucketName) -> String {
    format!("irsa-{bucket}")
}

/// The changes that make the distribution serve the bucket. A change that depends on the ID of something that is not
/// there yet comes with the next plan.
pub fn plan(
    wanted: &DistributionWanted,
    state: &CdnState,
) -> Result<Vec<DistributionChange>, DistributionError> {
    if let Some(found) = &state.distribution
        && !found.tagged
    {
        return Err(DistributionError::Foreign {
            id: found.id.clone(),
            bucket: wanted.bucket.clone(),
        });
    }
    let Some(access_control) = &state.access_control else {
        let name = wanted.name();
        return Ok(vec![DistributionChange::CreateAccessControl { name }]);
    };
    let Some(found) = &state.distribution else {
        return Ok(vec![DistributionChange::Create {
            wanted: wanted.clone(),
            access_control: access_control.clone(),
        }]);
    };
    let differences = difference::between(wanted, found, access_control)?;
    if !differences.is_empty() {
        return Ok(vec![DistributionChange::Update {
            id: found.id.clone(),
            wanted: wanted.clone(),
            access_control: access_control.clone(),
            differences,
        }]);
    }
    if found.deployed {
        Ok(Vec::new())
    } else {
        let id = found.id.clone();
        Ok(vec![DistributionChange::Wait { id }])
    }
}

/// The changes that take our distribution away: `CloudFront` deletes only what is disabled everywhere.
pub fn plan_removal(state: &CdnState) -> Vec<DistributionChange> {
    let mut changes = Vec::new();
    if let Some(found) = state.distribution.as_ref().filter(|found| found.tagged) {
        let id = || found.id.clone();
        if found.enabled {
            changes.push(DistributionChange::Disable { id: id() });
        }
        if found.enabled || !found.deployed {
            changes.push(DistributionChange::Wait { id: id() });
        }
        changes.push(DistributionChange::Delete { id: id() });
    }
    let used = state
        .distribution
        .as_ref()
        .is_some_and(|found| !found.tagged);
    if let Some(id) = state.access_control.clone().filter(|_| !used) {
        changes.push(DistributionChange::DeleteAccessControl { id });
    }
    changes
}

impl fmt::Display for DistributionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateAccessControl { name } => write!(f, "create origin access control {name}"),
            Self::Create { wanted, .. } => {
                write!(f, "create CloudFront distribution of {}", wanted.origin())?;
                let mut aliases = wanted.aliases.iter();
                aliases.try_for_each(|alias| write!(f, "\n  + answers for {alias}"))
            }
            Self::Update {
                id, differences, ..
            } => {
                write!(f, "update CloudFront distribution {id}")?;
                differences
                    .iter()
                    .try_for_each(|one| write!(f, "\n  {one}"))
            }
            Self::Wait { id } => write!(f, "wait until CloudFront distribution {id} is deployed"),
            Self::Disable { id } => write!(f, "disable CloudFront distribution {id}"),
            Self::Delete { id } => write!(f, "delete CloudFront distribution {id}"),
            Self::DeleteAccessControl { id } => write!(f, "delete origin access control {id}"),
        }
    }
}

#[cfg(test)]
#[path = "distribution_tests.rs"]
mod tests;
