//! `irsa rotate`: rotate the signing key, one safe step at a time.

pub mod args;
mod compromise;
mod files;
mod gates;
pub mod look;
mod node;
mod notes;
mod outcome;
mod picture;
pub mod places;
pub mod policy;
pub mod rehearse;
pub mod run;
mod servers;
mod settled;
pub mod simulate;
mod sinks;
mod world;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;

/// Rotate the signing key, one safe step at a time: for a cron job.
///
/// Each run looks at the JWKS at the issuer URL and in every sink, at every API server, and at the files of this node;
/// advances as far as is safe; says what it waits for and until when; and exits. A key is published and trusted
/// everywhere before it signs, and stays until its last token has expired. Run it every hour on each control-plane node.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Look instead.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The rotation.
    #[command(flatten)]
    pub run: args::Args,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Status(look::StatusArgs),
    History(look::HistoryArgs),
    Simulate(Box<simulate::Args>),
    Rehearse(rehearse::Args),
}

/// Rotates, or looks.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    match args.command {
        Some(Command::Status(args)) => look::status(args, context),
        Some(Command::History(args)) => look::history(args, context),
        Some(Command::Simulate(args)) => simulate::run(*args, context),
        Some(Command::Rehearse(args)) => rehearse::run(args, context),
        None => run::run(args.run, context),
    }
}
