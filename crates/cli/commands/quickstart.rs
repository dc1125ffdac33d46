//! `irsa quickstart`: the whole thing once, on this machine.

use std::future::{Future, pending};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueHint;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_core::token::Token;
use irsa_core::token::claims::ServiceAccount;
use irsa_core::token::verify::{Expectation, verify};
use irsa_issuer::keyfile::{self, PairPaths};
use irsa_issuer::keygen::{self, KeyKind};
use irsa_issuer::relying_party::{RelyingParty, TIMEOUT};
use irsa_issuer::serve::{Metrics, Server, ServerConfig, Site, SiteHandle};
use irsa_issuer::sign::{self, Signer};
use irsa_issuer::source::{IssuerSpec, SiteSource};
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::token::mint::mint;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Render};
use crate::report::{self, Failure};
use crate::settings::parse_issuer;

const AUDIENCE: &str = "sts.amazonaws.com";
const ACCOUNT: &str = "default/demo";
const TTL: Duration = Duration::from_hours(1);
/// Where a key and what is tried with it are put unless another place is named; `rotate rehearse` puts its own there too.
pub(super) const DIRECTORY: &str = "irsa-quickstart";

/// Make a key, serve its issuer on this machine, mint a token and verify it as a relying party does.
///
/// Nothing leaves this machine and nothing needs AWS or a cluster. Run again, it uses the same key. It serves until
/// Ctrl-C, so that you can look around.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for the key; it is made if it is missing
    #[arg(long, value_name = "DIR", default_value = DIRECTORY, value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Exit after the verification instead of serving on
    #[arg(long)]
    pub once: bool,
}

#[derive(Serialize)]
struct Report {
    issuer: String,
    kid: String,
    private_key: PathBuf,
    public_key: PathBuf,
    discovery: String,
    jwks: String,
    steps: Vec<Step>,
    #[serde(skip)]
    next: String,
}

#[derive(Serialize)]
struct Step {
    step: &'static str,
    result: String,
}

impl Render for Report {
    fn text(&self) -> String {
        let table = output::table(
            ["STEP", "RESULT"],
            self.steps
                .iter()
                .map(|step| [step.step.to_owned(), step.result.clone()]),
        );
        format!("{table}\n\n{}", self.next)
    }
}

/// Goes through all steps, then serves.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { dir, port, once } = args;
    let paths = PairPaths::new(&dir, "sa");
    let made = ensure_key(&paths)
        .map_err(|failure| failure.noted("--dir DIR makes the key in another directory"))?;
    let signer = Signer::new(&keyfile::read_private(&paths.private)?)?;
    context.block_on(async {
        // The port is part of the issuer, and known only once it is bound.
        let (handle, metrics) = (SiteHandle::new(Site::new(Vec::new())?), Metrics::new());
        let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        let config = ServerConfig {
            listen,
            ..ServerConfig::default()
        };
        let bound = Server::bind(config, handle.clone(), metrics).await?;
        let address = bound.local_addrs().into_iter().next();
        let port = address.map_or(port, |address| address.port());
        let issuer = parse_issuer(&format!("http://127.0.0.1:{port}"), TrailingSlash::Refuse)?;
        let keys = vec![paths.public.clone()];
        let spec = IssuerSpec {
            issuer: issuer.clone(),
            jwks_uri: None,
            keys,
        };
        let (source, changes) = SiteSource::load(vec![spec], Duration::from_mins(5))?;
        if let Some(refused) = changes.refused.into_iter().next() {
            return Err(refused.error.into());
        }
        handle.swap(source.site()?);
        let work = async {
            let mut report = verify_through(&issuer, &signer, &paths, made).await?;
            report.next = next_steps(&issuer, &paths, &dir, once);
            context.print(&report)?;
            if !once {
                report::note(&format!("serving until Ctrl-C on {issuer}"));
                pending::<()>().await;
            }
            Ok(())
        };
        serve_while(bound, work).await
    })?;
    Ok(Exit::Done)
}

/// Runs the work beside the server, until it is done or somebody presses Ctrl-C.
pub(super) async fn serve_while(
    bound: irsa_issuer::serve::Bound,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let interrupted = async {
        // Without the signal handler Ctrl-C ends the process all the same.
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    };
    tokio::select! {
        done = work => done,
        served = bound.run(Box::pin(interrupted)) => served.map_err(Failure::from),
    }
}

/// The key of the directory, made if there is none.
fn ensure_key(paths: &PairPaths) -> Result<bool, Failure> {
    if paths.private.exists() {
        // After a crash between the two files.
        paths.restore_public()?;
        return Ok(false);
    }
    paths.create(&keygen::generate(KeyKind::Rsa2048)?)?;
    Ok(true)
}

async fn verify_through(
    issuer: &IssuerUrl,
    signer: &Signer,
    paths: &PairPaths,
    made: bool,
) -> Result<Report, Failure> {
    let account = ServiceAccount::parse(ACCOUNT)?;
    let now = Timestamp::now();
    let text = mint(signer, issuer, AUDIENCE, &account, (now, TTL))?;
    let published = RelyingParty::new(None, TIMEOUT).keys(issuer).await?;
    let check = |text: &str| -> Result<_, Failure> {
        let expected = Expectation {
            issuer,
            audience: AUDIENCE,
            keys: &published.keys,
            now,
        };
        Ok(verify(&Token::parse(text)?, &expected))
    };
    let verified = check(&text)?
        .map_err(|refusal| Failure::prefixed("the token is refused by its own issuer", &refusal))?;
    let forged = match check(&sign::tamper(&text, "demo", "root"))? {
        Err(refusal) => format!("refused: {refusal}"),
        Ok(_) => {
            return Err(Failure::usage(
                "a changed token was accepted",
                "this is a bug: report it",
            ));
        }
    };
    let key = if made { "made" } else { "found" };
    let jwks = &published.jwks_uri;
    let count = published.keys.keys().len();
    let (subject, kid) = (&verified.subject, &verified.kid);
    let steps = [
        ("signing key", format!("{key}: {}", paths.private.display())),
        ("kid", signer.kid().to_string()),
        ("issuer", issuer.to_string()),
        ("discovery", issuer.discovery_url()),
        ("JWKS", format!("{jwks} ({count} key)")),
        (
            "token",
            format!("minted for {ACCOUNT}, audience {AUDIENCE}"),
        ),
        ("verified", format!("accepted: {subject} signed by {kid}")),
        ("changed token", forged),
    ];
    Ok(Report {
        kid: signer.kid().to_string(),
        discovery: issuer.discovery_url(),
        jwks: jwks.clone(),
        steps: steps.map(|(step, result)| Step { step, result }).into(),
        next: String::new(),
        private_key: paths.private.clone(),
        public_key: paths.public.clone(),
        issuer: issuer.to_string(),
    })
}

/// Commands that work as they are pasted: with the binary that is running, and only with what still runs.
fn next_steps(issuer: &IssuerUrl, paths: &PairPaths, dir: &Path, once: bool) -> String {
    let dir = if dir == Path::new(DIRECTORY) {
        String::new()
    } else {
        format!(" --dir {}", shell_word(dir))
    };
    let irsa = std::env::args().next().unwrap_or_else(|| "irsa".to_owned());
    let irsa = shell_word(Path::new(&irsa));
    let (private, public) = (shell_word(&paths.private), shell_word(&paths.public));
    let here = if once {
        format!("Next:\n  {irsa} quickstart{dir}            serves on, so that you can look around")
    } else {
        format!(
            "Next, in another terminal:\n  \
             curl {discovery}\n  \
             {irsa} token mint --key {private} --issuer {issuer} --subject {ACCOUNT} > token\n  \
             {irsa} token explain token\n  \
             {irsa} token verify --issuer {issuer} token",
            discovery = issuer.discovery_url(),
        )
    };
    format!(
        "{here}\n  \
         {irsa} keys inspect {private} {public}\n  \
         {irsa} rotate rehearse{dir}             a whole rotation in ten seconds, under load\n\
         With the key of your cluster, on kubeadm /etc/kubernetes/pki/sa.pub, and a URL of yours:\n  \
         {irsa} publish --issuer https://oidc.example.com --to dir:{tried} --dry-run sa.pub",
        // Documents of another issuer may be in the directory that the README names.
        tried = shell_word(&paths.private.with_file_name("published"))
    )
}

/// As it is pasted into a shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    irsa_iam::format::quoted(&text)
}
