//! `irsa webhook`: the pod identity webhook.

pub use flags::InjectionArgs;
pub use section::WebhookSection;

use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;

pub mod audit;
pub(in crate::commands) mod flags;
pub mod install;
pub mod manifest;
mod manifests;
pub mod review;
mod section;
pub mod serve;
mod serve_flags;
mod sources;

/// The pod identity webhook: gives pods their IAM role
#[derive(Debug, clap::Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Serve(Box<serve::Args>),
    Review(Box<review::Args>),
    Manifest(manifest::Args),
    Install(install::InstallArgs),
    Uninstall(install::UninstallArgs),
    Status(install::StatusArgs),
    Audit(Box<audit::Args>),
}

/// Runs one of them.
pub fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::run(*args, context),
        Command::Manifest(args) => manifest::run(args, context),
        Command::Install(args) => install::install(args, context),
        Command::Uninstall(args) => install::uninstall(args, context),
        Command::Status(args) => install::status(args, context),
        Command::Audit(args) => audit::run(*args, context),
        Command::Review(args) => review::run(*args, context),
    }
}
