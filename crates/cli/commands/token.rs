//! `irsa token`: make, verify and explain service account tokens.

pub mod explain;
pub mod mint;
pub mod verify;

use std::path::Path;

use clap::Subcommand;
use irsa_core::token::Token;
use irsa_issuer::keyfile;
use jiff::Timestamp;

use crate::report::Failure;

/// The subcommands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Mint(mint::Args),
    Verify(verify::Args),
    Explain(explain::Args),
}

fn read(path: &Path) -> Result<Token, Failure> {
    let text = keyfile::read(path)?;
    Ok(Token::parse(&String::from_utf8_lossy(&text))?)
}

/// Reads `2026-11-22T10:00:00Z`.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "write it like 2026-11-22T10:00:00Z".to_owned())
}
