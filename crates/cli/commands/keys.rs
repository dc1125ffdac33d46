//! `irsa keys`: make keys, and see what kube-apiserver does with a key file.

pub mod generate;
pub mod inspect;

use clap::Subcommand;

/// The subcommands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Generate(generate::Args),
    Inspect(inspect::Args),
}
