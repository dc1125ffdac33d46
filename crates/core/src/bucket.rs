//! What a bucket must be like so that relying parties can read an issuer's documents in it and nobody anything else.
//!
//! S3 closes new buckets by four switches (Block Public Access) and by `BucketOwnerEnforced`, which ends ACLs. With
//! [`Access::Policy`] two of the switches are opened, and a bucket policy allows reading of exactly the documents.
//! Whatever else is in the policy stays as it is.

pub mod distribution;
mod policy;

use std::fmt;

use crate::explain::Explain;
use crate::store_url::BucketName;

/// The tag that says that irsa made the bucket, or took it over.
pub const OWNER_TAG: (&str, &str) = ("irsa:managed", "true");
/// S3 refuses larger bucket policies.
pub const MAX_POLICY_BYTES: usize = 20 << 10;

/// Who reads the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Everybody, by the bucket policy.
    Policy,
    /// A `CloudFront` distribution; the bucket is private.
    CloudFront {
        /// `arn:aws:cloudfront::ACCOUNT:distribution/ID`; `None` while there is none, and the bucket is only closed.
        distribution: Option<String>,
    },
    /// The operator sees to it.
    None,
}

/// The switches of Block Public Access (S3 `PublicAccessBlockConfiguration`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are S3's four switches"
)]
pub struct PublicAccessBlock {
    /// Refuse calls that set a public ACL.
    pub block_public_acls: bool,
    /// Ignore public ACLs.
    pub ignore_public_acls: bool,
    /// Refuse a public bucket policy.
    pub block_public_policy: bool,
    /// Let only the account in when the policy is public.
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// As S3 makes new buckets.
    pub const CLOSED: Self = Self {
        block_public_acls: true,
        ignore_public_acls: true,
        block_public_policy: true,
        restrict_public_buckets: true,
    };
    /// A bucket without the setting.
    pub const OPEN: Self = Self {
        block_public_acls: false,
        ignore_public_acls: false,
        block_public_policy: false,
        restrict_public_buckets: false,
    };
}

/// What a bucket is like now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact about the bucket"
)]
pub struct BucketState {
    /// Whether it carries [`OWNER_TAG`].
    pub tagged: bool,
    /// What proves, without the tag, that it may be set up: nothing is in it, or documents of an issuer of ours.
    pub adoptable: bool,
    /// Whether ACLs are off (`BucketOwnerEnforced`).
    pub owner_enforced: bool,
    /// Whether old versions are kept.
    pub versioned: bool,
    /// Block Public Access.
    pub block: PublicAccessBlock,
    /// The bucket policy, if there is one.
    pub policy: Option<String>,
}

/// What the bucket shall be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketWanted {
    /// The bucket.
    pub bucket: BucketName,
    /// Its Region.
    pub region: String,
    /// Who reads.
    pub access: Access,
    /// The ARNs of the documents.
    pub documents: Vec<String>,
    /// Make it if it is missing.
    pub create: bool,
    /// Set up a bucket for which nothing proves that it is ours to set up.
    pub adopt: bool,
}

/// One outside change of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketChange {
    /// Make it, with [`OWNER_TAG`] and without ACLs, in one call.
    Create {
        /// Where.
        region: String,
    },
    /// Set [`OWNER_TAG`]; other tags stay.
    Tag,
    /// End ACLs.
    EnforceOwner,
    /// Keep old versions.
    Version,
    /// Set the switches.
    Block(PublicAccessBlock),
    /// Put a policy in place of the one that was seen.
    Policy {
        /// The policy that was seen, if there was one: it is replaced only while it stands.
        before: Option<String>,
        /// The new policy.
        json: String,
        /// The objects that become readable by it.
        readable: Vec<String>,
        /// The distribution that is let in besides those that are, by its ARN.
        reader: Option<String>,
        /// The objects that everybody may no longer read.
        closed: Vec<String>,
    },
}

/// Why a bucket is not set up.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// There is none.
    #[error("bucket \"{0}\" does not exist")]
    Missing(BucketName),
    /// Somebody else's, as far as can be seen.
    #[error("bucket \"{0}\" has no tag {tag}, is not empty and holds no documents of these issuers", tag = OWNER_TAG.0)]
    Foreign(BucketName),
    /// A policy that is not one.
    #[error("the policy of bucket \"{bucket}\" cannot be read")]
    PolicyText {
        /// Whose.
        bucket: BucketName,
        /// Why.
        source: serde_json::Error,
    },
    /// A policy without a list of statements.
    #[error("the policy of bucket \"{0}\" has no list of statements")]
    PolicyShape(BucketName),
    /// One of our names for statements stands on another statement.
    #[error("the policy of bucket \"{bucket}\" has a statement \"{sid}\" that irsa did not write")]
    StatementTaken {
        /// Whose.
        bucket: BucketName,
        /// Which.
        sid: &'static str,
    },
    /// A statement that Block Public Access holds back now would open more than the documents.
    #[error(
        "the policy of bucket \"{bucket}\" has the statement \"{sid}\", which would make more than the documents public"
    )]
    OpensMore {
        /// Whose.
        bucket: BucketName,
        /// Which.
        sid: String,
    },
    /// With a distribution the bucket must be private, and other documents in it are read without one.
    #[error(
        "bucket \"{bucket}\" serves everybody {} by its policy: a distribution would need it closed",
        documents.join(", ")
    )]
    ServesOthers {
        /// Whose.
        bucket: BucketName,
        /// ARNs of objects that are not documents of this issuer, the first few.
        documents: Vec<String>,
    },
    /// A private bucket with a statement for everybody: S3 would refuse every policy that keeps it.
    #[error(
        "the policy of bucket \"{bucket}\" has the statement \"{sid}\", which lets everybody in, and the bucket is to be private"
    )]
    Public {
        /// Whose.
        bucket: BucketName,
        /// Which.
        sid: String,
    },
    /// Too many issuers in one bucket.
    #[error(
        "the policy of bucket \"{bucket}\" would have {bytes} bytes, expected at most {MAX_POLICY_BYTES}"
    )]
    PolicyTooLarge {
        /// Whose.
        bucket: BucketName,
        /// How large.
        bytes: usize,
    },
}

impl Explain for BucketError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Missing(_) => "add --create-bucket to have it made".into(),
            Self::Foreign(_) => "nothing was changed; if it is yours and may be made readable as the plan says, add --adopt-bucket".into(),
            Self::PolicyText { bucket, .. } | Self::PolicyShape(bucket) => {
                format!("look at it: aws s3api get-bucket-policy --bucket {bucket}")
            }
            Self::OpensMore { .. } => {
                "Block Public Access was not changed: remove that statement first, or use a bucket of its own for the documents".into()
            }
            Self::ServesOthers { bucket, .. } => format!(
                "nothing was changed: closing it would cut off whoever reads them at {bucket}.s3; use a bucket of its own for an \
                 issuer behind CloudFront, or access: policy here too"
            ),
            Self::Public { .. } => "nothing was changed: remove that statement first, or use a bucket of its own".into(),
            Self::StatementTaken { sid, .. } => format!("give that statement another Sid than {sid:?}"),
            Self::PolicyTooLarge { .. } => {
                "use a bucket for every hundred issuers or so, or --access none with a server or CDN of yours in front".into()
            }
        })
    }
}

/// The changes that make the bucket as it shall be, in the order in which they are safe: it is closed to ACLs and
/// keeps versions before it becomes readable.
pub fn plan(
    wanted: &BucketWanted,
    state: Option<&BucketState>,
) -> Result<Vec<BucketChange>, BucketError> {
    let mut changes = Vec::new();
    let fresh;
    let state = if let Some(state) = state {
        if !state.tagged {
            if !state.adoptable && !wanted.adopt {
                return Err(BucketError::Foreign(wanted.bucket.clone()));
            }
            changes.push(BucketChange::Tag);
        }
        state
    } else {
        if !wanted.create {
            return Err(BucketError::Missing(wanted.bucket.clone()));
        }
        let region = wanted.region.clone();
        changes.push(BucketChange::Create { region });
        fresh = BucketState {
            tagged: true,
            adoptable: true,
            owner_enforced: true,
            versioned: false,
            block: PublicAccessBlock::CLOSED,
            policy: None,
        };
        &fresh
    };
    if !state.owner_enforced {
        changes.push(BucketChange::EnforceOwner);
    }
    if !state.versioned {
        changes.push(BucketChange::Version);
    }
    let block = block(&wanted.access, state.block);
    let policy = policy::plan(wanted, state.policy.as_deref())?;
    match &wanted.access {
        Access::Policy if block != state.block => {
            policy::nothing_else_becomes_public(wanted, state.policy.as_deref())?;
        }
        Access::CloudFront { .. } if block != state.block || policy.is_some() => {
            policy::nobody_else_is_cut_off(wanted, state)?;
        }
        Access::Policy | Access::CloudFront { .. } | Access::None => {}
    }
    if block != state.block {
        changes.push(BucketChange::Block(block));
    }
    changes.extend(policy);
    Ok(changes)
}

/// Opens what must be open for a public policy, closes everything for a private bucket, and leaves the rest alone.
fn block(access: &Access, now: PublicAccessBlock) -> PublicAccessBlock {
    match access {
        Access::Policy => PublicAccessBlock {
            block_public_policy: false,
            restrict_public_buckets: false,
            ..now
        },
        Access::CloudFront { .. } => PublicAccessBlock::CLOSED,
        Access::None => now,
    }
}

impl fmt::Display for BucketChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { region } => {
                write!(
                    f,
                    "create bucket in {region}, without ACLs, tagged {}",
                    OWNER_TAG.0
                )
            }
            Self::Tag => write!(f, "tag bucket {}={}", OWNER_TAG.0, OWNER_TAG.1),
            Self::EnforceOwner => f.write_str("end ACLs of the bucket (BucketOwnerEnforced)"),
            Self::Version => f.write_str("keep old versions of the bucket's objects"),
            Self::Block(block) => {
                let on = |name, value| {
                    if value {
                        format!(" {name}")
                    } else {
                        String::new()
                    }
                };
                write!(
                    f,
                    "set Block Public Access to:{}{}{}{}{}",
                    on("BlockPublicAcls", block.block_public_acls),
                    on("IgnorePublicAcls", block.ignore_public_acls),
                    on("BlockPublicPolicy", block.block_public_policy),
                    on("RestrictPublicBuckets", block.restrict_public_buckets),
                    if *block == PublicAccessBlock::OPEN {
                        " nothing"
                    } else {
                        ""
                    },
                )
            }
            Self::Policy {
                readable,
                reader,
                closed,
                ..
            } => {
                f.write_str("put bucket policy: plain http denied, other statements kept")?;
                let readable = readable.iter().map(|arn| ('+', "readable", arn));
                let reader = reader.iter().map(|arn| ('+', "read by", arn));
                let closed = closed.iter().map(|arn| ('-', "readable by everybody", arn));
                readable
                    .chain(reader)
                    .chain(closed)
                    .try_for_each(|(sign, what, arn)| write!(f, "\n  {sign} {what} {arn}"))
            }
        }
    }
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;
