//! `irsa connector permissions`.

use clap::ValueEnum;
use irsa_connector::name::ClusterName;
use irsa_connector::policy::{Scope, Work, operator_policy};
use irsa_connector::region::ConnectorRegion;
use irsa_connector::role::role_name_of;
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;

/// Print the least IAM policy for whoever registers clusters.
///
/// Nothing is asked of AWS. Name the account, Region and cluster to narrow it; without them it covers all.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What it is for (several: repeat it) [default: register, deregister and observe]
    #[arg(long = "for", value_enum, value_name = "WORK")]
    pub work: Vec<WorkArg>,
    /// Account of 12 digits [default: every account]
    #[arg(long, value_name = "ID", value_parser = account)]
    pub account: Option<String>,
    /// AWS Region [default: every Region]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Name of the cluster [default: every cluster]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The role that is given with register --role-arn: then no rights on roles are needed
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,
}

/// What a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WorkArg {
    /// irsa connector register
    Register,
    /// irsa connector deregister
    Deregister,
    /// irsa connector status and doctor
    Observe,
    /// Browsing the cluster in the console
    View,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Policy(Value);

impl Render for Policy {
    fn text(&self) -> String {
        serde_json::to_string_pretty(&self.0).unwrap_or_else(|error| error.to_string())
    }
}

/// Prints the policy.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        work,
        account,
        region,
        name,
        role_arn,
    } = args;
    let work: Vec<_> = if work.is_empty() {
        vec![Work::Register, Work::Deregister, Work::Observe]
    } else {
        work.into_iter().map(part).collect()
    };
    let region = region.map(|text| ConnectorRegion::parse(&text)).transpose();
    let region = region.map_err(|error| Failure::refused(&error))?;
    let name = name.map(|text| ClusterName::parse(&text)).transpose();
    let name = name.map_err(|error| Failure::refused(&error))?;
    if let Some(arn) = role_arn.as_ref().filter(|arn| role_name_of(arn).is_none()) {
        return Err(Failure::usage(
            format!("\"{arn}\" is no ARN of a role"),
            "write it like --role-arn arn:aws:iam::111122223333:role/NAME",
        ));
    }
    let scope = Scope {
        partition: region.as_ref().map_or("aws", ConnectorRegion::partition),
        region: region.as_ref().map_or("*", ConnectorRegion::as_str),
        account: account.as_deref().unwrap_or("*"),
        cluster: name.as_ref().map_or("*", ClusterName::as_str),
        role_arn: role_arn.as_deref(),
    };
    context.print(&Policy(operator_policy(&work, &scope)))?;
    Ok(Exit::Done)
}

const fn part(arg: WorkArg) -> Work {
    match arg {
        WorkArg::Register => Work::Register,
        WorkArg::Deregister => Work::Deregister,
        WorkArg::Observe => Work::Observe,
        WorkArg::View => Work::View,
    }
}

fn account(text: &str) -> Result<String, String> {
    let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| text.to_owned())
        .ok_or_else(|| "an account has 12 digits".to_owned())
}
