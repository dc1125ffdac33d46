//! `irsa keys generate`.

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};
use irsa_core::algorithm::Curve;
use irsa_issuer::keyfile::PairPaths;
use irsa_issuer::keygen::{self, KeyKind};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;

/// Make a signing key for kube-apiserver.
///
/// The private half is PKCS#1 (RSA) or SEC1 (EC), the two forms that kube-apiserver reads everywhere; the public
/// half is PKIX. Existing files are never overwritten.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for the two files; it is made if it is missing
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// The algorithm that tokens will be signed with; RS256 is accepted most widely
    #[arg(long, value_enum, ignore_case = true, default_value = "RS256")]
    pub algorithm: AlgorithmName,
    /// The size of an RSA key [default: 2048]
    #[arg(long, value_name = "BITS", value_parser = ["2048", "3072", "4096"])]
    pub rsa_bits: Option<String>,
    /// The files are called NAME.key and NAME.pub
    #[arg(long, default_value = "sa", value_parser = file_name)]
    pub name: String,
}

/// The algorithms that kube-apiserver signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlgorithmName {
    /// RSA.
    #[value(name = "RS256")]
    Rs256,
    /// P-256.
    #[value(name = "ES256")]
    Es256,
    /// P-384.
    #[value(name = "ES384")]
    Es384,
    /// P-521.
    #[value(name = "ES512")]
    Es512,
}

#[derive(Serialize)]
struct Generated {
    kid: String,
    algorithm: &'static str,
    key: String,
    private_key: PathBuf,
    public_key: PathBuf,
}

impl Render for Generated {
    fn text(&self) -> String {
        format!(
            "private key  {} (mode 0600)\npublic key   {}\nkey          {}, {}\nkid          {}",
            self.private_key.display(),
            self.public_key.display(),
            self.key,
            self.algorithm,
            self.kid
        )
    }
}

/// Makes the key and writes both files.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        out,
        algorithm,
        rsa_bits,
        name,
    } = args;
    let kind = match (algorithm, rsa_bits.as_deref()) {
        (AlgorithmName::Rs256, None | Some("2048")) => KeyKind::Rsa2048,
        (AlgorithmName::Rs256, Some("3072")) => KeyKind::Rsa3072,
        (AlgorithmName::Rs256, Some(_)) => KeyKind::Rsa4096,
        (_, Some(_)) => {
            return Err(Failure::usage(
                "--rsa-bits is for RS256 only",
                "leave it out: the curve sets the size",
            ));
        }
        (AlgorithmName::Es256, None) => KeyKind::Ec(Curve::P256),
        (AlgorithmName::Es384, None) => KeyKind::Ec(Curve::P384),
        (AlgorithmName::Es512, None) => KeyKind::Ec(Curve::P521),
    };
    let key = keygen::generate(kind)?;
    let paths = PairPaths::new(&out, &name);
    paths.create(&key)?;
    let public = key.public_key();
    context.print(&Generated {
        kid: public.kid().to_string(),
        algorithm: public.algorithm().name(),
        key: public.describe(),
        private_key: paths.private,
        public_key: paths.public,
    })?;
    Ok(Exit::Done)
}

fn file_name(text: &str) -> Result<String, String> {
    let special = |c: char| c == '/' || c.is_control();
    let plain = !text.is_empty() && !text.starts_with('.') && !text.contains(special);
    if plain {
        Ok(text.to_owned())
    } else {
        Err("a file name without slashes, not hidden".to_owned())
    }
}
