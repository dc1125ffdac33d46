//! `irsa token verify`.

use std::path::PathBuf;

use clap::ValueHint;
use clap::builder::NonEmptyStringValueParser;
use irsa_core::explain::Explain as _;
use irsa_core::jwks::JwkSet;
use irsa_core::token::verify::{Expectation, Refusal, Verified, verify};
use irsa_issuer::keyfile;
use irsa_issuer::relying_party::RelyingParty;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{FetchArgs, IssuerArgs};
use crate::commands::token::{read, timestamp};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Format, Render};
use crate::report::Failure;
use crate::visible::visible;

/// Verify a token as a relying party does: signature, issuer, audience, times and kid.
///
/// The keys are fetched through the issuer, as AWS STS does: the discovery document first, then the JWKS that it
/// names, without redirects. As STS does, it demands iat, and refuses an issuer with more than 100 RSA or 100 EC keys.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// Who we are: a client ID of the IAM provider
    #[arg(long, value_name = "AUD", value_parser = NonEmptyStringValueParser::new(), default_value = "sts.amazonaws.com")]
    pub audience: String,
    /// Take the keys from a file instead of fetching them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub jwks: Option<PathBuf>,
    /// Verify as if it were this time
    #[arg(long, value_name = "RFC3339", value_parser = timestamp)]
    pub at: Option<Timestamp>,
    /// How to fetch.
    #[command(flatten)]
    pub fetch: FetchArgs,
    /// The token; - is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

#[derive(Serialize)]
struct Accepted {
    accepted: bool,
    subject: String,
    kid: String,
    algorithm: &'static str,
    expires: Timestamp,
    jwks: String,
}

impl Render for Accepted {
    fn text(&self) -> String {
        format!(
            "accepted\nsubject  {}\nkid      {} ({})\nexpires  {}\nkeys     {}",
            visible(&self.subject),
            visible(&self.kid),
            self.algorithm,
            self.expires,
            visible(&self.jwks)
        )
    }
}

/// For programs: a person reads the error.
#[derive(Serialize)]
struct Refused {
    accepted: bool,
    reason: String,
    help: Option<String>,
    jwks: String,
}

impl Refused {
    fn of(refusal: &Refusal, jwks: String) -> Self {
        Self {
            accepted: false,
            reason: refusal.to_string(),
            help: refusal.help(),
            jwks,
        }
    }
}

impl Render for Refused {
    fn text(&self) -> String {
        visible(&self.reason)
    }
}

/// Verifies the token.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        issuer,
        audience,
        jwks,
        at,
        fetch,
        file,
    } = args;
    let issuer = issuer.require(context)?;
    let token = read(&file)?;
    let (keys, jwks) = if let Some(path) = jwks {
        (
            JwkSet::parse(&keyfile::read(&path)?).map_err(|error| {
                let file = path.display();
                Failure::prefixed(&format!("\"{file}\" is no JWKS"), &error)
            })?,
            path.display().to_string(),
        )
    } else {
        let FetchArgs { ca_file, timeout } = fetch;
        let mut relying_party = RelyingParty::new(ca_file.as_deref(), timeout);
        let published = context.block_on(async { Ok(relying_party.keys(&issuer).await?) })?;
        (published.keys, published.jwks_uri)
    };
    let now = at.unwrap_or_else(Timestamp::now);
    let expected = Expectation {
        issuer: &issuer,
        audience: &audience,
        keys: &keys,
        now,
    };
    let Verified {
        kid,
        algorithm,
        subject,
        expires,
    } = match verify(&token, &expected) {
        Ok(verified) => verified,
        Err(refusal) => {
            if context.output.value == Format::Json {
                context.print(&Refused::of(&refusal, jwks))?;
            }
            return Err(Failure::prefixed("the token is refused", &refusal));
        }
    };
    context.print(&Accepted {
        accepted: true,
        subject,
        kid,
        algorithm: algorithm.name(),
        expires: Timestamp::from_second(expires).unwrap_or(Timestamp::MAX),
        jwks,
    })?;
    Ok(Exit::Done)
}
