//! `irsa iam role apply`.

use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_iam::Client;
use clap::ValueHint;
use irsa_core::role::{self, RoleChange, RoleWanted};
use irsa_core::trust::TrustPolicy;
use irsa_iam::{format, role as iam};
use irsa_issuer::keyfile;
use serde::Serialize;

use super::GrantArgs;
use super::annotate::{AnnotateArgs, Annotations};
use crate::args::{FetchArgs, duration};
use crate::aws::AwsArgs;
use crate::commands::iam::{PlanArgs, PlanFormat, tag, tags, told};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Render};
use crate::report::Failure;

/// Make a role for service accounts, or let more of them into an existing one.
///
/// The trust policy has both conditions, sub and aud. Statements that are there stay, policies that are attached stay;
/// a second run changes nothing. Pods get the role when their service account names it: --annotate writes that too.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The role
    pub name: String,
    /// Who may assume it.
    #[command(flatten)]
    pub grant: GrantArgs,
    /// A managed policy to attach (several: repeat it)
    #[arg(long, value_name = "ARN")]
    pub policy_arn: Vec<String>,
    /// A policy in JSON, as the inline policy "irsa"
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub policy_file: Option<PathBuf>,
    /// Path of a role that is made
    #[arg(long, value_name = "/PATH/")]
    pub path: Option<String>,
    /// The most that the role may ever do
    #[arg(long, value_name = "ARN")]
    pub permissions_boundary: Option<String>,
    /// The longest session, 1h to 12h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_session: Option<Duration>,
    /// A tag of a role that is made, besides irsa:managed (several: repeat it)
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub tag: Vec<(String, String)>,
    /// The cluster.
    #[command(flatten)]
    pub annotate: AnnotateArgs,
    /// Show, compare, or print for another tool.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Trust.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// What was or would be done to a role.
#[derive(Debug, Serialize)]
pub struct Applied {
    /// Its ARN, or its name before it is made.
    pub role: String,
    /// Whether anything was done.
    pub applied: bool,
    /// What.
    pub changes: Vec<String>,
}

impl Render for Applied {
    fn text(&self) -> String {
        told(&self.role, &self.changes, self.applied)
    }
}

/// Makes the role as it shall be, or shows what that takes.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let (plan, aws, fetch) = (args.plan, args.aws.clone(), args.fetch.clone());
    let annotate = args.annotate.checked(&args.grant)?;
    context.block_on(async {
        let config = aws.load(fetch.ca_file.as_deref()).await?;
        let wanted = wanted(args, &config, context).await?;
        if let Some(text) = whole(plan.format, &wanted)? {
            output::line(text.trim_end().as_bytes())?;
            return Ok(Exit::Done);
        }
        let client = Client::new(&config);
        let state = iam::observe(&client, &wanted.name).await?;
        let changes = role::plan(&wanted, state.as_ref())?;
        let now = state.as_ref().map(|state| state.trust.clone());
        super::warn_of_length(&wanted.trust(&now.unwrap_or_default()).0);
        if plan.format.is_some() {
            output::line(format::role_commands(&wanted.name, &changes).as_bytes())?;
            return Ok(Exit::Done);
        }
        let arn = state.map(|state| state.arn);
        let mut annotations = Annotations::default();
        if let Some(annotate) = annotate {
            annotations = annotate.plan(&wanted, arn.as_deref()).await?;
        }
        let mut told: Vec<String> = changes.iter().map(ToString::to_string).collect();
        told.extend(annotations.told());
        if plan.check || plan.dry_run {
            if plan.dry_run {
                annotations.rehearse().await?;
            }
            let differs = !told.is_empty();
            context.print(&Applied {
                role: arn.unwrap_or(wanted.name),
                applied: false,
                changes: told,
            })?;
            return Ok(if plan.check && differs {
                Exit::Differences
            } else {
                Exit::Done
            });
        }
        // What the cluster would refuse shall not leave a role behind.
        annotations.rehearse().await?;
        apply(&client, &wanted.name, &changes).await?;
        annotations.apply().await?;
        let arn = match arn {
            Some(arn) => Some(arn),
            None => iam::observe(&client, &wanted.name)
                .await?
                .map(|state| state.arn),
        };
        context.print(&Applied {
            role: arn.unwrap_or(wanted.name),
            applied: !told.is_empty(),
            changes: told,
        })?;
        Ok(Exit::Done)
    })
}

async fn apply(client: &Client, name: &str, changes: &[RoleChange]) -> Result<(), Failure> {
    for change in changes {
        iam::apply(client, name, change).await?;
        let text = change.to_string();
        tracing::info!(role = name, "{}", text.lines().next().unwrap_or_default());
    }
    Ok(())
}

async fn wanted(
    args: Args,
    config: &aws_config::SdkConfig,
    context: &Context,
) -> Result<RoleWanted, Failure> {
    let inline = match &args.policy_file {
        Some(path) => Some(policy_file(path)?),
        None => None,
    };
    let seconds = |duration: Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
    RoleWanted {
        name: args.name,
        path: args.path,
        grants: args.grant.resolve(config, context).await?,
        policy_arns: args.policy_arn,
        inline,
        boundary: args.permissions_boundary,
        max_session: args.max_session.map(seconds),
        tags: tags(args.tag),
    }
    .checked()
    .map_err(|error| Failure::refused(&error))
}

pub(crate) fn policy_file(path: &std::path::Path) -> Result<String, Failure> {
    let bytes = keyfile::read(path)?;
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&bytes);
    match parsed {
        Ok(policy) if policy.get("Statement").is_some() => Ok(policy.to_string()),
        Ok(_) => Err(Failure::usage(
            format!("policy file \"{}\" has no Statement", path.display()),
            "write it as an IAM policy: {\"Version\": \"2012-10-17\", \"Statement\": […]}",
        )),
        Err(error) => Err(Failure::usage(
            format!("policy file \"{}\" is not JSON: {error}", path.display()),
            "write it as an IAM policy: {\"Version\": \"2012-10-17\", \"Statement\": […]}",
        )),
    }
}

/// The forms that say everything, whatever there is now.
fn whole(format: Option<PlanFormat>, wanted: &RoleWanted) -> Result<Option<String>, Failure> {
    let Some(format) = format.filter(|format| *format != PlanFormat::AwsCli) else {
        return Ok(None);
    };
    let (trust, subjects) = wanted.trust(&TrustPolicy::default());
    if subjects.is_empty() {
        return Err(role::RoleError::NoSubject(wanted.name.clone()).into());
    }
    Ok(Some(if format == PlanFormat::Terraform {
        format::role_terraform(wanted, &trust)
    } else {
        format::role_cloudformation(wanted, &trust)
    }))
}
