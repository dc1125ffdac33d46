//! `irsa completions`.

use clap_complete::Shell;

use crate::context::Context;
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
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { shell } = args;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut (context.definition)(), "irsa", &mut script);
    output::line(script.trim_ascii_end())?;
    Ok(Exit::Done)
}
