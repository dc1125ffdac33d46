//! `irsa iam permissions`.

use irsa_core::issuer::TrailingSlash;
use irsa_core::partition::Partition;
use irsa_core::store_url::S3Location;
use irsa_iam::permissions::{self, COMMANDS, Names};
use serde::Serialize;

use super::account_id;
use crate::commands::publish::Target;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Format, Render};
use crate::report::Failure;
use crate::settings;

/// Print the least IAM policy that a command needs; without a command, the list of them.
///
/// Names that are not given stand in capitals, to be replaced.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command, with hyphens for blanks: iam-provider-apply
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Where documents are published
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]", value_parser = Target::parse)]
    pub to: Option<Target>,
    /// Where the key ring of irsa rotate is, if in a bucket
    #[arg(long, value_name = "s3://BUCKET/PREFIX", value_parser = S3Location::parse)]
    pub state: Option<S3Location>,
    /// The issuer
    #[arg(long, env = "IRSA_ISSUER", value_name = "URL", hide_env_values = true)]
    pub issuer: Option<String>,
    /// The role, or a pattern of its name with its path
    #[arg(long, value_name = "NAME", default_value = "*")]
    pub role: String,
    /// The account
    #[arg(long, value_name = "ACCOUNT", value_parser = account_id)]
    pub account_id: Option<String>,
    /// The Region, for its partition
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    pub region: String,
}

#[derive(Serialize)]
struct Listed(Vec<Row>);

#[derive(Serialize)]
struct Row {
    command: &'static str,
    about: &'static str,
}

impl Render for Listed {
    fn text(&self) -> String {
        let rows = self
            .0
            .iter()
            .map(|row| [row.command.to_owned(), row.about.to_owned()]);
        output::table(["COMMAND", "WHAT FOR"], rows)
    }
}

/// The policy of `rotate` with the place of the ring in it.
const RING: &str = "rotate-state-s3";

/// Prints a policy, or the list of them.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        command,
        to,
        state,
        issuer,
        role,
        account_id,
        region,
    } = args;
    let Some(command) = command else {
        let row = |policy: &permissions::CommandPolicy| Row {
            command: policy.command,
            about: policy.about,
        };
        context.print(&Listed(COMMANDS.iter().map(row).collect()))?;
        return Ok(Exit::Done);
    };
    let command = match (command.as_str(), &state) {
        ("rotate", Some(_)) => RING.to_owned(),
        (RING, _) | (_, None) => command,
        (other, Some(_)) => {
            return Err(Failure::usage(
                format!("the policy of \"{other}\" does not depend on --state"),
                "leave --state out: it is for the key ring of irsa rotate",
            ));
        }
    };
    let policy = permissions::of(&command).ok_or_else(|| unknown(&command))?;
    let (bucket, prefix) = match &to {
        Some(Target::S3(location)) => (location.bucket().to_string(), location.key("")),
        Some(Target::Directory(_)) => {
            return Err(Failure::usage(
                "a directory needs no IAM policy",
                "give --to s3://BUCKET",
            ));
        }
        None => ("BUCKET".to_owned(), String::new()),
    };
    let (ring_bucket, ring_prefix) = match &state {
        Some(location) => (location.bucket().to_string(), location.key("")),
        None => ("RING-BUCKET".to_owned(), "RING-PREFIX/".to_owned()),
    };
    let issuer = match &issuer {
        Some(text) => settings::parse_issuer(text, TrailingSlash::Allow)?.iam_name(),
        None => "ISSUER".to_owned(),
    };
    let names = Names {
        partition: Partition::of_region(&region).name.to_owned(),
        account: account_id.unwrap_or_else(|| "ACCOUNT".to_owned()),
        bucket,
        prefix,
        ring_bucket,
        ring_prefix,
        issuer,
        role,
    };
    // One form for both outputs: the policy is JSON.
    output::print(&Policy(policy.document(&names)), Format::Json)?;
    Ok(Exit::Done)
}

fn unknown(command: &str) -> Failure {
    if command == "connector" || command.starts_with("connector-") {
        return Failure::usage(
            format!("the policy of \"{command}\" is printed elsewhere"),
            "irsa connector permissions prints it; --for narrows it",
        );
    }
    let known: Vec<&str> = COMMANDS.iter().map(|policy| policy.command).collect();
    Failure::usage(
        format!("no command \"{command}\" needs permissions"),
        format!("one of {}", known.join(", ")),
    )
}

#[derive(Serialize)]
struct Policy(serde_json::Value);

impl Render for Policy {
    fn text(&self) -> String {
        self.0.to_string()
    }
}
