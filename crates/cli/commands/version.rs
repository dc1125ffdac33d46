//! `irsa version`.

use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;

/// Print the version.
#[derive(Debug, clap::Args)]
pub struct Args {}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
}

impl Render for Version {
    fn text(&self) -> String {
        format!("irsa {} ({}-{})", self.version, self.os, self.arch)
    }
}

/// Prints the version.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {} = args;
    context.print(&Version {
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
    })?;
    Ok(Exit::Done)
}
