//! The command line of `irsa`: arguments, configuration, wiring, output and exit codes.
//!
//! ```text
//!   argv ──► pasted (secrets are refused) ──► args, settings, config ──► context ──► commands/ ──► output, report ──► exit
//!            flags > environment > file > defaults                          │
//!                    core decides ◄──────────────── drive: the one loop of a rotation
//!                    issuer, iam, apiserver, webhook, connector act (through aws, kubernetes)
//! ```
//!
//! What is decided is in `irsa-core`, what is done in its siblings, of which none knows another; each file of [`commands`]
//! unpacks the arguments of one subcommand, hands them on and prints the answer. This is a library so that the tests of the
//! deployment files and the fuzz targets use the very parsers of the binary.

#![allow(
    clippy::doc_markdown,
    reason = "the doc comments of arguments are the text of --help"
)]

pub mod args;
pub mod aws;
pub mod commands;
pub mod config;
pub mod context;
pub mod deferred;
pub mod drive;
pub mod exit;
pub mod kubernetes;
pub mod logging;
pub mod output;
pub mod pasted;
pub mod report;
pub mod settings;
pub mod variable;
pub mod visible;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::args::GlobalArgs;
use crate::commands::Command;
use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;

/// AWS IAM roles for pods on any Kubernetes cluster, with no static keys.
///
/// From the keys that kube-apiserver signs with, irsa makes the two public documents of an OIDC issuer, puts them
/// where AWS can fetch them, and proves that a pod's token verifies. Start with: irsa quickstart
#[derive(Debug, Parser)]
#[command(name = "irsa", version, after_help = exit::TABLE, max_term_width = 100)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Runs one command line and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Err(Failure::Failed(failed)) = pasted::refuse(&arguments) {
        return report::failure(&failed).into();
    }
    let arguments = commands::webhook::serve::as_upstream(arguments);
    let parsed = Cli::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = variable::named(error, Cli::command(), &arguments);
            return report::usage(&error).into();
        }
    };
    let outcome = Context::new(&cli.global, &matches, Cli::command)
        .and_then(|context| commands::run(cli.command, &context));
    match outcome {
        Ok(exit) => exit.into(),
        // Nobody reads any more what was printed again and again: `irsa doctor --watch | head`.
        Err(Failure::BrokenPipe) => Exit::Done.into(),
        Err(Failure::Failed(failed)) => report::failure(&failed).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_list_of_commands_says_what_each_says_of_itself() {
        let list = Cli::command();
        let mut built = Cli::command();
        built.build();
        for command in list.get_subcommands() {
            let named = built
                .find_subcommand(command.get_name())
                .expect("a built command has all subcommands");
            assert_eq!(
                command.get_about().map(ToString::to_string),
                named.get_about().map(ToString::to_string),
                "{}",
                command.get_name()
            );
        }
    }
}
