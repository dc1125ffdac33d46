//! One file for each subcommand: its arguments, and what it does with them.

pub mod apiserver;
pub mod bootstrap;
pub mod completions;
pub mod config_show;
pub mod connector;
pub mod discovery;
pub mod iam;
pub mod jwks;
pub mod keys;
pub mod man;
pub mod publish;
pub mod quickstart;
pub mod rotate;
pub mod serve;
pub mod teardown;
pub mod thumbprint;
pub mod token;
pub mod verify;
pub mod version;
pub mod webhook;

use clap::Subcommand;
use irsa_issuer::keyset::LoadedKeys;

use crate::context::Context;
use crate::exit::Exit;
use crate::report::{self, Failure};

/// The commands: adding one is a file, a line here and a line in [`run`].
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Quickstart(quickstart::Args),
    Bootstrap(Box<bootstrap::Args>),
    Teardown(Box<teardown::Args>),
    /// Make signing keys, and see what kube-apiserver does with a key file
    #[command(subcommand)]
    Keys(keys::Command),
    Jwks(jwks::Args),
    Discovery(discovery::Args),
    Publish(Box<publish::Args>),
    Rotate(Box<rotate::Args>),
    Serve(Box<serve::Args>),
    /// Make, verify and explain service account tokens
    #[command(subcommand)]
    Token(token::Command),
    Thumbprint(thumbprint::Args),
    /// kube-apiserver's token flags, on any distribution
    #[command(subcommand)]
    Apiserver(apiserver::Command),
    /// Show a cluster of your own in the EKS console (EKS Connector)
    #[command(subcommand)]
    Connector(connector::Command),
    /// IAM: the OIDC provider, roles for service accounts, and what irsa itself must be allowed
    #[command(subcommand)]
    Iam(iam::Command),
    /// Show the configuration in force
    #[command(subcommand)]
    Config(config_show::Command),
    Completions(completions::Args),
    Man(man::Args),
    Verify(Box<verify::Args>),
    Version(version::Args),
    /// The pod identity webhook: gives pods their IAM role
    #[command(subcommand)]
    Webhook(webhook::Command),
}

/// Runs a command.
pub fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Quickstart(args) => quickstart::run(args, context),
        Command::Bootstrap(args) => bootstrap::run(*args, context),
        Command::Teardown(args) => teardown::run(*args, context),
        Command::Keys(keys::Command::Generate(args)) => keys::generate::run(args, context),
        Command::Keys(keys::Command::Inspect(args)) => keys::inspect::run(args, context),
        Command::Jwks(args) => jwks::run(args),
        Command::Discovery(args) => discovery::run(args, context),
        Command::Publish(args) => publish::run(*args, context),
        Command::Rotate(args) => rotate::run(*args, context),
        Command::Serve(args) => serve::run(*args, context),
        Command::Token(token::Command::Mint(args)) => token::mint::run(args, context),
        Command::Token(token::Command::Verify(args)) => token::verify::run(args, context),
        Command::Token(token::Command::Explain(args)) => token::explain::run(args, context),
        Command::Iam(command) => iam::run(command, context),
        Command::Thumbprint(args) => thumbprint::run(args, context),
        Command::Apiserver(command) => apiserver::run(command, context),
        Command::Connector(command) => connector::run(command, context),
        Command::Config(config_show::Command::Show(args)) => config_show::run(*args, context),
        Command::Completions(args) => completions::run(args, context),
        Command::Man(args) => man::run(args, context),
        Command::Verify(args) => verify::run(*args, context),
        Command::Version(args) => version::run(args, context),
        Command::Webhook(command) => webhook::run(command, context),
    }
}

/// Says where kube-apiserver would see fewer keys than we publish.
fn warn_of_deviations(keys: &LoadedKeys) {
    for deviation in &keys.deviations {
        report::warning(&format!(
            "{}:{}: published, but skipped by kube-apiserver as --service-account-key-file: {}",
            deviation.path.display(),
            deviation.line,
            deviation.reason
        ));
    }
}
