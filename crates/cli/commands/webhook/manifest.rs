//! `irsa webhook manifest`.

use irsa_webhook::manifest::{self, ManifestOptions};

use crate::exit::Exit;
use crate::output;
use crate::report::Failure;

/// Print what `irsa webhook install` applies, with a reason for each permission.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What differs between clusters.
    #[command(flatten)]
    pub deployment: DeploymentArgs,
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
    /// Flags of `irsa webhook serve` after --, like --aws-default-region=eu-central-1
    #[arg(last = true, value_name = "FLAG")]
    pub flags: Vec<String>,
}

impl DeploymentArgs {
    /// The manifest's options, with flags that `irsa webhook serve` takes.
    pub fn options(self) -> Result<ManifestOptions, Failure> {
        let Self {
            image,
            namespace,
            replicas,
            flags,
        } = self;
        super::serve::check_flags(&flags)?;
        Ok(ManifestOptions {
            namespace,
            image,
            replicas,
            flags,
        })
    }
}

/// Prints the manifest.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let Args { deployment } = args;
    let text =
        manifest::render(&deployment.options()?).map_err(|error| Failure::refused(&error))?;
    output::line(text.trim_end().as_bytes())?;
    Ok(Exit::Done)
}
