//! `irsa teardown`.

mod documents;
mod leftover;
mod ruin;

use std::time::Duration;

use irsa_core::bootstrap::teardown::{Plan, Removal};

use self::ruin::{Patience, Ruin};
use super::bootstrap::lock;
use super::bootstrap::show::{Event, Step, Voice};
use super::bootstrap::site::Site;
use crate::args::{self, FetchArgs};
use crate::aws::AwsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;

/// Take down what irsa bootstrap has set up in AWS.
///
/// Roles and the IAM OIDC provider go first, so that AWS trusts nothing of the issuer any more; then the documents, the
/// CloudFront distribution, and the bucket is closed. Its name stays taken: whoever got it could speak for the issuer.
/// Only what carries the tag irsa:managed is touched. Keys, API servers and the webhook stay as they are.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The issuer, byte for byte: instead of typing it when asked
    #[arg(long, value_name = "ISSUER")]
    pub confirm: Option<String>,
    /// Delete the bucket too, with all versions of the documents: a stranger may then take its name
    #[arg(long)]
    pub release_bucket_name: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait until a CloudFront distribution is disabled everywhere
    #[arg(long, value_name = "DURATION", value_parser = args::duration, default_value = "30m")]
    pub wait: Duration,
    /// With --release-bucket-name: how long AWS is given to forget the provider before the name is free
    #[arg(long, value_name = "DURATION", value_parser = args::duration, default_value = "1m")]
    pub settle: Duration,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Trust.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Takes the chain down, or shows what that does.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        confirm,
        release_bucket_name,
        dry_run,
        wait,
        settle,
        aws,
        fetch,
    } = args;
    let patience = Patience { wait, settle };
    context.block_on(Box::pin(async {
        let site = Site::new(context, &aws, &fetch).await?;
        let _lock = if dry_run {
            None
        } else {
            Some(lock::take(context)?)
        };
        let voice = Voice::new(context);
        let Some(mut ruin) = Ruin::new(&site, release_bucket_name, patience).await? else {
            return leftover::take_down(&site, &voice, dry_run).await;
        };
        let plan = ruin.plan()?;
        show(&voice, &plan)?;
        let (issuer, trust) = (ruin.issuer.to_string(), ruin.whose());
        if plan.removals.is_empty() {
            let message =
                format!("nothing to do: nothing of {issuer} is left in {trust} that irsa made");
            end(&voice, 0, 0, Some(issuer), &message)?;
            return Ok(Exit::Done);
        }
        if dry_run {
            let steps = plan.removals.len();
            end(&voice, 0, steps, Some(issuer), "nothing was changed")?;
            return Ok(Exit::Done);
        }
        let asked = confirm.is_none();
        confirmed(&voice, confirm, &issuer)?;
        if asked {
            // People take their time. What is done is what was shown, or nothing.
            ruin.look().await?;
            if ruin.plan()? != plan {
                return Err(Failure::again(
                    "something changed while you were asked, and nothing was done",
                    "run it again, and look at the new plan",
                ));
            }
        }
        let done = ruin.take_down(&voice).await?;
        let message = format!("done: {trust} trusts nothing of {issuer} any more");
        end(&voice, done, 0, Some(issuer), &message)?;
        Ok(Exit::Done)
    }))
}

fn show(voice: &Voice, plan: &Plan) -> Result<(), Failure> {
    let steps: Vec<Step> = plan.removals.iter().map(step).collect();
    voice.plan(&steps, &plan.kept)
}

/// The issuer must be typed: this cannot be undone for pods that run.
fn confirmed(voice: &Voice, given: Option<String>, issuer: &str) -> Result<(), Failure> {
    let asked = given.is_none();
    let answer = match given {
        Some(text) => Some(text),
        None => voice.ask(&format!(
            "From then on no pod of the cluster gets AWS credentials. Type the issuer, {issuer}, to go on:"
        ))?,
    };
    match answer {
        Some(text) if text == issuer => Ok(()),
        Some(text) => Err(Failure::usage(
            format!("nothing was changed: \"{text}\" is not the issuer"),
            format!("{} {issuer}", if asked { "type" } else { "--confirm" }),
        )),
        None => Err(Failure::usage(
            "nothing was changed: there is no terminal to ask on",
            format!("look at the plan above, then add --confirm {issuer}"),
        )),
    }
}

fn step(removal: &Removal) -> Step {
    let stage = match removal {
        Removal::Role { .. } => "roles",
        Removal::Provider(_) | Removal::AwaitDistrust(_) => "provider",
        Removal::Document(_) => "documents",
        Removal::Distribution(_) => "distribution",
        Removal::CloseBucket(_) | Removal::DeleteBucket(_) => "bucket",
    };
    Step {
        stage,
        change: removal.to_string(),
    }
}

fn end(
    voice: &Voice,
    done: usize,
    pending: usize,
    issuer: Option<String>,
    message: &str,
) -> Result<(), Failure> {
    let event = Event::End {
        done,
        pending,
        issuer,
        provider: None,
        message,
    };
    voice.end(&event, &[message.to_owned()])
}
