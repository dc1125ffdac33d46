//! `irsa iam role`.

mod annotate;
pub mod apply;
pub mod lint;

use aws_sdk_iam::Client;
use clap::Subcommand;
use irsa_core::provider::{ProviderArn, STS_AUDIENCE};
use irsa_core::role::{self, RoleState};
use irsa_core::trust::{DEFAULT_CHARS, Grant, Subject, TrustPolicy};
use irsa_iam::role as iam;
use serde::Serialize;

use super::{account_id, is_ours, provider_arn, warn_of_issuer};
use crate::args::FetchArgs;
use crate::aws::AwsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Render};
use crate::report::{self, Failure};
use crate::settings;
use crate::visible::visible;

/// The commands about roles.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Apply(Box<apply::Args>),
    Show(ShowArgs),
    Delete(DeleteArgs),
    TrustPolicy(TrustPolicyArgs),
    Lint(lint::Args),
}

/// Who may assume a role.
#[derive(Debug, Clone, clap::Args)]
pub struct GrantArgs {
    /// The issuer URL of a cluster (several: repeat it; each service account is meant in each cluster)
    /// [default: that of the configuration file]
    #[arg(long, env = "IRSA_ISSUER", value_name = "URL", hide_env_values = true)]
    pub issuer: Vec<String>,
    /// Accept an issuer that ends in a slash
    #[arg(long, env = "IRSA_ALLOW_TRAILING_SLASH", hide_env_values = true)]
    pub allow_trailing_slash: bool,
    /// NAMESPACE/NAME of a service account (several: repeat it)
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub service_account: Vec<String>,
    /// Take * and ? in --service-account: every service account that fits is let in, also those made later
    #[arg(long)]
    pub allow_wildcard: bool,
    /// The aud of the tokens
    #[arg(long, value_name = "AUDIENCE", default_value = STS_AUDIENCE)]
    pub audience: String,
    /// The account of role and provider; with it nothing is asked of AWS to print a policy [default: that of the
    /// credentials]
    #[arg(long, value_name = "ACCOUNT", value_parser = account_id)]
    pub account_id: Option<String>,
}

/// Show a role: who may assume it, and what it may do.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The role
    pub name: String,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Trust.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Delete a role with its attached policies and the inline policy that irsa made.
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// The role
    pub name: String,
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

/// Print the trust policy that lets service accounts assume a role. With --account-id nobody is asked, and no
/// credentials are needed.
#[derive(Debug, clap::Args)]
pub struct TrustPolicyArgs {
    /// Who.
    #[command(flatten)]
    pub grant: GrantArgs,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Trust.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

impl GrantArgs {
    /// The grants, one for each issuer.
    pub async fn resolve(
        mut self,
        config: &aws_config::SdkConfig,
        context: &Context,
    ) -> Result<Vec<Grant>, Failure> {
        if self.issuer.is_empty() {
            let issuer = settings::only_issuer(&context.config)?;
            self.issuer.push(issuer.to_owned());
        }
        let file = context.config.allow_trailing_slash;
        let slash = context.flag("allow_trailing_slash", self.allow_trailing_slash, file);
        let slash = settings::slash(slash.value);
        let subject = |text: &String| {
            Subject::parse(text, self.allow_wildcard).map_err(|error| Failure::refused(&error))
        };
        let subjects = self
            .service_account
            .iter()
            .map(subject)
            .collect::<Result<Vec<_>, _>>()?;
        let mut grants = Vec::with_capacity(self.issuer.len());
        for text in &self.issuer {
            let issuer = settings::parse_issuer(text, slash)?;
            warn_of_issuer(config, &issuer);
            let provider: ProviderArn =
                provider_arn(config, &issuer, self.account_id.as_deref()).await?;
            grants.push(Grant {
                provider,
                audience: self.audience.clone(),
                subjects: subjects.clone(),
            });
        }
        Ok(grants)
    }
}

#[derive(Serialize)]
struct Shown {
    name: String,
    arn: String,
    managed: bool,
    policy_arns: Vec<String>,
    inline_policy: Option<serde_json::Value>,
    permissions_boundary: Option<String>,
    max_session_seconds: Option<i32>,
    trust_policy: serde_json::Value,
}

impl Render for Shown {
    fn text(&self) -> String {
        let pretty = |value| serde_json::to_string_pretty(value).unwrap_or_default();
        let mut lines = vec![format!("arn       {}", visible(&self.arn))];
        lines.extend(
            self.policy_arns
                .iter()
                .map(|arn| format!("policy    {}", visible(arn))),
        );
        lines.extend(
            self.permissions_boundary
                .iter()
                .map(|arn| format!("boundary  {}", visible(arn))),
        );
        lines.extend(
            self.max_session_seconds
                .map(|seconds| format!("session   up to {seconds} s")),
        );
        lines.extend(
            self.inline_policy
                .iter()
                .map(|policy| format!("inline policy irsa\n{}", pretty(policy))),
        );
        lines.push(format!("trust policy\n{}", pretty(&self.trust_policy)));
        lines.join("\n")
    }
}

async fn existing(client: &Client, name: &str) -> Result<RoleState, Failure> {
    iam::observe(client, name).await?.ok_or_else(|| {
        let message = format!("the account has no role \"{name}\"");
        Failure::failed(
            message,
            "irsa iam role apply makes it; check the name and --profile",
        )
    })
}

/// Prints a role.
pub fn show(args: ShowArgs, context: &Context) -> Result<Exit, Failure> {
    let ShowArgs { name, aws, fetch } = args;
    context.block_on(async {
        let client = Client::new(&aws.load(fetch.ca_file.as_deref()).await?);
        let state = existing(&client, &name).await?;
        let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
        context.print(&Shown {
            managed: is_ours(&state.tags),
            arn: state.arn,
            policy_arns: state.policy_arns,
            inline_policy: state.inline.as_deref().map(json),
            permissions_boundary: state.boundary,
            max_session_seconds: state.max_session,
            trust_policy: json(&state.trust.to_pretty()),
            name,
        })?;
        Ok(Exit::Done)
    })
}

/// Deletes a role.
pub fn delete(args: DeleteArgs, context: &Context) -> Result<Exit, Failure> {
    let DeleteArgs {
        name,
        force,
        dry_run,
        aws,
        fetch,
    } = args;
    context.block_on(async {
        let client = Client::new(&aws.load(fetch.ca_file.as_deref()).await?);
        let Some(state) = iam::observe(&client, &name).await? else {
            context.print(&apply::Applied {
                role: name,
                applied: false,
                changes: Vec::new(),
            })?;
            return Ok(Exit::Done);
        };
        if !is_ours(&state.tags) && !force {
            return Err(Failure::failed(
                format!("role \"{name}\" has no tag irsa:managed: irsa did not make it"),
                "add --force to delete it all the same",
            ));
        }
        let attachments = iam::attachments(&client, &name).await?;
        let removals = role::plan_removal(&name, &state, &attachments)?;
        let changes: Vec<String> = removals.iter().map(ToString::to_string).collect();
        if !dry_run {
            for removal in &removals {
                iam::remove(&client, &name, removal).await?;
            }
        }
        context.print(&apply::Applied {
            role: state.arn,
            applied: !dry_run,
            changes,
        })?;
        Ok(Exit::Done)
    })
}

/// Whether the account takes a long policy only IAM can say.
pub(crate) fn warn_of_length(policy: &TrustPolicy) {
    let chars = policy.chars();
    if chars > DEFAULT_CHARS {
        report::warning(&format!(
            "the trust policy has {chars} characters: IAM takes {DEFAULT_CHARS} unless the account's quota \"Role trust policy length\" \
             was raised"
        ));
    }
}

/// Prints a trust policy.
pub fn trust_policy(args: TrustPolicyArgs, context: &Context) -> Result<Exit, Failure> {
    let TrustPolicyArgs { grant, aws, fetch } = args;
    if grant.service_account.is_empty() {
        let help = "add --service-account NAMESPACE/NAME";
        return Err(Failure::usage("no service account given", help));
    }
    context.block_on(async {
        let config = aws.load(fetch.ca_file.as_deref()).await?;
        let mut policy = TrustPolicy::default();
        for grant in grant.resolve(&config, context).await? {
            policy = policy.with(&grant).0;
        }
        policy.to_json()?;
        warn_of_length(&policy);
        output::line(policy.to_pretty().as_bytes())?;
        Ok(Exit::Done)
    })
}
