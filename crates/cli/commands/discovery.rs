//! `irsa discovery`.

use std::path::PathBuf;

use clap::ValueHint;
use irsa_core::discovery;
use irsa_core::jwks::JwkSet;
use irsa_issuer::keyset;

use crate::args::DocumentArgs;
use crate::commands::{warn_of_deviations, warn_of_issuer};
use crate::context::Context;
use crate::exit::Exit;
use crate::output;
use crate::report::Failure;

/// Print the discovery document of an issuer, on one line.
///
/// Byte for byte what kube-apiserver serves at /.well-known/openid-configuration for the same issuer, JWKS URI and
/// keys. The issuer is used as it is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The issuer and its documents.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Key files and certificates in PEM, and directories of *.pub files: they tell the algorithms
    #[arg(required = true, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub keys: Vec<PathBuf>,
    /// Read the keys as kube-apiserver does: blocks that it skips are skipped
    #[arg(long)]
    pub as_apiserver: bool,
}

/// Prints the document.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        document,
        keys,
        as_apiserver,
    } = args;
    let (issuer, jwks_uri) = document.require(context)?;
    warn_of_issuer(&issuer);
    let jwks_uri = jwks_uri.unwrap_or_else(|| issuer.default_jwks_uri());
    let set = if as_apiserver {
        if !issuer.is_https() {
            return Err(Failure::usage(
                format!(
                    "kube-apiserver serves no documents for the issuer {issuer}: it is not https"
                ),
                "leave --as-apiserver out",
            ));
        }
        let loaded = keyset::load_as_apiserver(&keys)?;
        JwkSet::from_keys(loaded.iter().map(|sourced| &sourced.key))
    } else {
        let loaded = keyset::load(&keys)?;
        warn_of_deviations(&loaded);
        JwkSet::from_keys(loaded.public_keys())
    };
    output::line(&discovery::to_bytes(&issuer, &jwks_uri, &set.algorithms()))?;
    Ok(Exit::Done)
}
