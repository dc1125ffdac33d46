//! `irsa doctor`.

mod metrics;
mod observe;
mod show;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use irsa_core::diagnosis::diagnose;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_core::store_url::S3Location;
use irsa_core::token::claims::ServiceAccount;

use self::observe::{Inputs, Unreadable};
use self::show::Report;
use crate::args::{FetchArgs, address, duration};
use crate::aws::AwsArgs;
use crate::commands::publish::account_id;
use crate::commands::webhook;
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::report::Failure;
use crate::settings::only_issuer;

/// Find out why AWS STS refuses a token, or whether it would.
///
/// Looks at the whole chain from outside, changes nothing, and says of each link: ok, warning or failure, with the two
/// strings that differ, why it matters, and what mends it. Only the issuer is needed; with a token, a role, AWS
/// credentials and the cluster it sees more, and it says what it did not see.
///
/// Exits with 1 if tokens are refused, with 4 if what is wrong or not seen may be gone at the next look, else with 0,
/// also with warnings.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct Args {
    /// The issuer URL [default: the one of the configuration file]
    #[arg(long, env = "IRSA_ISSUER", value_name = "URL", hide_env_values = true)]
    pub issuer: Option<String>,
    /// A pod's token, to be judged (several: repeat it); it is shown to nobody
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Vec<PathBuf>,
    /// The role that the pod is to have
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    pub role_arn: Option<String>,
    /// Where the documents stand, s3://BUCKET[/PREFIX] [default: as the issuer says, if it is one of S3]
    #[arg(long, value_name = "TARGET", value_parser = location)]
    pub bucket: Option<S3Location>,
    /// The account that the bucket must belong to [default: that of the credentials]
    #[arg(long, value_name = "ACCOUNT", value_parser = account_id)]
    pub bucket_owner: Option<String>,
    /// kube-apiserver's manifest, or the distribution's file (several: repeat it)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub apiserver_flags: Vec<PathBuf>,
    /// Ask the cluster: every API server, the webhook's registration, pods without their role
    #[arg(long)]
    pub live: bool,
    /// Address of an API server, with --live (several: repeat it) [default: those that registered themselves]
    #[arg(long, value_name = "URL", requires = "live")]
    pub server: Vec<String>,
    /// A service account of the cluster: its annotations are looked at, and a token of it is made and judged
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account)]
    pub service_account: Option<ServiceAccount>,
    /// Show the token to STS, as the pod does, and drop the credentials: what it answers is explained
    #[arg(long, requires = "role_arn")]
    pub ask_sts: bool,
    /// Do not look for AWS credentials, and do not ask AWS
    #[arg(long, conflicts_with = "ask_sts")]
    pub no_aws: bool,
    /// Look again and again; the report is printed when something changes
    #[arg(long)]
    pub watch: bool,
    /// How often, with --watch
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "60s", requires = "watch")]
    pub every: Duration,
    /// Address of /metrics, /livez and /readyz with --watch, plain HTTP [default: none]
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "watch")]
    pub metrics_listen: Option<SocketAddr>,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// Fetching.
    #[command(flatten)]
    pub fetch: FetchArgs,
}

/// Looks and judges.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        issuer,
        token_file,
        role_arn,
        bucket,
        bucket_owner,
        apiserver_flags,
        live,
        server,
        service_account,
        ask_sts,
        no_aws,
        watch,
        every,
        metrics_listen,
        aws,
        kubernetes,
        fetch,
    } = args;
    let inputs = Inputs {
        issuer: which(issuer, context)?,
        token_files: token_file,
        role_arn,
        bucket,
        bucket_owner,
        flag_files: apiserver_flags,
        live,
        servers: server,
        service_account,
        ask_sts,
        no_aws,
        aws,
        kubernetes,
        fetch,
        webhook: webhook::flags::of_file(context)?,
    };
    if watch {
        if inputs
            .token_files
            .iter()
            .any(|path| path.as_os_str() == "-")
        {
            let help = "name the file with the token: it is read anew at each look";
            return Err(Failure::usage("standard input can be read once only", help));
        }
        return context.block_on(watch::run(&inputs, every, metrics_listen, context));
    }
    context.block_on(async {
        let facts = observe::observe(&inputs, Unreadable::Refused).await?;
        let report = Report::new(&inputs.issuer, &diagnose(&facts));
        context.print(&report)?;
        Ok(report.exit())
    })
}

/// The issuer that was given, or that of the file. One that ends in a slash is just what is to be looked at.
fn which(given: Option<String>, context: &Context) -> Result<IssuerUrl, Failure> {
    let text = match &given {
        Some(text) => text,
        None => only_issuer(&context.config)?,
    };
    IssuerUrl::parse(text, TrailingSlash::Allow).map_err(|error| Failure::refused(&error))
}

fn location(text: &str) -> Result<S3Location, String> {
    S3Location::parse(text).map_err(|error| error.to_string())
}

fn service_account(text: &str) -> Result<ServiceAccount, String> {
    ServiceAccount::parse(text).map_err(|error| error.to_string())
}

/// The form alone: whether there is such a role is looked at.
fn role_arn(text: &str) -> Result<String, String> {
    if irsa_webhook::role::is_role_arn(text) {
        Ok(text.to_owned())
    } else {
        Err("write it like arn:aws:iam::111122223333:role/NAME".to_owned())
    }
}
