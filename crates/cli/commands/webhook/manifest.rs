//! `irsa webhook manifest`.

use irsa_webhook::manifest::{self, ManifestError, ManifestOptions};
use serde_json::Value;

use super::WebhookSection;
use crate::context::Context;
use crate::exit::Exit;
use crate::output;
use crate::report::{self, Failure};

/// Print what `irsa webhook install` applies, with a reason for each permission.
///
/// YAML, also with -o json.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What differs between clusters.
    #[command(flatten)]
    pub deployment: DeploymentArgs,
    /// Who may ask.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// Who may ask the webhook.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Deployment")]
pub struct NetworkArgs {
    /// Add a NetworkPolicy: only API servers at this address or CIDR reach the webhook (several: repeat it) [default: no policy]
    #[arg(long, value_name = "CIDR")]
    pub allow_from: Vec<String>,
}

impl NetworkArgs {
    /// The policy, if one is wanted.
    pub fn policy(&self, options: &ManifestOptions) -> Result<Option<Value>, Failure> {
        if self.allow_from.is_empty() {
            return Ok(None);
        }
        let policy = manifest::policy(options, &self.allow_from);
        Ok(Some(policy.map_err(|error| Failure::refused(&error))?))
    }
}

/// What differs between clusters.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Deployment")]
pub struct DeploymentArgs {
    /// Image of irsa
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// Namespace to run in
    #[arg(long, short, value_name = "NAME", default_value = "kube-system")]
    pub namespace: String,
    /// Replicas
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub replicas: u32,
    /// Flags of `irsa webhook serve` after --, like --aws-default-region=eu-central-1; they win over webhook: in the configuration
    #[arg(last = true, value_name = "FLAG")]
    pub flags: Vec<String>,
}

impl DeploymentArgs {
    /// The manifest's options, with flags that `irsa webhook serve` takes: those that are typed, and before them what
    /// the configuration says, which `irsa webhook review`, `audit` and `irsa verify` go by.
    pub fn options(self, section: &WebhookSection) -> Result<ManifestOptions, Failure> {
        let Self {
            image,
            namespace,
            replicas,
            flags: typed,
        } = self;
        let (mut flags, _) = section.replica(&typed);
        flags.extend(typed);
        super::serve::check_flags(&flags)?;
        Ok(ManifestOptions {
            namespace,
            image,
            replicas,
            flags,
        })
    }
}

/// Says which keys of the configuration mean something on this machine only.
pub fn warn_of_left(section: &WebhookSection, typed: &[String], namespace: &str) {
    let (_, mut left) = section.replica(typed);
    if section.namespace.as_deref() == Some(namespace) {
        left.retain(|name| name != "webhook.namespace");
    }
    if !left.is_empty() {
        report::warning(&format!(
            "not put into the cluster, whose manifest has its own: {} of the configuration",
            left.join(", ")
        ));
    }
}

/// Prints the manifest.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        deployment,
        network,
    } = args;
    let (flags, namespace) = (&deployment.flags, &deployment.namespace);
    warn_of_left(&context.config.webhook, flags, namespace);
    let options = deployment.options(&context.config.webhook)?;
    let refused = |error: ManifestError| Failure::refused(&error);
    let mut text = manifest::render(&options).map_err(refused)?;
    if !network.allow_from.is_empty() {
        let policy = manifest::render_policy(&options, &network.allow_from).map_err(refused)?;
        text = format!("{policy}---\n{text}");
    }
    output::line(text.trim_end().as_bytes())?;
    Ok(Exit::Done)
}
