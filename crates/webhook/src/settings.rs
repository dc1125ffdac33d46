//! What the webhook injects: the part of its configuration that decides about pods.

use crate::role::{Account, clamp_expiration};

/// Everything that upstream's flags say about the injection, with upstream's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The prefix of the annotations on service accounts and pods.
    pub annotation_prefix: String,
    /// The audience of tokens whose service account names none.
    pub audience: String,
    /// Where the token is mounted, as given.
    pub mount_path: String,
    /// How long tokens live whose service account and pod say nothing, in seconds.
    pub(crate) token_expiration: i64,
    /// The Region for pods that name none.
    pub default_region: Option<String>,
    /// Whether SDKs are told to use the Region's own STS endpoint.
    pub regional_sts: bool,
    /// The account whose roles may be named without ARN.
    pub account: Option<Account>,
    /// What is done with a pod that has a volume of the token volume's name and another content.
    pub foreign_volume: ForeignVolume,
    /// What pods in the container credentials mode get.
    pub container_credentials: ContainerCredentials,
}

/// A pod already has a volume of our name that does not hold our token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignVolume {
    /// Leave the pod alone and say so: its containers would look for a token that is not there.
    #[default]
    Skip,
    /// Inject everything but the volume, as amazon-eks-pod-identity-webhook does.
    Keep,
}

/// The mode of EKS Pod Identity: an agent on the node gives credentials for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerCredentials {
    /// The audience of the token.
    pub audience: String,
    /// Where the token is mounted.
    pub mount_path: String,
    /// The name of the volume.
    pub volume_name: String,
    /// The file name of the token in the volume.
    pub token_path: String,
    /// Where the agent listens.
    pub full_uri: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            annotation_prefix: "eks.amazonaws.com".into(),
            audience: "sts.amazonaws.com".into(),
            mount_path: "/var/run/secrets/eks.amazonaws.com/serviceaccount".into(),
            token_expiration: DEFAULT_EXPIRATION,
            default_region: None,
            regional_sts: false,
            account: None,
            foreign_volume: ForeignVolume::default(),
            container_credentials: ContainerCredentials::default(),
        }
    }
}

impl Default for ContainerCredentials {
    fn default() -> Self {
        Self {
            audience: "pods.eks.amazonaws.com".into(),
            mount_path: "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount".into(),
            volume_name: "eks-pod-identity-token".into(),
            token_path: "eks-pod-identity-token".into(),
            full_uri: "http://169.254.170.23/v1/credentials".into(),
        }
    }
}

impl Settings {
    /// Sets the life of tokens, in seconds, raised to what the API server accepts.
    pub fn set_token_expiration(&mut self, seconds: i64) {
        self.token_expiration = clamp_expiration(seconds);
    }

    /// How long tokens live whose service account and pod say nothing, in seconds.
    pub fn token_expiration(&self) -> i64 {
        self.token_expiration
    }

    /// An annotation's full name.
    pub fn annotation(&self, name: &str) -> String {
        format!("{}/{name}", self.annotation_prefix)
    }
}

/// One day, in seconds: upstream's default, and what the container credentials mode spreads.
pub const DEFAULT_EXPIRATION: i64 = 86_400;
/// The volume of the web identity mode.
pub const WEB_IDENTITY_VOLUME: &str = "aws-iam-token";
/// The token's file name in it.
pub const WEB_IDENTITY_TOKEN: &str = "token";
/// The label of pods in the container credentials mode.
pub const CONTAINER_CREDENTIALS_LABEL: &str = "eks.amazonaws.com/pod-identity";
/// The label with which a pod keeps every webhook of this kind away.
pub const SKIP_LABEL: &str = "eks.amazonaws.com/skip-pod-identity-webhook";
/// The label with which a pod asks not to start without its role.
pub const REQUIRE_LABEL: &str = "irsa/require-role";
/// Where that label demands nothing, in our registration: a cluster must be able to start without the webhook.
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
