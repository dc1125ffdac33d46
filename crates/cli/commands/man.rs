//! `irsa man`.

use std::path::PathBuf;

use clap::ValueHint;
use clap_mangen::Man;

use crate::context::Context;
use crate::exit::Exit;
use crate::output;
use crate::report::Failure;

/// Print the manual page; man -l - shows it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the pages of all commands into a directory instead
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

/// Prints the page, or writes them all.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { out } = args;
    let command = (context.definition)();
    let Some(directory) = out else {
        let mut page = Vec::new();
        Man::new(command)
            .render(&mut page)
            .map_err(|error| Failure::output(&error))?;
        output::line(page.trim_ascii_end())?;
        return Ok(Exit::Done);
    };
    std::fs::create_dir_all(&directory)
        .and_then(|()| clap_mangen::generate_to(command, &directory))
        .map_err(|error| {
            Failure::system(
                &format!(
                    "manual pages cannot be written to \"{}\"",
                    directory.display()
                ),
                &error,
            )
        })?;
    Ok(Exit::Done)
}
