//! `irsa rotate`: rotate the signing key, one safe step at a time.

pub mod policy;
pub mod simulate;

use clap::Subcommand;

/// The subcommands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Simulate(Box<simulate::Args>),
}
