//! Where roles come from besides annotations, for commands that answer as the webhook would.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use irsa_webhook::association::Associations;

use super::serve_flags::NAMESPACE;
use crate::context::Context;
use crate::report::Failure;

/// Where roles come from besides annotations.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Injection")]
pub struct SourcesArgs {
    /// Namespace of the ConfigMap "pod-identity-webhook", if the webhook watches it
    #[arg(long, value_name = "NAME")]
    pub config_map: Option<String>,
    /// File of service accounts that get credentials from an agent on their node, if the webhook watches one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub watch_container_credentials_config: Option<PathBuf>,
}

impl SourcesArgs {
    /// Over what the configuration file says of the webhook.
    pub(super) fn over(mut self, context: &Context) -> Self {
        let file = &context.config.webhook;
        if file.watch_config_map == Some(true) {
            let namespace = || file.namespace.clone();
            self.config_map = self
                .config_map
                .or_else(namespace)
                .or_else(|| Some(NAMESPACE.to_owned()));
        }
        let path = &mut self.watch_container_credentials_config;
        *path = path
            .take()
            .or_else(|| file.watch_container_credentials_config.clone())
            .filter(|path| !path.as_os_str().is_empty());
        self
    }

    /// What the file says, read now.
    pub(super) fn associations(&self) -> Result<Associations, Failure> {
        let Some(path) = &self.watch_container_credentials_config else {
            return Ok(Associations::default());
        };
        let place = path.display();
        let bytes = fs::read(path).map_err(|error| {
            Failure::usage(
                format!("\"{place}\" cannot be read: {error}"),
                format!("ls -l {place}"),
            )
        })?;
        Associations::parse(&bytes).map_err(|error| {
            Failure::usage(
                format!("\"{place}\": {error}"),
                "correct the file; the webhook would keep what it had before",
            )
        })
    }
}
