//! `irsa iam provider`.

mod thumbprint;

use std::collections::BTreeMap;

use aws_sdk_iam::Client;
use clap::Subcommand;
use irsa_core::issuer::IssuerUrl;
use irsa_core::provider::{
    self, ProviderArn, ProviderChange, ProviderState, ProviderWanted, STS_AUDIENCE,
};
use irsa_iam::{format, provider as iam};
use serde::Serialize;

pub(crate) use self::thumbprint::needed_ca_thumbprint;
use super::{
    PlanArgs, PlanFormat, account_id, is_ours, provider_arn, tag, tags, told, warn_of_issuer,
};
use crate::args::{FetchArgs, IssuerArgs};
use crate::aws::AwsArgs;
use crate::commands;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Render};
use crate::report::Failure;
use crate::visible::visible;

/// The commands about the provider.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Apply(Box<ApplyArgs>),
    Show(ShowArgs),
    Delete(DeleteArgs),
}

/// Make the OIDC provider of an issuer, or mend it.
///
/// What is missing is added, nothing is removed unless --prune, and what is added comes first. AWS looks at thumbprints
/// only when the issuer's certificate does not end in a public root: whether it does is found out by a look at the host
/// of the jwks_uri, and a thumbprint is sent only if AWS needs it.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// An audience that tokens may have (several: repeat it)
    #[arg(long, value_name = "AUDIENCE", default_value = STS_AUDIENCE)]
    pub client_id: Vec<String>,
    /// A CA thumbprint, instead of looking at the issuer (several: repeat it)
    #[arg(long, value_name = "HEX")]
    pub thumbprint: Vec<String>,
    /// Do not look at the issuer, and send no thumbprint
    #[arg(long, conflicts_with = "thumbprint")]
    pub no_thumbprint: bool,
    /// A tag to set, besides irsa:managed (several: repeat it)
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub tag: Vec<(String, String)>,
    /// Remove client IDs and thumbprints that are not named
    #[arg(long)]
    pub prune: bool,
    /// Show, compare, or print for another tool.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Looking at the issuer.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Show the OIDC provider of an issuer as IAM has it.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// The account that it is in [default: that of the credentials]
    #[arg(long, value_name = "ACCOUNT", value_parser = account_id)]
    pub account_id: Option<String>,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Trust.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Delete the OIDC provider of an issuer: from then on AWS accepts no token of it.
///
/// Do it before the issuer's bucket or host name goes: whoever gets the name while the provider is there can have tokens
/// of their own accepted.
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// Delete it although it has no tag irsa:managed
    #[arg(long)]
    pub force: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Trust.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

#[derive(Serialize)]
struct Applied {
    arn: String,
    applied: bool,
    changes: Vec<String>,
}

impl Render for Applied {
    fn text(&self) -> String {
        told(&self.arn, &self.changes, self.applied)
    }
}

/// Makes the provider as it shall be, or shows what that takes.
pub fn apply(args: ApplyArgs, context: &Context) -> Result<Exit, Failure> {
    let ApplyArgs {
        issuer,
        client_id,
        thumbprint,
        no_thumbprint,
        tag,
        prune,
        plan,
        aws,
        fetch,
    } = args;
    let issuer = issuer.require(context)?;
    let mut wanted = ProviderWanted {
        issuer: issuer.clone(),
        client_ids: client_id,
        ca_thumbprints: thumbprint,
        tags: tags(tag),
        prune,
    }
    .checked()
    .map_err(|error| Failure::refused(&error))?;
    context.block_on(async {
        if wanted.ca_thumbprints.is_empty() && !no_thumbprint {
            let found = needed_ca_thumbprint(&issuer, &fetch).await;
            // Why the server is not found may be why AWS would not reach it.
            wanted.ca_thumbprints = found.inspect_err(|_| commands::warn_of_issuer(&issuer))?;
        }
        if let Some(text) = whole(plan.format, &wanted) {
            commands::warn_of_issuer(&issuer);
            output::line(text.trim_end().as_bytes())?;
            return Ok(Exit::Done);
        }
        let config = aws.load(fetch.ca_file.as_deref()).await?;
        warn_of_issuer(&config, &issuer);
        let client = Client::new(&config);
        let arn = provider_arn(&config, &issuer, None).await?;
        let state = iam::observe(&client, &arn).await?;
        let changes = provider::plan(&wanted, state.as_ref())?;
        if plan.format.is_some() {
            output::line(format::provider_commands(&arn, &changes).as_bytes())?;
            return Ok(Exit::Done);
        }
        let shown_only = plan.dry_run || plan.check;
        let arn = if shown_only {
            arn
        } else {
            carry_out(&client, arn, &issuer, &changes).await?
        };
        context.print(&Applied {
            arn: arn.to_string(),
            applied: !shown_only && !changes.is_empty(),
            changes: changes.iter().map(ToString::to_string).collect(),
        })?;
        Ok(if plan.check && !changes.is_empty() {
            Exit::Differences
        } else {
            Exit::Done
        })
    })
}

/// The forms that say everything, whatever there is now.
fn whole(format: Option<PlanFormat>, wanted: &ProviderWanted) -> Option<String> {
    match format? {
        PlanFormat::AwsCli => None,
        PlanFormat::Terraform => Some(format::provider_terraform(wanted)),
        PlanFormat::Cloudformation => Some(format::provider_cloudformation(wanted)),
    }
}

/// Makes the changes and looks at the provider again; its ARN as the service made it.
async fn carry_out(
    client: &Client,
    arn: ProviderArn,
    issuer: &IssuerUrl,
    changes: &[ProviderChange],
) -> Result<ProviderArn, Failure> {
    let mut made = false;
    for change in changes {
        iam::apply(client, &arn, change).await?;
        made |= matches!(change, ProviderChange::Create(_));
        let text = change.to_string();
        tracing::info!(%arn, "{}", text.lines().next().unwrap_or_default());
    }
    if made && iam::observe(client, &arn).await?.is_none() {
        return Ok(iam::find(client, issuer).await?.unwrap_or(arn));
    }
    Ok(arn)
}

#[derive(Serialize)]
struct Shown {
    arn: String,
    url: String,
    client_ids: Vec<String>,
    thumbprints: Vec<String>,
    tags: BTreeMap<String, String>,
}

impl Render for Shown {
    fn text(&self) -> String {
        let list = |list: &[String]| {
            list.iter()
                .map(|one| visible(one))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let tags: Vec<String> = self
            .tags
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!(
            "arn          {}\nurl          {}\nclient IDs   {}\nthumbprints  {}\ntags         {}",
            self.arn,
            visible(&self.url),
            list(&self.client_ids),
            list(&self.thumbprints),
            list(&tags),
        )
    }
}

/// Prints the provider.
pub fn show(args: ShowArgs, context: &Context) -> Result<Exit, Failure> {
    let ShowArgs {
        issuer,
        account_id,
        aws,
        fetch,
    } = args;
    let issuer = issuer.require(context)?;
    context.block_on(async {
        let config = aws.load(fetch.ca_file.as_deref()).await?;
        let client = Client::new(&config);
        let arn = provider_arn(&config, &issuer, account_id.as_deref()).await?;
        let ProviderState {
            url,
            client_ids,
            ca_thumbprints,
            tags,
        } = existing(&client, &arn).await?;
        context.print(&Shown {
            arn: arn.to_string(),
            url,
            client_ids,
            thumbprints: ca_thumbprints,
            tags,
        })?;
        Ok(Exit::Done)
    })
}

async fn existing(client: &Client, arn: &ProviderArn) -> Result<ProviderState, Failure> {
    iam::observe(client, arn).await?.ok_or_else(|| {
        Failure::failed(
            format!("the account has no OIDC provider {arn}"),
            "irsa iam provider apply makes it; if you expected one, compare account and issuer byte for byte",
        )
    })
}

/// Deletes the provider.
pub fn delete(args: DeleteArgs, context: &Context) -> Result<Exit, Failure> {
    let DeleteArgs {
        issuer,
        force,
        dry_run,
        aws,
        fetch,
    } = args;
    // What is deleted is named: a configuration file that lies about is no order.
    if issuer.issuer.is_none() {
        return Err(Failure::usage(
            "no issuer given",
            "add --issuer URL of the provider that is to be deleted",
        ));
    }
    let issuer = issuer.require(context)?;
    context.block_on(async {
        let config = aws.load(fetch.ca_file.as_deref()).await?;
        let client = Client::new(&config);
        let arn = provider_arn(&config, &issuer, None).await?;
        let state = iam::observe(&client, &arn).await?;
        let changes = match &state {
            None => Vec::new(),
            Some(state) if !is_ours(&state.tags) && !force => {
                return Err(Failure::failed(
                    format!("OIDC provider {arn} has no tag irsa:managed: irsa did not make it"),
                    "add --force to delete it all the same",
                ));
            }
            Some(_) => vec![format!("delete OIDC provider {arn}")],
        };
        if !dry_run && state.is_some() {
            iam::delete(&client, &arn).await?;
        }
        context.print(&Applied {
            arn: arn.to_string(),
            applied: !dry_run && state.is_some(),
            changes,
        })?;
        Ok(Exit::Done)
    })
}
