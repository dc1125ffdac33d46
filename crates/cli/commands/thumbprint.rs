//! `irsa thumbprint`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueHint;
use irsa_core::thumbprint::{Chain, ChainCertificate};
use irsa_issuer::chain_probe::{self, parse_target};
use irsa_issuer::keyfile;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::duration;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Format, Render};
use crate::report::{self, Failure};
use crate::visible::visible;

/// Print the CA thumbprint of a server, as IAM's ThumbprintList wants it.
///
/// It is the SHA-1 of the last certificate that the server sends, the top intermediate CA. AWS looks at it only when
/// the chain does not end in a public root, so for a public CA no thumbprint is needed at all.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// https URL, HOST or HOST:PORT; take the host of the jwks_uri
    #[arg(value_name = "URL|HOST[:PORT]", required_unless_present = "pem")]
    pub target: Option<String>,
    /// Read the chain from a PEM file instead, leaf first; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "target", value_hint = ValueHint::FilePath)]
    pub pem: Option<PathBuf>,
    /// How long to wait for the handshake
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    pub timeout: Duration,
}

#[derive(Serialize)]
struct Thumbprint {
    thumbprint: String,
    certificate: usize,
    reason: &'static str,
    leaf_only: bool,
    /// Null when the chain came from a file: then nobody knows which host it is for.
    needed_by_aws: Option<bool>,
    /// What relying parties will dislike about the certificate, whoever signed it.
    problem: Option<String>,
    chain: Vec<Certificate>,
}

#[derive(Serialize)]
struct Certificate {
    subject: String,
    issuer: String,
    not_after: String,
    ca: bool,
    thumbprint: String,
}

impl From<&ChainCertificate> for Certificate {
    fn from(certificate: &ChainCertificate) -> Self {
        let not_after = Timestamp::from_second(certificate.not_after);
        Self {
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            not_after: not_after.map(|at| at.to_string()).unwrap_or_default(),
            ca: certificate.is_ca,
            thumbprint: certificate.thumbprint.to_string(),
        }
    }
}

impl Render for Thumbprint {
    fn text(&self) -> String {
        self.thumbprint.clone()
    }
}

/// Looks at the chain and prints the thumbprint; what there is to say about it goes to standard error.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        target,
        pem,
        timeout,
    } = args;
    let (chain, probed) = match (target, pem) {
        (_, Some(path)) => {
            let chain = Chain::from_pem(&keyfile::read(&path)?);
            let chain = chain.map_err(|error| Failure::from(error).in_file(&path))?;
            (chain, None)
        }
        (Some(target), None) if Path::new(&target).is_file() => {
            return Err(Failure::usage(
                format!("\"{target}\" is a file here, not a server"),
                format!(
                    "irsa thumbprint --pem {target}, or {target}:443 for a server of that name"
                ),
            ));
        }
        (Some(target), None) => {
            let url = parse_target(&target).map_err(|error| Failure::refused(&error))?;
            let probe = context.block_on(async { Ok(chain_probe::probe(&url, timeout).await?) })?;
            (probe.chain.clone(), Some(probe))
        }
        (None, None) => return Err(Failure::usage("no server given", "irsa thumbprint HOST")),
    };
    let Some(top) = chain.top() else {
        return Err(Failure::usage(
            "the chain is empty",
            "give a server or a PEM file",
        ));
    };
    let result = Thumbprint {
        thumbprint: top.thumbprint.to_string(),
        certificate: chain.certificates().len(),
        reason: chain.reason(),
        leaf_only: chain.is_leaf_only(),
        needed_by_aws: probed.as_ref().map(|probe| !probe.ends_in_public_root),
        problem: probed.and_then(|probe| probe.problem),
        chain: chain.certificates().iter().map(Certificate::from).collect(),
    };
    if result.leaf_only {
        report::warning(result.reason);
    }
    if let Some(problem) = &result.problem {
        report::warning(&format!(
            "relying parties will refuse the certificate: {problem}"
        ));
    }
    if context.output.value == Format::Text {
        report::note(&notes(&result, top));
    }
    output::print(&result, context.output.value)?;
    Ok(Exit::Done)
}

fn notes(result: &Thumbprint, top: &ChainCertificate) -> String {
    let count = result.certificate;
    let which = format!(
        "certificate {count} of {count}, \"{}\": {}",
        visible(&top.subject),
        result.reason
    );
    let need = match result.needed_by_aws {
        Some(true) => "\nAWS needs it: the chain does not end in a public root",
        Some(false) => {
            "\nAWS does not need it: the chain ends in a public root, so leave ThumbprintList out"
        }
        None => "",
    };
    format!("{which}{need}")
}
