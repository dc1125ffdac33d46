//! What is injected: the flags of amazon-eks-pod-identity-webhook, under their names, with their defaults.

use std::num::ParseIntError;

use clap::{Args, Parser as _};
use irsa_core::partition::Partition;
use irsa_webhook::role::Account;
use irsa_webhook::settings::{ContainerCredentials, DEFAULT_EXPIRATION, ForeignVolume, Settings};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::report::{self, Failure};

/// What pods get.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Injection")]
pub struct InjectionArgs {
    /// Prefix of the annotations on service accounts and pods
    #[arg(long, value_name = "PREFIX", default_value = "eks.amazonaws.com")]
    pub annotation_prefix: String,
    /// Audience of the token, unless the service account names one
    #[arg(long, value_name = "AUDIENCE", default_value = "sts.amazonaws.com")]
    pub token_audience: String,
    /// Where the token is mounted
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
    )]
    pub token_mount_path: String,
    /// Life of the token in seconds, at least 600, unless the pod or the service account says otherwise
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value_t = DEFAULT_EXPIRATION, allow_negative_numbers = true)]
    pub token_expiration: i64,
    /// Region for pods that set none
    #[arg(
        long,
        value_name = "REGION",
        default_value = "",
        hide_default_value = true
    )]
    pub aws_default_region: String,
    /// Have SDKs use the Region's own STS endpoint, unless the service account says otherwise
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool, action = clap::ArgAction::Set)]
    pub sts_regional_endpoint: bool,
    /// Take role names and paths besides ARNs in the role-arn annotation; needs --account-id
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool, action = clap::ArgAction::Set)]
    pub compose_role_arn: bool,
    /// Account of roles that are named without ARN
    #[arg(long, value_name = "ID")]
    pub account_id: Option<String>,
    /// Partition of that account [default: that of --aws-default-region, else aws]
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// A pod has a volume "aws-iam-token" of its own: skip the pod and say so, or keep that volume and inject the rest
    #[arg(long, value_enum, value_name = "WHAT", default_value = "skip")]
    pub foreign_volume: Foreign,
    /// Audience of the token in the container credentials mode
    #[arg(
        long,
        value_name = "AUDIENCE",
        default_value = "pods.eks.amazonaws.com",
        hide_short_help = true
    )]
    pub container_credentials_audience: String,
    /// Where that token is mounted
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
        hide_short_help = true
    )]
    pub container_credentials_token_mount_path: String,
    /// Name of its volume
    #[arg(
        long,
        value_name = "NAME",
        default_value = "eks-pod-identity-token",
        hide_short_help = true
    )]
    pub container_credentials_token_volume_name: String,
    /// Its file name in the volume
    #[arg(
        long,
        value_name = "NAME",
        default_value = "eks-pod-identity-token",
        hide_short_help = true
    )]
    pub container_credentials_token_path: String,
    /// Where the agent on the node listens
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://169.254.170.23/v1/credentials",
        hide_short_help = true
    )]
    pub container_credentials_full_uri: String,
}

/// What is done with a pod that has a volume of our name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Foreign {
    /// Leave the pod alone, and say so.
    Skip,
    /// Keep the volume and inject the rest, as upstream does.
    Keep,
}

/// What pods get by the configuration file, for commands without flags of the webhook.
pub(in crate::commands) fn of_file(context: &Context) -> Result<Settings, Failure> {
    /// A command line on which nothing is typed.
    #[derive(clap::Parser)]
    struct Untyped {
        #[command(flatten)]
        injection: InjectionArgs,
    }
    let untyped = Untyped::try_parse_from(["irsa"]).map_err(|error| {
        Failure::usage(error.to_string(), "correct webhook: in the configuration")
    })?;
    let mut injection = untyped.injection.over(context);
    // In which account roles are composed may be said by a flag of the webhook, which nobody types here.
    injection.compose_role_arn &= injection.account_id.is_some();
    injection.laid()
}

/// The prefix of annotations by the configuration file.
pub(in crate::commands) fn prefix_of_file(context: &Context) -> String {
    let given = context.config.webhook.annotation_prefix.clone();
    given.unwrap_or_else(|| Settings::default().annotation_prefix)
}

impl InjectionArgs {
    /// The settings of the injection, over those of the configuration file.
    pub fn settings(self, context: &Context) -> Result<Settings, Failure> {
        self.over(context).laid()
    }

    /// The settings of the injection, by these flags alone.
    pub(super) fn laid(self) -> Result<Settings, Failure> {
        let account = self.account()?;
        self.check()?;
        let Self {
            annotation_prefix,
            token_audience,
            token_mount_path,
            token_expiration,
            aws_default_region,
            sts_regional_endpoint,
            compose_role_arn: _,
            account_id: _,
            partition: _,
            foreign_volume,
            container_credentials_audience,
            container_credentials_token_mount_path,
            container_credentials_token_volume_name,
            container_credentials_token_path,
            container_credentials_full_uri,
        } = self;
        let mut settings = Settings::default();
        settings.annotation_prefix = annotation_prefix;
        settings.audience = token_audience;
        settings.mount_path = token_mount_path;
        settings.set_token_expiration(token_expiration);
        if settings.token_expiration() != token_expiration {
            report::warning(&format!(
                "--token-expiration {token_expiration}: {} is taken, as kube-apiserver issues no other lives",
                settings.token_expiration()
            ));
        }
        settings.default_region = Some(aws_default_region).filter(|region| !region.is_empty());
        settings.regional_sts = sts_regional_endpoint;
        settings.account = account;
        settings.foreign_volume = match foreign_volume {
            Foreign::Skip => ForeignVolume::Skip,
            Foreign::Keep => ForeignVolume::Keep,
        };
        settings.container_credentials = ContainerCredentials {
            audience: container_credentials_audience,
            mount_path: container_credentials_token_mount_path,
            volume_name: container_credentials_token_volume_name,
            token_path: container_credentials_token_path,
            full_uri: container_credentials_full_uri,
        };
        Ok(settings)
    }

    /// What kube-apiserver would refuse in every pod with a role, or nobody could have meant.
    fn check(&self) -> Result<(), Failure> {
        for (flag, path) in [
            ("--token-mount-path", &self.token_mount_path),
            (
                "--container-credentials-token-mount-path",
                &self.container_credentials_token_mount_path,
            ),
        ] {
            // Kubernetes: of a volume mount, "must not contain ':'", and a path that is not absolute is below the root.
            if !path.starts_with('/') || path.contains(':') {
                return Err(Failure::usage(
                    format!("{flag} \"{path}\" is not a path in a container"),
                    "give an absolute path without a colon, or leave it out",
                ));
            }
        }
        if self.annotation_prefix.is_empty() {
            return Err(Failure::usage(
                "--annotation-prefix is empty: no annotation would be found",
                "leave it out for eks.amazonaws.com",
            ));
        }
        let region = &self.aws_default_region;
        let part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !region.bytes().all(part) {
            return Err(Failure::usage(
                format!("--aws-default-region \"{region}\" is no name of a Region"),
                "give it as AWS writes it, like eu-central-1",
            ));
        }
        let name = &self.container_credentials_token_volume_name;
        let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty()
            || name.len() > 63
            || !name.bytes().all(label)
            || name.starts_with('-')
            || name.ends_with('-')
        {
            return Err(Failure::usage(
                format!(
                    "--container-credentials-token-volume-name \"{name}\" is no name of a volume"
                ),
                "give up to 63 lower-case letters, digits and hyphens, beginning and ending in a letter or digit",
            ));
        }
        Ok(())
    }

    /// Upstream asks the EC2 instance for account and Region. Outside of EC2 nobody answers, so they are given.
    fn account(&self) -> Result<Option<Account>, Failure> {
        match (&self.account_id, self.compose_role_arn) {
            (None, false) => Ok(None),
            (None, true) => Err(Failure::usage(
                "--compose-role-arn does not say in which account",
                "add --account-id ID: there is no EC2 instance to ask on a self-hosted cluster",
            )),
            (Some(id), _) => {
                let partition = self
                    .partition
                    .as_deref()
                    .unwrap_or_else(|| Partition::of_region(&self.aws_default_region).name);
                Account::new(id, partition).map(Some).map_err(|error| {
                    Failure::usage(
                        error.to_string(),
                        "give --account-id 111122223333, and --partition as in the ARNs of the roles",
                    )
                })
            }
        }
    }
}

/// A boolean as pflag reads it: `--flag`, `--flag=false`, `--flag=0`.
pub(super) fn go_bool(text: &str) -> Result<bool, String> {
    irsa_webhook::identity::parse_bool(text).ok_or_else(|| "true or false".to_owned())
}

fn seconds(text: &str) -> Result<i64, ParseIntError> {
    text.parse()
}
