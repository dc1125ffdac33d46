//! `irsa bootstrap`.

pub mod act;
pub mod chain;
mod local;
pub mod lock;
pub mod show;
pub mod site;
pub mod steps;

use std::time::Duration;

use irsa_core::bootstrap::Change;
use irsa_core::bucket::distribution::CdnState;

use self::chain::Chain;
use self::show::{Event, Step, Voice};
use self::site::Site;
use crate::args::{self, FetchArgs};
use crate::aws::{self, AwsArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::report::Failure;

/// Set a cluster up as its configuration says, from the signing key to roles that pods can use.
///
/// Key, bucket, CloudFront distribution if one is wanted, documents, the proof that relying parties can fetch them, IAM
/// OIDC provider, roles, kube-apiserver's files, webhook: each is looked at, what differs is shown, and after a yes it is
/// changed one step at a time, in an order in which nothing is trusted before it can be checked. A run that was killed
/// goes on when it is repeated; one that finds everything in order says so and changes nothing. What is to be there is
/// under cluster: in the configuration file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do nothing, and exit with 3 if something differs
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
    /// How long to wait for a CloudFront distribution
    #[arg(long, value_name = "DURATION", value_parser = args::duration, default_value = "30m")]
    pub wait: Duration,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Reading back.
    #[command(flatten)]
    pub fetch: FetchArgs,
    /// Kubernetes, for the webhook.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Sets the cluster up, or shows what that takes.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        yes,
        dry_run,
        check,
        wait,
        aws,
        fetch,
        kubernetes,
    } = args;
    context.block_on(Box::pin(async {
        local::check(site::section(context)?, context)?;
        let site = Site::new(context, &aws, &fetch).await?;
        if let Some(issuer) = site.issuer(&CdnState::default())?
            && aws::is_amazon(&site.config)
        {
            super::warn_of_issuer(&issuer);
        }
        let mut chain = Chain::new(&site, context, &kubernetes, wait);
        let writes = !dry_run && !check;
        let _lock = if writes {
            Some(lock::take(context)?)
        } else {
            None
        };
        let voice = Voice::new(context);
        chain.look().await?;
        let plan = chain.plan()?;
        let steps: Vec<Step> = plan.iter().map(act::step).collect();
        if plan.is_empty() {
            let message = in_order(&chain)?;
            return end(&chain, &voice, 0, 0, &message, vec![message.clone()]);
        }
        voice.plan(&steps, &[])?;
        if !writes {
            let message = "nothing was changed";
            end(
                &chain,
                &voice,
                0,
                steps.len(),
                message,
                vec![message.to_owned()],
            )?;
            return Ok(if check { Exit::Differences } else { Exit::Done });
        }
        if !yes {
            confirm(&voice, &plan)?;
            // People take their time. What is done is what was shown, or nothing.
            chain.look().await?;
            if chain.plan()? != plan {
                return Err(Failure::again(
                    "something changed while you were asked, and nothing was done",
                    "run it again, and look at the new plan",
                ));
            }
        }
        let done = act::run(&mut chain, &voice).await?;
        let message = format!("done: {}", in_order(&chain)?);
        let mut lines = vec![message.clone()];
        lines.extend(next(&chain)?);
        end(&chain, &voice, done, 0, &message, lines)
    }))
}

/// Asks whether the plan is to be carried out.
fn confirm(voice: &Voice, plan: &[Change]) -> Result<(), Failure> {
    let question = format!("Make these {} changes? Type yes:", plan.len());
    match voice.ask(&question)?.as_deref() {
        Some("yes" | "y") => Ok(()),
        Some(_) => Err(Failure::usage(
            "nothing was changed",
            "the answer was not yes; --yes does not ask",
        )),
        None => Err(Failure::usage(
            "nothing was changed: there is no terminal to ask on",
            "look at the plan above, then add --yes",
        )),
    }
}

/// The chain in one sentence.
fn in_order(chain: &Chain<'_>) -> Result<String, Failure> {
    let issuer = chain
        .issuer()?
        .map_or_else(String::new, |issuer| issuer.to_string());
    let roles = match chain.site.section.roles.len() {
        0 => "no role".to_owned(),
        1 => "1 role".to_owned(),
        many => format!("{many} roles"),
    };
    let seen = if chain.seen.read_back {
        "published and read back"
    } else {
        "published"
    };
    let name = &chain.site.section.name;
    Ok(format!(
        "nothing is left to do for cluster {name}: {issuer} is {seen}, AWS trusts it, {roles}"
    ))
}

/// What a person does next.
fn next(chain: &Chain<'_>) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    let section = chain.site.section;
    if let (None, Some(issuer)) = (&section.apiserver, chain.issuer()?) {
        lines.push(format!(
            "next: irsa apiserver patch --phase accept --issuer {issuer} FILE on every control-plane node, then --phase sign"
        ));
    }
    for (name, state) in &chain.seen.roles {
        let accounts = section.roles.iter().find(|role| role.name == *name);
        for account in accounts.iter().flat_map(|role| &role.service_accounts) {
            let (namespace, account) = account.split_once('/').unwrap_or(("", account));
            lines.push(format!(
                "next: kubectl -n {namespace} annotate serviceaccount {account} eks.amazonaws.com/role-arn={}",
                state.arn
            ));
        }
    }
    Ok(lines)
}

fn end(
    chain: &Chain<'_>,
    voice: &Voice,
    done: usize,
    pending: usize,
    message: &str,
    lines: Vec<String>,
) -> Result<Exit, Failure> {
    let event = Event::End {
        done,
        pending,
        issuer: chain.issuer()?.map(|issuer| issuer.to_string()),
        provider: chain.provider.as_ref().map(ToString::to_string),
        message,
    };
    voice.end(&event, &lines)?;
    Ok(Exit::Done)
}
