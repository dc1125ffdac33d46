//! Access to AWS: which account, which Region, which endpoint.
//!
//! Credentials come from the AWS SDK's own chain (environment, shared files, SSO, credential process, web identity,
//! instance role); irsa has no option that takes one, so that none is ever in a command line.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::ProvideErrorMetadata;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_types::service_config::ServiceConfigKey;
use clap::Args;
use irsa_aws::client::client;
use irsa_core::explain::{Explain, chain};
use irsa_iam::caller;
use irsa_issuer::relying_party;

use crate::report::{Failed, Failure};

/// AWS.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "AWS")]
pub struct AwsArgs {
    /// AWS Region [default: AWS_REGION, else the profile's]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Profile of the shared AWS configuration files [default: AWS_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Endpoint of an AWS-compatible service instead of AWS; the SDK's AWS_ENDPOINT_URL_S3 and its like work too
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
}

impl AwsArgs {
    /// Whether any of it was said.
    pub fn given(&self) -> bool {
        let all = [&self.region, &self.profile, &self.endpoint_url];
        all.into_iter().any(Option::is_some)
    }

    /// What every AWS client is made from. Reads files and may ask the instance for its Region; asks for credentials
    /// only when the first request is signed.
    pub async fn load(&self, ca_file: Option<&Path>) -> Result<SdkConfig, Failure> {
        let Self {
            region,
            profile,
            endpoint_url,
        } = self.clone();
        // The pinned version keeps retries and defaults the same until somebody reads the release notes.
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = endpoint_url {
            loader = loader.endpoint_url(url);
        }
        // The SDK would panic on a file that holds no certificate.
        let roots = ca_file.map(relying_party::read_ca_file).transpose()?;
        let client = client(roots).map_err(|error| {
            Failure::system("TLS to AWS cannot be set up", &io::Error::other(error))
        })?;
        Ok(loader.http_client(client).load().await)
    }
}

/// Whether tokens are judged by AWS itself, and not by a service that speaks its protocols.
pub fn is_amazon(config: &SdkConfig) -> bool {
    ["IAM", "STS"]
        .iter()
        .all(|service| endpoint(config, service).is_none())
}

/// The endpoint of one service (`s3`, `iam`), if it is not AWS's own: from `--endpoint-url`, `AWS_ENDPOINT_URL_*`,
/// `AWS_ENDPOINT_URL` or the profile, in the SDK's order.
pub fn endpoint(config: &SdkConfig, service: &str) -> Option<String> {
    let general = || config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return general();
    }
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let own = config
        .service_config()
        .zip(key.ok())
        .and_then(|(config, key)| config.load_config(key));
    own.or_else(general)
}

/// The Region that requests go to.
pub fn region(config: &SdkConfig) -> Result<String, Failure> {
    let region = config.region().map(ToString::to_string);
    region.ok_or_else(|| {
        Failure::usage(
            "no AWS Region is known",
            "add --region REGION, or set AWS_REGION",
        )
    })
}

/// The account of the credentials in force: from the credentials themselves where they name it, else from STS.
pub async fn account(config: &SdkConfig) -> Result<String, Failure> {
    let credentials = credentials(config).await;
    match credentials?.account_id() {
        Some(account) => Ok(account.as_str().to_owned()),
        None => Ok(identify(config).await?.account),
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsMissing {
    /// None are configured, or what is configured is wrong.
    #[error("no AWS credentials are found")]
    None(#[source] Option<CredentialsError>),
    /// Whoever hands them out (STS, SSO, the instance, a process) did not this time.
    #[error("AWS credentials cannot be had now")]
    Refused(#[source] CredentialsError),
}

impl Explain for CredentialsMissing {
    fn help(&self) -> Option<String> {
        Some(CREDENTIALS_HELP.into())
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Refused(error) if !is_lasting(error))
    }

    fn refused(&self) -> bool {
        matches!(self, Self::None(_))
    }
}

/// The credentials in force: missing ones are told from refused ones before AWS is asked.
pub async fn credentials(config: &SdkConfig) -> Result<Credentials, CredentialsMissing> {
    let provider = config.credentials_provider();
    let provider = provider.ok_or(CredentialsMissing::None(None))?;
    provider.provide_credentials().await.map_err(|error| {
        if are_missing(&error) {
            CredentialsMissing::None(Some(error))
        } else {
            CredentialsMissing::Refused(error)
        }
    })
}

/// Whether nobody was there who could have handed them out. What the SDK cannot sort is an agent that does not answer, or
/// not in JSON: the pod identity agent while it restarts.
fn are_missing(error: &CredentialsError) -> bool {
    matches!(
        error,
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
    )
}

/// Whether the next try would end in the same way: STS refuses the role or the token, or a file that was named is not there
/// or may not be read.
fn is_lasting(error: &CredentialsError) -> bool {
    chain(error).any(|cause| {
        let file = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let gone = matches!(
            file,
            Some(ErrorKind::NotFound | ErrorKind::PermissionDenied)
        );
        let web_identity = cause.downcast_ref::<AssumeRoleWithWebIdentityError>();
        let role = cause.downcast_ref::<AssumeRoleError>();
        let code = web_identity.map_or_else(
            || role.and_then(ProvideErrorMetadata::code),
            ProvideErrorMetadata::code,
        );
        gone || code.is_some_and(|code| LASTING.contains(&code))
    })
}

/// STS: what only a change of the role, the provider or the token mends. `IDPCommunicationError` and throttling are not here.
const LASTING: [&str; 8] = [
    "AccessDenied",
    "InvalidIdentityToken",
    "IDPRejectedClaim",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "RegionDisabledException",
    "ValidationError",
    "PackedPolicyTooLarge",
];

/// What to say when this is why a request could not be signed.
pub(crate) fn no_credentials(cause: &(dyn Error + 'static)) -> Option<Failed> {
    let error = cause.downcast_ref().filter(|error| are_missing(error))?;
    Some(Failed::no_credentials(CREDENTIALS_HELP, error))
}

/// Whether a request could not be signed because nobody handed credentials out this time.
pub(crate) fn are_late(cause: &(dyn Error + 'static)) -> bool {
    let error: Option<&CredentialsError> = cause.downcast_ref();
    error.is_some_and(|error| !are_missing(error) && !is_lasting(error))
}

/// Who asks, from STS.
pub async fn identify(config: &SdkConfig) -> Result<caller::Caller, Failure> {
    Ok(caller::identify(&aws_sdk_sts::Client::new(config)).await?)
}

/// Pauses between looks at something that was just changed: AWS shows some changes, such as a bucket policy, seconds later.
pub(crate) const PAUSES: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

const CREDENTIALS_HELP: &str = "log in as for the aws command: aws sts get-caller-identity must succeed; irsa takes credentials from \
     the environment, the shared files, SSO, a credential process or the instance, never from an option";
