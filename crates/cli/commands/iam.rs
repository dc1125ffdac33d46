//! `irsa iam`: provider, roles, permissions.

pub mod permissions;
pub mod provider;
pub mod role;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use clap::{Subcommand, ValueEnum};
use irsa_core::issuer::IssuerUrl;
use irsa_core::provider::ProviderArn;
use irsa_iam::provider::find;

use crate::aws;
use crate::context::Context;
use crate::exit::Exit;
use crate::report::{self, Failure};

/// The commands about IAM.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    /// The OIDC provider: what makes AWS trust an issuer
    #[command(subcommand)]
    Provider(provider::Command),
    /// Roles for service accounts, and their trust policies
    #[command(subcommand)]
    Role(role::Command),
    Permissions(permissions::Args),
}

/// In what form a plan is printed instead of being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// The changes that are to be made now, as aws commands
    AwsCli,
    /// The whole, as Terraform
    Terraform,
    /// The whole, as a CloudFormation template in JSON
    Cloudformation,
}

/// Says whether a plan is shown, compared or carried out.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct PlanArgs {
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do nothing, and exit with 3 if something differs
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
    /// Print it for another tool, and do nothing; in the form of that tool, also with -o json
    #[arg(long, value_enum, value_name = "TOOL", conflicts_with_all = ["dry_run", "check"])]
    pub format: Option<PlanFormat>,
}

/// The tag that says that irsa made something.
pub const OWNER_TAG: (&str, &str) = irsa_core::bucket::OWNER_TAG;

/// The tag that says for which cluster it was made.
pub const CLUSTER_TAG: &str = "irsa:cluster";

/// Of other services nobody knows what they reach.
fn warn_of_issuer(config: &SdkConfig, issuer: &IssuerUrl) {
    if aws::is_amazon(config) {
        super::warn_of_issuer(issuer);
    }
}

/// What was or would be done to something, in words.
fn told(name: &str, changes: &[String], applied: bool) -> String {
    if changes.is_empty() {
        return format!("nothing to do: {name} is as it should be");
    }
    let end = if applied { "done" } else { "nothing was done" };
    format!("{}\n{end}: {name}", changes.join("\n"))
}

/// Runs a command about IAM.
pub fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Provider(provider::Command::Apply(args)) => provider::apply(*args, context),
        Command::Provider(provider::Command::Show(args)) => provider::show(args, context),
        Command::Provider(provider::Command::Delete(args)) => provider::delete(args, context),
        Command::Role(role::Command::Apply(args)) => role::apply::run(*args, context),
        Command::Role(role::Command::Show(args)) => role::show(args, context),
        Command::Role(role::Command::Delete(args)) => role::delete(args, context),
        Command::Role(role::Command::TrustPolicy(args)) => role::trust_policy(args, context),
        Command::Role(role::Command::Lint(args)) => role::lint::run(args, context),
        Command::Permissions(args) => permissions::run(args, context),
    }
}

/// `KEY=VALUE`.
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it like team=payments".to_owned()),
    }
}

pub(crate) fn tags(given: Vec<(String, String)>) -> BTreeMap<String, String> {
    let ours = (OWNER_TAG.0.to_owned(), OWNER_TAG.1.to_owned());
    given.into_iter().chain([ours]).collect()
}

pub(crate) fn is_ours(tags: &BTreeMap<String, String>) -> bool {
    tags.get(OWNER_TAG.0).map(String::as_str) == Some(OWNER_TAG.1)
}

/// The account that providers are in: from the command line, or that of the credentials.
async fn account(config: &SdkConfig, given: Option<&str>) -> Result<(String, String), Failure> {
    if let Some(account) = given {
        let region = config.region().map(ToString::to_string);
        if region.is_none() {
            report::warning(
                "no Region is known: ARNs are written for the partition aws; add --region for cn-north-1 and its like",
            );
        }
        let partition = irsa_core::partition::Partition::of_region(&region.unwrap_or_default());
        return Ok((partition.name.to_owned(), account.to_owned()));
    }
    // Tells missing credentials from refused ones before STS is asked.
    aws::account(config).await?;
    let caller = aws::identify(config).await?;
    Ok((caller.partition, caller.account))
}

/// The ARN of an issuer's provider. AWS makes it of account and URL; of other services it is looked up.
pub(crate) async fn provider_arn(
    config: &SdkConfig,
    issuer: &IssuerUrl,
    given: Option<&str>,
) -> Result<ProviderArn, Failure> {
    if aws::endpoint(config, "IAM").is_some()
        && let Some(found) = find(&aws_sdk_iam::Client::new(config), issuer).await?
    {
        return Ok(found);
    }
    let (partition, account) = account(config, given).await?;
    Ok(ProviderArn::of(issuer, &partition, &account))
}

pub use super::publish::account_id;
