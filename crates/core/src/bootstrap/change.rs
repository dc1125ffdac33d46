//! The steps of the whole chain, as data: what a dry run prints is what is then done.

use std::fmt;

use crate::bucket::BucketChange;
use crate::bucket::distribution::DistributionChange;
use crate::change;
use crate::provider::ProviderChange;
use crate::role::RoleChange;

/// A part of the chain, in the order of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The signing key.
    Keys,
    /// The bucket.
    Bucket,
    /// The `CloudFront` distribution in front of it.
    Distribution,
    /// JWKS and discovery document.
    Documents,
    /// The issuer as relying parties see it.
    ReadBack,
    /// The IAM OIDC provider.
    Provider,
    /// The roles.
    Roles,
    /// kube-apiserver's files.
    ApiServer,
    /// The pod identity webhook.
    Webhook,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make the signing key.
    GenerateKey {
        /// Where the private half goes.
        private: String,
        /// Its algorithm, in words.
        algorithm: String,
    },
    /// Write the public half of a key whose private half is there: a run was killed between the two.
    RestorePublicKey {
        /// Where it goes.
        public: String,
    },
    /// The bucket.
    Bucket(BucketChange),
    /// The distribution.
    Distribution(DistributionChange),
    /// A document.
    Document(change::Change),
    /// Fetch both documents through the issuer URL as AWS STS does, and compare them. Changes nothing.
    ReadBack {
        /// The issuer.
        issuer: String,
    },
    /// The provider.
    Provider(ProviderChange),
    /// A role.
    Role {
        /// Its name.
        name: String,
        /// What.
        change: RoleChange,
    },
    /// A file of the control plane.
    File(FileChange),
    /// An object in the cluster.
    Object(ObjectChange),
    /// Something that is decided when what it depends on is there.
    Later {
        /// Of which part.
        stage: Stage,
        /// What, in words.
        text: String,
    },
}

/// A file to be changed; how is decided by the crate that knows the distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Which file.
    pub path: String,
    /// The change as a unified diff.
    pub diff: String,
}

/// An object to be applied; what it holds is decided by the webhook's crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectChange {
    /// `create`, `update`.
    pub verb: String,
    /// Kind and name.
    pub object: String,
}

impl Change {
    /// Which part of the chain it changes.
    pub fn stage(&self) -> Stage {
        match self {
            Self::GenerateKey { .. } | Self::RestorePublicKey { .. } => Stage::Keys,
            Self::Bucket(_) => Stage::Bucket,
            Self::Distribution(_) => Stage::Distribution,
            Self::Document(_) => Stage::Documents,
            Self::ReadBack { .. } => Stage::ReadBack,
            Self::Provider(_) => Stage::Provider,
            Self::Role { .. } => Stage::Roles,
            Self::File(_) => Stage::ApiServer,
            Self::Object(_) => Stage::Webhook,
            Self::Later { stage, .. } => *stage,
        }
    }

    pub(super) fn later(stage: Stage, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Later { stage, text }
    }
}

impl Stage {
    /// What it is called in results, for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Bucket => "bucket",
            Self::Distribution => "distribution",
            Self::Documents => "documents",
            Self::ReadBack => "read-back",
            Self::Provider => "provider",
            Self::Roles => "roles",
            Self::ApiServer => "api-server",
            Self::Webhook => "webhook",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GenerateKey { private, algorithm } => {
                write!(f, "generate signing key {private} ({algorithm}, mode 0600)")
            }
            Self::RestorePublicKey { public } => {
                write!(f, "write {public}, the public half of the key beside it")
            }
            Self::Bucket(change) => change.fmt(f),
            Self::Distribution(change) => change.fmt(f),
            Self::Document(change) => change.fmt(f),
            Self::ReadBack { issuer } => write!(f, "read both documents back through {issuer}"),
            Self::Provider(change) => change.fmt(f),
            Self::Role { name, change } => write!(f, "role {name}: {change}"),
            Self::File(FileChange { path, diff }) => {
                write!(f, "update {path}\n{}", diff.trim_end())
            }
            Self::Object(ObjectChange { verb, object }) => write!(f, "{verb} {object}"),
            Self::Later { text, .. } => {
                write!(f, "{text} (details when what it depends on is there)")
            }
        }
    }
}
