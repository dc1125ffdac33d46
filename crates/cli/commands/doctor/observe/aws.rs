//! IAM, S3 and STS, as far as the credentials reach.

use aws_config::{Region, SdkConfig};
use irsa_core::diagnosis::facts::{
    BucketSeen, Exchange, ProviderSeen, RelyingParty, RoleSeen, Seen, Unseen,
};
use irsa_core::issuer::IssuerUrl;
use irsa_core::provider::ProviderArn;
use irsa_core::store_url::{S3Issuer, S3Location};
use irsa_iam::{caller, observe_exchange, observe_role, provider};
use irsa_issuer::publish::s3::{self, S3Store};

use super::Inputs;
use crate::aws::{self, CredentialsMissing};
use crate::report::Failure;

const LOG_IN: &str = "log in as for the aws command: aws sts get-caller-identity must succeed; irsa iam permissions doctor prints \
     what is looked at";
/// Where none is set: a request cannot be made without one.
const ANY_REGION: &str = "us-east-1";

/// AWS, or a service like it, for one look.
pub(super) struct Aws<'a> {
    inputs: &'a Inputs,
    /// None when AWS is not to be asked.
    config: Option<SdkConfig>,
    /// The account of the credentials, or why it is not known.
    account: Result<Caller, Unseen>,
}

#[derive(Clone)]
struct Caller {
    partition: String,
    account: String,
}

impl<'a> Aws<'a> {
    pub(super) async fn load(inputs: &'a Inputs) -> Result<Self, Failure> {
        if inputs.no_aws {
            let unseen = Unseen::not_asked("AWS was not asked", "leave --no-aws out");
            return Ok(Self {
                inputs,
                config: None,
                account: Err(unseen),
            });
        }
        let config = inputs.aws.load(inputs.fetch.ca_file.as_deref()).await?;
        // IAM has no Region, and STS is in every one.
        let config = match config.region() {
            Some(_) => config,
            None => config
                .into_builder()
                .region(Region::from_static(ANY_REGION))
                .build(),
        };
        let account = signed_in(&config).await;
        Ok(Self {
            inputs,
            config: Some(config),
            account,
        })
    }

    pub(super) fn relying_party(&self) -> RelyingParty {
        if self.config.as_ref().is_none_or(aws::is_amazon) {
            RelyingParty::Aws
        } else {
            RelyingParty::Other
        }
    }

    /// The configuration, if there are credentials and they are of the account of the role.
    fn signed(&self) -> Result<(&SdkConfig, &Caller), Unseen> {
        let caller = self.account.as_ref().map_err(Clone::clone)?;
        let config = self
            .config
            .as_ref()
            .ok_or_else(|| Unseen::not_asked("AWS was not asked", "leave --no-aws out"))?;
        let role = self.inputs.role_arn.as_deref().and_then(account_of);
        match role {
            Some(account)
                if account != caller.account && self.relying_party() == RelyingParty::Aws =>
            {
                Err(Unseen::not_asked(
                    format!(
                        "the role is in account {account}, the credentials are of account {}",
                        caller.account
                    ),
                    format!("use credentials of account {account}: --profile NAME"),
                ))
            }
            _ => Ok((config, caller)),
        }
    }

    pub(super) async fn provider(&self) -> Seen<ProviderSeen> {
        let (config, caller) = match self.signed() {
            Ok(signed) => signed,
            Err(unseen) => return Seen::Unseen(unseen),
        };
        let client = aws_sdk_iam::Client::new(config);
        let issuer = &self.inputs.issuer;
        // Who may not list may still get.
        let others = provider::list(&client).await.unwrap_or_default();
        let arn = self.arn(&others, issuer, caller);
        match provider::observe(&client, &arn).await {
            Ok(state) => Seen::Found(ProviderSeen { arn, state, others }),
            Err(error) => Seen::Unseen(Unseen::from(&error)),
        }
    }

    /// AWS makes the ARN of account and URL; of other services it is looked up.
    fn arn(&self, others: &[ProviderArn], issuer: &IssuerUrl, caller: &Caller) -> ProviderArn {
        let found = others.iter().find(|arn| arn.is_of(issuer));
        match found {
            Some(arn) if self.relying_party() == RelyingParty::Other => arn.clone(),
            _ => ProviderArn::of(issuer, &caller.partition, &caller.account),
        }
    }

    pub(super) async fn role(&self) -> Seen<RoleSeen> {
        let Some(arn) = &self.inputs.role_arn else {
            let help = "add --role-arn ARN";
            return Seen::Unseen(Unseen::not_asked("no role was given", help));
        };
        let config = match self.signed() {
            Ok((config, _)) => config,
            Err(unseen) => return Seen::Unseen(unseen),
        };
        let client = aws_sdk_iam::Client::new(config);
        let name = arn.rsplit('/').next().unwrap_or_default();
        match observe_role::look(&client, name).await {
            Ok(found) => Seen::Found(RoleSeen {
                arn: arn.clone(),
                found,
            }),
            Err(error) => Seen::Unseen(Unseen::from(&error)),
        }
    }

    pub(super) async fn bucket(&self) -> Seen<BucketSeen> {
        let recognised = S3Issuer::recognise(&self.inputs.issuer);
        let given = self.inputs.bucket.clone();
        let of_issuer = recognised.as_ref().map(|issuer| issuer.location.clone());
        let Some(location) = given.or(of_issuer) else {
            let help = "add --bucket s3://BUCKET/PREFIX, if the documents stand in one";
            return Seen::Unseen(Unseen::not_asked("no bucket was given", help));
        };
        let (Some(config), Ok(caller)) = (&self.config, &self.account) else {
            let unseen = self.account.as_ref().err().cloned();
            return Seen::Unseen(
                unseen.unwrap_or_else(|| Unseen::not_asked("AWS was not asked", "")),
            );
        };
        let store = self.store(config, caller, location.clone(), recognised);
        Seen::Found(BucketSeen {
            location,
            existence: store.look_for_bucket().await,
            block: store.look_at_block().await,
            account_block: Seen::Unseen(Unseen::not_asked(
                "Block Public Access of the account was not looked at",
                format!(
                    "aws s3control get-public-access-block --account-id {}",
                    caller.account
                ),
            )),
            policy: store.look_at_policy().await,
        })
    }

    fn store(
        &self,
        config: &SdkConfig,
        caller: &Caller,
        location: S3Location,
        recognised: Option<S3Issuer>,
    ) -> S3Store {
        let compatible = aws::endpoint(config, "S3").is_some();
        let region = recognised.and_then(|issuer| issuer.region);
        let client = match region {
            Some(region) => {
                let config = config.to_builder().region(Region::new(region)).build();
                s3::client(&config, compatible)
            }
            None => s3::client(config, compatible),
        };
        let given = self.inputs.bucket_owner.clone();
        // The accounts of other stores are their own matter.
        let owner = given.or_else(|| (!compatible).then(|| caller.account.clone()));
        S3Store::new(client, location, owner)
    }

    /// Needs no credentials.
    pub(super) async fn exchange(&self, token: &str) -> Seen<Exchange> {
        let (Some(config), Some(role)) = (&self.config, &self.inputs.role_arn) else {
            return Seen::Unseen(Unseen::not_asked("STS was not asked", "add --role-arn ARN"));
        };
        let client = aws_sdk_sts::Client::new(config);
        observe_exchange::exchange(&client, role, token)
            .await
            .into()
    }
}

/// The fifth field of an ARN.
fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// Who asks. Missing credentials are told from refused ones before STS is asked.
async fn signed_in(config: &SdkConfig) -> Result<Caller, Unseen> {
    aws::credentials(config)
        .await
        .map_err(|error| match error {
            CredentialsMissing::None(_) => {
                Unseen::not_asked("no AWS credentials are found", LOG_IN)
            }
            CredentialsMissing::Refused(_) => Unseen::from(&error),
        })?;
    let asked = caller::identify(&aws_sdk_sts::Client::new(config)).await;
    let caller = asked.map_err(|error| Unseen::from(&error))?;
    Ok(Caller {
        partition: caller.partition,
        account: caller.account,
    })
}
