//! `irsa apiserver`: kube-apiserver's token flags, on any distribution.

pub mod check;
mod layers;
mod look;
pub mod patch;
pub mod revert;
pub mod rollout;
pub(crate) mod servers;
pub(crate) mod standing;
pub(crate) mod wanted;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Subcommand;
use irsa_apiserver::distro::Distro;
use irsa_apiserver::file::Backups;
use irsa_core::explain::Explain;

use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;

/// The subcommands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Check(Box<check::Args>),
    Patch(Box<patch::Args>),
    Revert(revert::Args),
    Rollout(Box<rollout::Args>),
}

/// Runs one of them.
pub fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Check(args) => check::run(*args, context),
        Command::Patch(args) => patch::run(*args, context),
        Command::Revert(args) => revert::run(args, context),
        Command::Rollout(args) => rollout::run(*args, context),
    }
}

/// What `--distro` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistroChoice {
    /// Tell it from the file, or refuse to guess.
    Auto,
    /// The file is of this one.
    Of(Distro),
}

impl DistroChoice {
    pub(crate) fn known(self) -> Option<Distro> {
        match self {
            Self::Auto => None,
            Self::Of(distro) => Some(distro),
        }
    }
}

impl FromStr for DistroChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Of)
    }
}

/// Where backups go: the directory given, else root's state directory or the user's.
pub(crate) fn backups(given: Option<PathBuf>) -> Result<Backups, Failure> {
    if let Some(directory) = given {
        return Ok(Backups::new(directory));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(Backups::new(PathBuf::from("/var/lib/irsa/backup")));
    }
    let variable = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    match state {
        Some(state) => Ok(Backups::new(state.join("irsa/backup"))),
        None => Err(Failure::usage(
            "there is no home directory to keep backups in",
            "add --backup DIR",
        )),
    }
}

/// An error about a file, under the name that the user gave it.
pub(crate) fn about(path: &Path, error: &(impl Explain + ?Sized)) -> Failure {
    Failure::prefixed(&format!("{} was not changed", path.display()), error)
}
