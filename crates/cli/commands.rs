//! One file for each subcommand: its arguments, and what it does with them.

pub mod apiserver;
pub mod bootstrap;
pub mod completions;
pub mod config_show;
pub mod connector;
pub mod discovery;
pub mod doctor;
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
use irsa_core::issuer::{AwsObstacle, IssuerUrl};
use irsa_issuer::keyset::LoadedKeys;

use crate::context::Context;
use crate::deferred::Deferred;
use crate::exit::Exit;
use crate::output::Format;
use crate::report::{self, Failure};

/// The commands: adding one is a file, a line here with what the list of commands says of it, and a line in [`run`].
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key, serve its issuer on this machine, mint a token and verify it as a relying party does
    Quickstart(Deferred<quickstart::Args>),
    /// Set a cluster up as its configuration says, from the signing key to roles that pods can use
    Bootstrap(Deferred<Box<bootstrap::Args>>),
    /// Take down what irsa bootstrap has set up in AWS
    Teardown(Deferred<Box<teardown::Args>>),
    /// Make signing keys, and see what kube-apiserver does with a key file
    #[command(subcommand)]
    Keys(Deferred<keys::Command>),
    /// Print the JWKS of public keys, on one line
    Jwks(Deferred<jwks::Args>),
    /// Print the discovery document of an issuer, on one line
    Discovery(Deferred<discovery::Args>),
    /// Find out why AWS STS refuses a token, or whether it would
    Doctor(Deferred<Box<doctor::Args>>),
    /// Put an issuer's documents where relying parties fetch them: into a directory, or into S3
    Publish(Deferred<Box<publish::Args>>),
    /// Rotate the signing key, one safe step at a time: for a cron job
    Rotate(Deferred<Box<rotate::Args>>),
    /// Serve the documents of one or many issuers, for as long as it runs
    Serve(Deferred<Box<serve::Args>>),
    /// Make, verify and explain service account tokens
    #[command(subcommand)]
    Token(Deferred<token::Command>),
    /// Print the CA thumbprint of a server, as IAM's ThumbprintList wants it
    Thumbprint(Deferred<thumbprint::Args>),
    /// kube-apiserver's token flags, on any distribution
    #[command(subcommand)]
    Apiserver(Deferred<apiserver::Command>),
    /// Show a cluster of your own in the EKS console (EKS Connector)
    #[command(subcommand)]
    Connector(Deferred<connector::Command>),
    /// IAM: the OIDC provider, roles for service accounts, and what irsa itself must be allowed
    #[command(subcommand)]
    Iam(Deferred<iam::Command>),
    /// Show the configuration in force
    #[command(subcommand)]
    Config(Deferred<config_show::Command>),
    /// Print a completion script for a shell
    Completions(Deferred<completions::Args>),
    /// Print the manual page; man -l - shows it
    Man(Deferred<man::Args>),
    /// Check that a service account's pods can use its role, from the annotation to the signature
    Verify(Deferred<Box<verify::Args>>),
    /// Print the version
    Version(Deferred<version::Args>),
    /// The pod identity webhook: gives pods their IAM role
    #[command(subcommand)]
    Webhook(Deferred<webhook::Command>),
}

/// Runs a command.
pub fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    if context.output.value == Format::Svg && !draws(&command) {
        // Before anything is done.
        return Err(Failure::usage(
            "this command draws no picture",
            "use -o text or -o json; irsa rotate status draws one",
        ));
    }
    match command {
        Command::Quickstart(Deferred(args)) => quickstart::run(args, context),
        Command::Bootstrap(Deferred(args)) => bootstrap::run(*args, context),
        Command::Teardown(Deferred(args)) => teardown::run(*args, context),
        Command::Keys(Deferred(keys::Command::Generate(args))) => {
            keys::generate::run(args, context)
        }
        Command::Keys(Deferred(keys::Command::Inspect(args))) => keys::inspect::run(args, context),
        Command::Jwks(Deferred(args)) => jwks::run(args),
        Command::Discovery(Deferred(args)) => discovery::run(args, context),
        Command::Doctor(Deferred(args)) => doctor::run(*args, context),
        Command::Publish(Deferred(args)) => publish::run(*args, context),
        Command::Rotate(Deferred(args)) => rotate::run(*args, context),
        Command::Serve(Deferred(args)) => serve::run(*args, context),
        Command::Token(Deferred(token::Command::Mint(args))) => token::mint::run(args, context),
        Command::Token(Deferred(token::Command::Verify(args))) => token::verify::run(args, context),
        Command::Token(Deferred(token::Command::Explain(args))) => {
            token::explain::run(args, context)
        }
        Command::Iam(Deferred(command)) => iam::run(command, context),
        Command::Thumbprint(Deferred(args)) => thumbprint::run(args, context),
        Command::Apiserver(Deferred(command)) => apiserver::run(command, context),
        Command::Connector(Deferred(command)) => connector::run(command, context),
        Command::Config(Deferred(config_show::Command::Show(args))) => {
            config_show::run(*args, context)
        }
        Command::Completions(Deferred(args)) => completions::run(args, context),
        Command::Man(Deferred(args)) => man::run(args, context),
        Command::Verify(Deferred(args)) => verify::run(*args, context),
        Command::Version(Deferred(args)) => version::run(args, context),
        Command::Webhook(Deferred(command)) => webhook::run(command, context),
    }
}

/// Whether a command has a result to draw.
fn draws(command: &Command) -> bool {
    let Command::Rotate(Deferred(args)) = command else {
        return false;
    };
    matches!(args.command, Some(rotate::Command::Status(_)))
}

/// Says where an issuer is chosen what `doctor` would find when everything is set up.
fn warn_of_issuer(issuer: &IssuerUrl) {
    if let Some(obstacle) = obstacle(issuer) {
        report::warning(&format!("{issuer}: {obstacle}"));
    }
}

/// Why AWS would not take or not reach an issuer. Addresses of this machine are trials.
fn obstacle(issuer: &IssuerUrl) -> Option<AwsObstacle> {
    let obstacle = issuer.aws_obstacle()?;
    (!matches!(obstacle, AwsObstacle::NotHttps | AwsObstacle::Loopback)).then_some(obstacle)
}

/// Says where kube-apiserver would see fewer keys than we publish.
fn warn_of_deviations(keys: &LoadedKeys) {
    for deviation in &keys.deviations {
        report::warning(&format!(
            "{}:{}: {}",
            deviation.path.display(),
            deviation.line,
            deviation.reason
        ));
    }
}
