//! `irsa rotate rehearse`.

mod stage;
mod traffic;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueHint;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_core::observation::Observation;
use irsa_core::policy::{Assumptions, RotationPolicy, Timers};
use irsa_core::ring::KeyRing;
use irsa_issuer::serve::{Metrics, Server, ServerConfig, Site, SiteHandle};
use irsa_issuer::state::dir::StateDirectory;
use jiff::Timestamp;
use serde::Serialize;

use self::stage::Stage;
use crate::commands::quickstart::{self, serve_while};
use crate::context::Context;
use crate::drive::{self, Came, Course};
use crate::exit::Exit;
use crate::output::{Render, table};
use crate::report::{self, Failure};
use crate::settings::parse_issuer;
use crate::visible::visible;

/// How long the relying party of the rehearsal goes on using a JWKS.
const CACHE: Duration = Duration::from_secs(2);
/// How long each token of the rehearsal lives.
const TOKEN_TTL: Duration = Duration::from_secs(2);
/// Tokens count in whole seconds.
const SKEW: Duration = Duration::from_secs(1);
/// Between two runs, and between two rounds of the clients.
const EVERY: Duration = Duration::from_millis(100);
/// Ten times what a rehearsal takes on a slow machine.
const LONGEST: Duration = Duration::from_mins(2);

/// Rotate a key on this machine, in seconds and under load; needs no cluster and no AWS.
///
/// Real are the code that decides, the key ring, the keys, the documents and the endpoint that serves them; the waits
/// are of seconds. The API servers are stand-ins in this process, which sign and verify real tokens. All the while each
/// of them issues tokens, and every token that has not expired is used at every API server and at a relying party that
/// keeps a JWKS as long as it may. Exits with 0 if none was refused and the old key is refused everywhere at the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory for what it leaves: a folder with key ring, keys and documents for each rehearsal
    #[arg(long, value_name = "DIR", default_value = quickstart::DIRECTORY, value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// How many API servers
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub apiservers: u8,
}

#[derive(Serialize)]
struct Rehearsed {
    safe: bool,
    issuer: String,
    state: PathBuf,
    old_key: String,
    new_key: String,
    steps: Vec<Done>,
    tokens_issued: usize,
    tokens_used: usize,
    refused: Vec<String>,
    old_key_refused_by: Vec<String>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Done {
    after_seconds: f64,
    what: String,
}

impl Render for Rehearsed {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Rotates, with stand-ins for the API servers.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { dir, apiservers } = args;
    let folder = dir.join(format!("rehearsal-{}", Timestamp::now().as_millisecond()));
    let safe = context.block_on(async {
        // The port is part of the issuer, and known only once it is bound.
        let site = SiteHandle::new(Site::new(Vec::new())?);
        let config = ServerConfig {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            ..ServerConfig::default()
        };
        let bound = Server::bind(config, site.clone(), Metrics::new()).await?;
        let address = bound.local_addrs().into_iter().next();
        let port = address.map_or(0, |address| address.port());
        let issuer = parse_issuer(&format!("http://127.0.0.1:{port}"), TrailingSlash::Refuse)?;
        let mut safe = None;
        let work = async {
            let rehearsed = rehearse(&issuer, &folder, apiservers, site).await?;
            safe = Some(rehearsed.safe);
            context.print(&rehearsed)
        };
        Box::pin(serve_while(bound, work)).await?;
        Ok::<_, Failure>(safe)
    })?;
    Ok(match safe {
        Some(true) => Exit::Done,
        Some(false) => Exit::Failed,
        // Somebody pressed Ctrl-C.
        None => Exit::TryAgain,
    })
}

async fn rehearse(
    issuer: &IssuerUrl,
    folder: &Path,
    apiservers: u8,
    site: SiteHandle,
) -> Result<Rehearsed, Failure> {
    let ring_folder = folder.join("ring");
    let store = StateDirectory::lock(&ring_folder)?;
    let mut stage = Stage::new(issuer, folder, apiservers, site).await?;
    let course = course(issuer)?;
    report::note(&format!(
        "{apiservers} API servers, a relying party that keeps a JWKS for {} s, tokens that live for {} s: some ten seconds",
        CACHE.as_secs(),
        TOKEN_TTL.as_secs()
    ));
    let start = Instant::now();
    let mut requested = false;
    let mut steps = Vec::new();
    let ring = loop {
        let request = |ring: &KeyRing, _: &Observation, now| {
            Ok((!requested).then(|| ring.request("a rehearsal".to_owned(), now)))
        };
        let came = drive::drive(&store, &mut stage, &course, request).await?;
        requested = true;
        for action in &came.actions {
            let after = start.elapsed().as_secs_f64();
            steps.push(Done {
                after_seconds: (after * 10.0).round() / 10.0,
                what: action.to_string(),
            });
        }
        if let Some(ring) = ended(came, &stage, start)? {
            break ring;
        }
        stage.use_tokens().await?;
        tokio::time::sleep(EVERY).await;
    };
    let new_key = ring.signing().map(|key| key.kid.to_string());
    let refusing = stage.use_old_key().await?;
    let mut rehearsed = Rehearsed {
        safe: stage.traffic.refused.is_empty() && refusing.len() == usize::from(apiservers) + 1,
        issuer: issuer.to_string(),
        state: ring_folder,
        old_key: stage.old_key().to_string(),
        new_key: new_key.unwrap_or_default(),
        steps,
        tokens_issued: stage.traffic.issued,
        tokens_used: stage.traffic.used,
        refused: std::mem::take(&mut stage.traffic.refused),
        old_key_refused_by: refusing,
        text: String::new(),
    };
    rehearsed.text = describe(&rehearsed, apiservers);
    Ok(rehearsed)
}

/// The ring, once the old key is gone from it.
fn ended(came: Came, stage: &Stage, start: Instant) -> Result<Option<KeyRing>, Failure> {
    if let Some(block) = came.block {
        return Err(block.into());
    }
    let over = |ring: &KeyRing| ring.key(stage.old_key()).is_none() && ring.next().is_none();
    let ring = came.ring.filter(over);
    if ring.is_none() && start.elapsed() > LONGEST {
        let waits: Vec<_> = came
            .waits
            .iter()
            .map(|wait| wait.reason.to_string())
            .collect();
        return Err(Failure::failed(
            format!(
                "the rehearsal did not end within {} s: {}",
                LONGEST.as_secs(),
                waits.join("; ")
            ),
            "run it again on a machine that is less busy; if it stays so, this is a bug in irsa: report it",
        ));
    }
    Ok(ring)
}

fn course(issuer: &IssuerUrl) -> Result<Course, Failure> {
    let assumptions = Assumptions {
        caches: CACHE,
        public_token: TOKEN_TTL,
        cluster_token: TOKEN_TTL,
        skew: SKEW,
    };
    let policy = RotationPolicy::new(assumptions, Timers::default());
    Ok(Course {
        issuer: issuer.clone(),
        policy: policy.map_err(|error| Failure::refused(&error))?,
        holder: "rehearsal".to_owned(),
        lease: LONGEST,
        dry_run: false,
        at: None,
    })
}

fn describe(rehearsed: &Rehearsed, apiservers: u8) -> String {
    let rows = rehearsed.steps.iter().map(|done| {
        let what = done
            .what
            .replace(&rehearsed.old_key, "the old key")
            .replace(&rehearsed.new_key, "the new key");
        [format!("{:.1} s", done.after_seconds), visible(&what)]
    });
    let mut text = table(["AFTER", "STEP"], rows);
    let _ = write!(
        text,
        "\n\nold key {}\nnew key {}\n{apiservers} API servers issued {} tokens, which were used {} times: {} refused\n\
         a token that the old key signs now is refused by {}\n",
        rehearsed.old_key,
        rehearsed.new_key,
        rehearsed.tokens_issued,
        rehearsed.tokens_used,
        rehearsed.refused.len(),
        match &*rehearsed.old_key_refused_by {
            [] => "nobody".to_owned(),
            all => all.join(", "),
        }
    );
    for refusal in rehearsed.refused.iter().take(SHOWN) {
        let _ = writeln!(text, "REFUSED: {}", visible(refusal));
    }
    let verdict = if rehearsed.safe { "safe" } else { "UNSAFE" };
    let irsa = std::env::args().next().unwrap_or_else(|| "irsa".to_owned());
    let ring = format!(
        "--issuer {} --state {}",
        rehearsed.issuer,
        rehearsed.state.display()
    );
    let _ = write!(
        text,
        "\n{verdict}\n\nNext:\n  \
         {irsa} rotate history {ring}\n  \
         {irsa} rotate simulate --crash            the timers of a real cluster, a year in a second"
    );
    text
}

/// Of refusals that are alike.
const SHOWN: usize = 5;
