//! Taking the chain down again, in the order in which no stranger can ever speak for the issuer: first nobody trusts it,
//! then its documents go, and the bucket's name stays taken.
//!
//! Only what carries our tag is touched; what stays is named with the reason. Keys, API servers and the webhook are not
//! looked at: tokens of the issuer may be what the cluster itself runs on.

use std::collections::BTreeMap;
use std::fmt;

use crate::bucket::distribution::{self, CdnState, DistributionChange};
use crate::bucket::{BucketState, OWNER_TAG, PublicAccessBlock};
use crate::explain::Explain;
use crate::provider::{ProviderArn, ProviderState};
use crate::role::{self, RoleAttachments, RoleRemoval, RoleState};
use crate::store_url::BucketName;

/// What is to be taken down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwanted {
    /// The provider.
    pub provider: ProviderArn,
    /// Names of the roles.
    pub roles: Vec<String>,
    /// Let strangers have the bucket's name.
    pub release_bucket: bool,
    /// The account that the bucket belongs to, if that was said.
    pub bucket_owner: Option<String>,
}

/// A document that is there and ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument {
    /// Its path below the issuer.
    pub path: String,
    /// The version that was seen.
    pub tag: String,
}

/// A bucket with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSeen {
    /// Its name.
    pub name: BucketName,
    /// Its settings.
    pub state: BucketState,
    /// Whether it holds objects besides the documents of this issuer.
    pub holds_others: bool,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The provider.
    pub provider: Option<ProviderState>,
    /// Roles that exist, with what hangs on them.
    pub roles: BTreeMap<String, (RoleState, RoleAttachments)>,
    /// Documents of the issuer, the JWKS before the discovery document: cut off in between, the latter still tells where
    /// the former is.
    pub documents: Vec<StoredDocument>,
    /// Why documents that are there are not ours to remove.
    pub foreign_documents: Option<String>,
    /// The distribution.
    pub cdn: CdnState,
    /// The bucket.
    pub bucket: Option<BucketSeen>,
    /// Whether AWS has had time to forget the provider, and shows none.
    pub distrusted: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// Of a role.
    Role {
        /// Its name.
        name: String,
        /// What.
        removal: RoleRemoval,
    },
    /// The provider: from then on AWS accepts no token of the issuer.
    Provider(ProviderArn),
    /// A document.
    Document(StoredDocument),
    /// The distribution.
    Distribution(DistributionChange),
    /// Nobody reads the bucket any longer; its name stays taken.
    CloseBucket(BucketName),
    /// Give AWS time to forget the provider everywhere, and see that there is none. Changes nothing.
    AwaitDistrust(ProviderArn),
    /// The bucket with all versions of the documents.
    DeleteBucket(BucketName),
}

/// The plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What is removed, in order.
    pub removals: Vec<Removal>,
    /// What stays, and why.
    pub kept: Vec<String>,
}

/// Why nothing is taken down.
#[derive(Debug, thiserror::Error)]
pub enum TeardownError {
    /// Somebody else's provider trusts the issuer.
    #[error("OIDC provider {0} has no tag {tag}: irsa did not make it", tag = OWNER_TAG.0)]
    ForeignProvider(ProviderArn),
    /// A role that cannot be deleted.
    #[error(transparent)]
    Role(#[from] role::RoleError),
    /// A name must not be given away while somebody else's documents are in the bucket.
    #[error("bucket \"{0}\" holds other objects than the documents of this issuer")]
    BucketInUse(BucketName),
    /// Somebody else's bucket.
    #[error("bucket \"{0}\" has no tag {tag}: irsa did not make it", tag = OWNER_TAG.0)]
    ForeignBucket(BucketName),
    /// Providers of the account that owns the bucket, the likeliest to trust what is in it, cannot be seen.
    #[error(
        "bucket \"{bucket}\" belongs to account {owner}, and only the OIDC providers of account {account} can be seen"
    )]
    OtherAccount {
        /// Which bucket.
        bucket: BucketName,
        /// Whose it is.
        owner: String,
        /// The account that was looked at.
        account: String,
    },
}

impl Explain for TeardownError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::ForeignProvider(_) => "nothing was removed: while it is there, whoever controls the issuer's documents can have \
                tokens accepted; irsa iam provider delete --force deletes it, then run this again"
                .into(),
            Self::Role(error) => return error.help(),
            Self::BucketInUse(_) => "leave --release-bucket-name out, or remove what is in it first".into(),
            Self::OtherAccount { owner, .. } => format!(
                "use credentials of account {owner} (--profile NAME): while a provider there trusts the issuer, whoever gets the \
                 name could speak for it; or leave --release-bucket-name out"
            ),
            Self::ForeignBucket(_) => "leave --release-bucket-name out; delete the bucket with the tool that made it".into(),
        })
    }
}

/// What is still to be removed. Whoever makes only the first removal, looks again and plans again ends at an empty
/// plan, wherever a run was cut off.
pub fn plan(unwanted: &Unwanted, seen: &Seen) -> Result<Plan, TeardownError> {
    let mut plan = Plan::default();
    for name in &unwanted.roles {
        if let Some((state, attachments)) = seen.roles.get(name) {
            role_removal(unwanted, name, state, attachments, &mut plan)?;
        }
    }
    if let Some(found) = &seen.provider {
        if found.tags.get(OWNER_TAG.0).map(String::as_str) != Some(OWNER_TAG.1) {
            return Err(TeardownError::ForeignProvider(unwanted.provider.clone()));
        }
        let arn = unwanted.provider.clone();
        plan.removals.push(Removal::Provider(arn));
    }
    let documents = seen.documents.iter().cloned().map(Removal::Document);
    plan.removals.extend(documents);
    plan.kept.extend(seen.foreign_documents.clone());
    // The distribution tells who the issuer is: it goes last, switched off before its bucket's name is given away.
    let (off, gone) = distribution_removals(seen, &mut plan);
    plan.removals.extend(off);
    if let Some(bucket) = &seen.bucket {
        bucket_removal(unwanted, seen, bucket, &mut plan)?;
    }
    if let Some(owner) = other_owner(unwanted) {
        plan.kept.push(format!(
            "OIDC providers of account {owner}, which owns the bucket: they were not looked at"
        ));
    }
    plan.removals.extend(gone);
    Ok(plan)
}

fn role_removal(
    unwanted: &Unwanted,
    name: &str,
    state: &RoleState,
    attachments: &RoleAttachments,
    plan: &mut Plan,
) -> Result<(), TeardownError> {
    if state.tags.get(OWNER_TAG.0).map(String::as_str) != Some(OWNER_TAG.1) {
        plan.kept
            .push(format!("role {name}: it has no tag {}", OWNER_TAG.0));
    } else if !role::trusts_only(&state.trust, &unwanted.provider) {
        plan.kept.push(format!(
            "role {name}: it also trusts others than {}",
            unwanted.provider
        ));
    } else {
        let removals = role::plan_removal(name, state, attachments)?;
        plan.removals
            .extend(removals.into_iter().map(|removal| Removal::Role {
                name: name.to_owned(),
                removal,
            }));
    }
    Ok(())
}

/// How the distribution is switched off, and how it is deleted after that.
fn distribution_removals(seen: &Seen, plan: &mut Plan) -> (Vec<Removal>, Vec<Removal>) {
    let others = seen
        .bucket
        .as_ref()
        .is_some_and(|bucket| holds_others(seen, bucket));
    if let Some(found) = &seen.cdn.distribution {
        let why = match (found.tagged, others) {
            (false, _) => Some(format!("it has no tag {}", OWNER_TAG.0)),
            (true, true) => Some("its bucket holds other objects, which it may serve".to_owned()),
            (true, false) => None,
        };
        if let Some(why) = why {
            plan.kept
                .push(format!("CloudFront distribution {}: {why}", found.id));
            return (Vec::new(), Vec::new());
        }
    }
    let removals = distribution::plan_removal(&seen.cdn).into_iter();
    let deletes = |change: &DistributionChange| {
        matches!(
            change,
            DistributionChange::Delete { .. } | DistributionChange::DeleteAccessControl { .. }
        )
    };
    let (gone, off): (Vec<_>, Vec<_>) = removals.partition(deletes);
    let steps =
        |changes: Vec<DistributionChange>| changes.into_iter().map(Removal::Distribution).collect();
    (steps(off), steps(gone))
}

/// Whether the bucket serves anything but this issuer: other objects, or under this issuer's own keys the documents of
/// another one, which must stay up and whose bucket's name must stay taken.
fn holds_others(seen: &Seen, bucket: &BucketSeen) -> bool {
    bucket.holds_others || seen.foreign_documents.is_some()
}

/// The account that owns the bucket, if that is not the one of the provider.
fn other_owner(unwanted: &Unwanted) -> Option<&String> {
    let account = unwanted.provider.account();
    let owner = unwanted.bucket_owner.as_ref();
    owner.filter(|owner| owner.as_str() != account)
}

fn bucket_removal(
    unwanted: &Unwanted,
    seen: &Seen,
    bucket: &BucketSeen,
    plan: &mut Plan,
) -> Result<(), TeardownError> {
    let others = holds_others(seen, bucket);
    let name = bucket.name.clone();
    match (bucket.state.tagged, others, unwanted.release_bucket) {
        (false, _, true) => return Err(TeardownError::ForeignBucket(name)),
        (_, true, true) => return Err(TeardownError::BucketInUse(name)),
        (true, false, true) => {
            if let Some(owner) = other_owner(unwanted) {
                return Err(TeardownError::OtherAccount {
                    bucket: name,
                    owner: owner.clone(),
                    account: unwanted.provider.account().to_owned(),
                });
            }
            if !seen.distrusted {
                let arn = unwanted.provider.clone();
                plan.removals.push(Removal::AwaitDistrust(arn));
            }
            plan.removals.push(Removal::DeleteBucket(name));
        }
        (false, _, false) => plan
            .kept
            .push(format!("bucket {name}: it has no tag {}", OWNER_TAG.0)),
        (true, true, false) => plan
            .kept
            .push(format!("bucket {name}: it holds other objects")),
        (true, false, false) => {
            if bucket.state.block != PublicAccessBlock::CLOSED {
                plan.removals.push(Removal::CloseBucket(name.clone()));
            }
            plan.kept.push(format!(
                "bucket {name}, empty: whoever had its name could speak for the issuer (--release-bucket-name gives it away)"
            ));
        }
    }
    Ok(())
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role { name, removal } => write!(f, "role {name}: {removal}"),
            Self::Provider(arn) => write!(f, "delete OIDC provider {arn}"),
            Self::Document(document) => write!(f, "delete {}", document.path),
            Self::Distribution(change) => change.fmt(f),
            Self::CloseBucket(name) => {
                write!(f, "close bucket {name} to everybody (Block Public Access)")
            }
            Self::AwaitDistrust(arn) => {
                write!(f, "wait until AWS has forgotten OIDC provider {arn}")
            }
            Self::DeleteBucket(name) => {
                write!(f, "delete bucket {name} with all versions of the documents")
            }
        }
    }
}

#[cfg(test)]
#[path = "teardown_tests.rs"]
mod tests;
