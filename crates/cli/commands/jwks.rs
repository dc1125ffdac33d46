//! `irsa jwks`.

use std::path::PathBuf;

use clap::ValueHint;
use irsa_core::jwks::JwkSet;
use irsa_issuer::keyset;

use crate::commands::warn_of_deviations;
use crate::exit::Exit;
use crate::output;
use crate::report::Failure;

/// Print the JWKS of public keys, on one line.
///
/// Every key is converted, each once. A block that is no usable key refuses the whole command; one that
/// kube-apiserver would skip is published with a warning.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Key files and certificates in PEM, and directories of *.pub files; - is standard input
    #[arg(required = true, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub keys: Vec<PathBuf>,
    /// Print what kube-apiserver serves at /openid/v1/jwks for these --service-account-key-file flags, byte for byte:
    /// blocks that it skips are skipped, repetitions are kept
    #[arg(long)]
    pub as_apiserver: bool,
}

/// Prints the set.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let Args { keys, as_apiserver } = args;
    let set = if as_apiserver {
        let loaded = keyset::load_as_apiserver(&keys)?;
        JwkSet::from_keys_as_apiserver(loaded.iter().map(|sourced| &sourced.key))
    } else {
        let loaded = keyset::load(&keys)?;
        warn_of_deviations(&loaded);
        JwkSet::from_keys(loaded.public_keys())
    };
    output::line(&set.to_bytes())?;
    Ok(Exit::Done)
}
