//! The whole chain, from the signing key to the roles, as one plan: decided here from what was seen, done by adapters
//! one change at a time.
//!
//! The loop around it is `while let Some(change) = plan(wanted, seen).first() { apply(change); look again }`. There is no
//! journal: everything that a run leaves behind can be seen, so a run that was killed goes on where it was.
//!
//! # Guarantees
//!
//! - No document is written before the bucket keeps versions and is closed to ACLs, no discovery document before its JWKS.
//! - The IAM provider is made or changed only when both documents were read through the issuer URL as they shall be.
//! - Roles come after the provider that they trust; the API servers are told to sign with the issuer at last.
//! - A key that exists is never made again, and a published one is never dropped.
//!
//! # Caveats
//!
//! What depends on something that does not exist yet, as the issuer URL on the domain of a distribution, stands in the
//! plan as [`Change::Later`]; the plan is made again when it is known.

mod change;
pub mod teardown;

use std::collections::BTreeMap;

pub use self::change::{Change, FileChange, ObjectChange, Stage};
use crate::bucket::distribution::{self, CdnState, DistributionError, DistributionWanted};
use crate::bucket::{self, Access, BucketError, BucketState, BucketWanted};
use crate::documents::IssuerDocuments;
use crate::explain::Explain;
use crate::provider::{self, ProviderError, ProviderState, ProviderWanted};
use crate::publication::{self, Observed, PublicationError};
use crate::role::{self, RoleError, RoleState, RoleWanted};

/// The signing key that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWanted {
    /// Its private half.
    pub private: String,
    /// Its public half.
    pub public: String,
    /// Its algorithm, in words.
    pub algorithm: String,
}

/// What the chain shall be like. What is `None` is either not asked for or, where it says so, not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// A key to be made; without one keys that exist are published.
    pub key: Option<KeyWanted>,
    /// The bucket; none for a directory. Its access is that of the distribution, if there is one.
    pub bucket: Option<BucketWanted>,
    /// The distribution.
    pub distribution: Option<DistributionWanted>,
    /// The documents; `None` while key or issuer are not known.
    pub documents: Option<IssuerDocuments>,
    /// Whether the documents are read through the issuer URL.
    pub read_back: bool,
    /// The provider; `None` while the issuer, or whether it needs a thumbprint, is not known.
    pub provider: Option<ProviderWanted>,
    /// The roles; `None` beside a name while the provider's ARN is not known.
    pub roles: Vec<(String, Option<RoleWanted>)>,
}

/// What is there of the signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeySeen {
    /// Nothing.
    #[default]
    Absent,
    /// The private half alone.
    PrivateOnly,
    /// Both halves.
    Present,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The signing key.
    pub key: KeySeen,
    /// The bucket.
    pub bucket: Option<BucketState>,
    /// The distribution.
    pub cdn: CdnState,
    /// The documents in the store.
    pub documents: Observed,
    /// Whether relying parties see the wanted documents, byte for byte.
    pub read_back: bool,
    /// The provider.
    pub provider: Option<ProviderState>,
    /// Roles that exist.
    pub roles: BTreeMap<String, RoleState>,
    /// Files that are not as they shall be.
    pub files: Vec<FileChange>,
    /// Objects that are not as they shall be.
    pub objects: Vec<ObjectChange>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The distribution.
    #[error(transparent)]
    Distribution(#[from] DistributionError),
    /// The documents.
    #[error(transparent)]
    Documents(#[from] PublicationError),
    /// The provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// A role.
    #[error(transparent)]
    Role(#[from] RoleError),
}

impl Explain for BootstrapError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Bucket(error) => error.help(),
            Self::Distribution(error) => error.help(),
            Self::Documents(error) => error.help(),
            Self::Provider(error) => error.help(),
            Self::Role(error) => error.help(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Bucket(error) => error.retryable(),
            Self::Distribution(error) => error.retryable(),
            Self::Documents(error) => error.retryable(),
            Self::Provider(error) => error.retryable(),
            Self::Role(error) => error.retryable(),
        }
    }
}

/// Every change that is still to be made, in order; empty when the chain is as it shall be.
pub fn plan(wanted: &Wanted, seen: &Seen) -> Result<Vec<Change>, BootstrapError> {
    let mut changes = Vec::new();
    changes.extend(key(wanted, seen));
    store(wanted, seen, &mut changes)?;
    documents(wanted, seen, &mut changes)?;
    iam(wanted, seen, &mut changes)?;
    changes.extend(seen.files.iter().cloned().map(Change::File));
    changes.extend(seen.objects.iter().cloned().map(Change::Object));
    Ok(changes)
}

fn key(wanted: &Wanted, seen: &Seen) -> Option<Change> {
    let key = wanted.key.as_ref()?;
    match seen.key {
        KeySeen::Absent => Some(Change::GenerateKey {
            private: key.private.clone(),
            algorithm: key.algorithm.clone(),
        }),
        KeySeen::PrivateOnly => Some(Change::RestorePublicKey {
            public: key.public.clone(),
        }),
        KeySeen::Present => None,
    }
}

/// Bucket and distribution. The bucket is closed before there is a distribution, and lets it in when it is there.
fn store(wanted: &Wanted, seen: &Seen, changes: &mut Vec<Change>) -> Result<(), BootstrapError> {
    let Some(bucket) = &wanted.bucket else {
        return Ok(());
    };
    let mut bucket = bucket.clone();
    let cdn = &seen.cdn;
    // Which documents are to be read is known when the issuer is.
    let known = !bucket.documents.is_empty();
    if wanted.distribution.is_some() {
        let ours = cdn.distribution.as_ref().filter(|found| found.tagged);
        bucket.access = Access::CloudFront {
            distribution: ours.filter(|_| known).map(|found| found.arn.clone()),
        };
    } else if !known {
        bucket.access = Access::None;
    }
    let planned = bucket::plan(&bucket, seen.bucket.as_ref())?;
    changes.extend(planned.into_iter().map(Change::Bucket));
    let Some(distribution) = &wanted.distribution else {
        return Ok(());
    };
    let planned = distribution::plan(distribution, cdn)?;
    changes.extend(planned.into_iter().map(Change::Distribution));
    if cdn.distribution.is_none() {
        if cdn.access_control.is_none() {
            let text = format!(
                "create CloudFront distribution of {}",
                distribution.origin()
            );
            changes.push(Change::later(Stage::Distribution, text));
        }
        let text =
            "put bucket policy: readable by the distribution alone, and wait until it is deployed";
        changes.push(Change::later(Stage::Bucket, text));
    }
    Ok(())
}

fn documents(
    wanted: &Wanted,
    seen: &Seen,
    changes: &mut Vec<Change>,
) -> Result<(), BootstrapError> {
    let Some(documents) = &wanted.documents else {
        let text = "create JWKS and discovery document";
        changes.push(Change::later(Stage::Documents, text));
        if wanted.read_back {
            let text = "read both documents back through the issuer URL";
            changes.push(Change::later(Stage::ReadBack, text));
        }
        return Ok(());
    };
    // Withdrawing a key is a decision of its own, never part of setting up.
    let planned = publication::plan(documents, &seen.documents, &[])?;
    let fresh = !planned.is_empty();
    changes.extend(planned.into_iter().map(Change::Document));
    if wanted.read_back && (fresh || !seen.read_back) {
        changes.push(Change::ReadBack {
            issuer: documents.issuer().to_string(),
        });
    }
    Ok(())
}

fn iam(wanted: &Wanted, seen: &Seen, changes: &mut Vec<Change>) -> Result<(), BootstrapError> {
    if let Some(provider) = &wanted.provider {
        let planned = provider::plan(provider, seen.provider.as_ref())?;
        changes.extend(planned.into_iter().map(Change::Provider));
    } else {
        let text = "create the issuer's OIDC provider, or mend it";
        changes.push(Change::later(Stage::Provider, text));
    }
    for (name, role) in &wanted.roles {
        let Some(role) = role else {
            let text = format!("create role {name}, or let its service accounts in");
            changes.push(Change::later(Stage::Roles, text));
            continue;
        };
        let planned = role::plan(role, seen.roles.get(name))?;
        changes.extend(planned.into_iter().map(|change| Change::Role {
            name: name.clone(),
            change,
        }));
    }
    Ok(())
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
