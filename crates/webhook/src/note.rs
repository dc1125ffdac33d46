//! What is said about a pod instead of silence: in the answer as warnings, in logs, Events and metrics.

use crate::settings::REQUIRE_LABEL;

/// Something that a person should know about one pod. No value of a variable and no content of a pod beyond names
/// is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The role is not one that IAM could know.
    BadRoleArn {
        /// As written.
        role: String,
    },
    /// The token would have the API server's own audience.
    EmptyAudience,
    /// An annotation's value says nothing.
    IgnoredAnnotation {
        /// Which.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The service account has annotations whose value says nothing.
    IgnoredOnAccount {
        /// How many.
        count: u8,
    },
    /// `skip-containers` names a container that is not there.
    SkipsNothing {
        /// The name as read.
        name: String,
    },
    /// A container sets one of two variables that belong together, which keeps the other away.
    HalfDefined {
        /// The container.
        container: String,
        /// What it lacks.
        missing: &'static str,
    },
    /// A container mounts something else where the token belongs.
    MountPathTaken {
        /// The container.
        container: String,
        /// Where.
        path: String,
        /// The volume that is mounted there.
        volume: String,
    },
    /// The pod has a volume of our name with another content.
    ForeignVolume {
        /// Its name.
        volume: String,
    },
    /// The service account does not exist.
    NoSuchAccount,
    /// Nobody knows whether the service account has a role.
    AccountUnknown {
        /// Why.
        why: String,
    },
    /// The pod requires a role and its service account has none.
    RoleRequired,
}

impl Note {
    /// A word for metrics and Events, in the form of Kubernetes' Event reasons.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRoleArn { .. } => "InvalidRoleARN",
            Self::EmptyAudience => "EmptyAudience",
            Self::IgnoredAnnotation { .. } | Self::IgnoredOnAccount { .. } => "IgnoredAnnotation",
            Self::SkipsNothing { .. } => "SkippedContainerMissing",
            Self::HalfDefined { .. } => "CredentialsHalfDefined",
            Self::MountPathTaken { .. } => "MountPathTaken",
            Self::ForeignVolume { .. } => "TokenVolumeTaken",
            Self::NoSuchAccount => "ServiceAccountMissing",
            Self::AccountUnknown { .. } => "ServiceAccountUnknown",
            Self::RoleRequired => "RoleRequired",
        }
    }

    /// Whether the pod, or a container of it, lacks credentials because of it.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::EmptyAudience
            | Self::IgnoredAnnotation { .. }
            | Self::IgnoredOnAccount { .. }
            | Self::SkipsNothing { .. }
            | Self::HalfDefined { .. } => false,
            Self::BadRoleArn { .. }
            | Self::MountPathTaken { .. }
            | Self::ForeignVolume { .. }
            | Self::NoSuchAccount
            | Self::AccountUnknown { .. }
            | Self::RoleRequired => true,
        }
    }

    /// One sentence with what to do, for a person.
    pub fn sentence(&self) -> String {
        match self {
            Self::BadRoleArn { role } => format!(
                "\"{role}\" is not the ARN of an IAM role like arn:aws:iam::111122223333:role/NAME; STS will refuse it"
            ),
            Self::EmptyAudience => {
                "the audience annotation is empty, so the token is for the API server and STS will refuse it".into()
            }
            Self::IgnoredAnnotation { key, expected } => {
                format!("annotation {key} is ignored: its value is not {expected}")
            }
            Self::IgnoredOnAccount { count } => format!(
                "{count} annotation(s) of the service account are ignored: token-expiration is a number of seconds, sts-regional-endpoints true or false"
            ),
            Self::SkipsNothing { name } => {
                format!("skip-containers names \"{name}\", and no container has that name (blanks count)")
            }
            Self::HalfDefined { container, missing } => format!(
                "container \"{container}\" sets a part of the AWS credentials variables itself, so {missing} is not injected"
            ),
            Self::MountPathTaken { container, path, volume } => format!(
                "container \"{container}\" gets no AWS credentials: it mounts volume \"{volume}\" at {path}, where the token belongs"
            ),
            Self::ForeignVolume { volume } => format!(
                "the pod gets no AWS credentials: it has a volume \"{volume}\" of its own that does not hold the token; rename that volume"
            ),
            Self::NoSuchAccount => "the pod gets no AWS credentials: its service account does not exist".into(),
            Self::AccountUnknown { why } => {
                format!("the pod gets no AWS credentials: its service account cannot be read ({why})")
            }
            Self::RoleRequired => format!(
                "the pod has the label {REQUIRE_LABEL} and its service account has no role; annotate the service account with a role ARN"
            ),
        }
    }
}
