//! Access to AWS: which account, which Region, which endpoint.
//!
//! Credentials come from the AWS SDK's own chain (environment, shared files, SSO, credential process, web identity,
//! instance role); irsa has no option that takes one, so that none is ever in a command line.

use std::io;
use std::path::Path;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use clap::Args;
use irsa_issuer::relying_party;

use crate::report::Failure;

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
        if let Some(path) = ca_file {
            // The SDK would panic on a file that holds no certificate.
            let roots =
                TrustStore::default().with_pem_certificate(relying_party::read_ca_file(path)?);
            let tls = TlsContext::builder().with_trust_store(roots).build();
            let tls = tls.map_err(|error| {
                Failure::system("TLS to AWS cannot be set up", &io::Error::other(error))
            })?;
            let client = Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(tls)
                .build_https();
            loader = loader.http_client(client);
        }
        Ok(loader.load().await)
    }
}
