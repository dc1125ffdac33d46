//! `irsa completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::output;
use crate::report::Failure;

/// Print a completion script for a shell.
///
/// For bash: irsa completions bash > /etc/bash_completion.d/irsa
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let Args { shell } = args;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "irsa", &mut script);
    output::line(script.trim_ascii_end())?;
    Ok(Exit::Done)
}
