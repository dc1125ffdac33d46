//! `irsa token mint`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use clap::builder::NonEmptyStringValueParser;
use irsa_core::issuer::IssuerUrl;
use irsa_core::token::claims::{ServiceAccount, TokenRequest};
use irsa_issuer::keyfile;
use irsa_issuer::sign::{self, Signer};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::args::{IssuerArgs, duration};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;

/// Make a service account token, for smoke tests.
///
/// Its header and claims are those of kube-apiserver; whoever trusts the issuer accepts it, so treat it as the
/// credential that it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The signing key, readable by its owner only; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: PathBuf,
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// Who may accept it
    #[arg(long, value_name = "AUD", value_parser = NonEmptyStringValueParser::new(), default_value = "sts.amazonaws.com")]
    pub audience: String,
    /// Whose token it is
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub subject: String,
    /// How long it is valid, from 10m as kube-apiserver demands to 24h
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h")]
    pub ttl: Duration,
}

#[derive(Serialize)]
struct Minted {
    token: String,
    kid: String,
    expires: Timestamp,
}

impl Render for Minted {
    fn text(&self) -> String {
        self.token.clone()
    }
}

/// Makes the token.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        key,
        issuer,
        audience,
        subject,
        ttl,
    } = args;
    let issuer = issuer.require(context)?;
    let account = ServiceAccount::parse(&subject).map_err(|error| Failure::refused(&error))?;
    if !(600..=86_400).contains(&ttl.as_secs()) {
        return Err(Failure::usage(
            format!(
                "--ttl {} s is out of range, expected 600 s to 86400 s",
                ttl.as_secs()
            ),
            "kube-apiserver issues no shorter token, and a test needs no longer one",
        ));
    }
    let signer = Signer::new(&keyfile::read_private(&key)?)?;
    // Claims count whole seconds.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let token = mint(&signer, &issuer, &audience, &account, (now, ttl))?;
    let expires = now + SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
    context.print(&Minted {
        token,
        kid: signer.kid().to_string(),
        expires,
    })?;
    Ok(Exit::Done)
}

/// A token for a ServiceAccount that was never created: its UID is random.
pub fn mint(
    signer: &Signer,
    issuer: &IssuerUrl,
    audience: &str,
    account: &ServiceAccount,
    (now, ttl): (Timestamp, Duration),
) -> Result<String, Failure> {
    let (uid, token_id) = (sign::random_uuid()?, sign::random_uuid()?);
    let request = TokenRequest {
        issuer,
        audience,
        service_account: account,
        uid: &uid,
        token_id: &token_id,
        issued_at: now,
        lifetime: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX),
    };
    Ok(signer.token(&request.to_bytes())?)
}
