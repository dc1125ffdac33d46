//! `irsa rotate status` and `irsa rotate history`: the key ring, as it was saved.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use irsa_core::policy::RotationPolicy;
use irsa_core::ring::{Event, KeyRing, RingKey, Stage, Track};
use irsa_issuer::state::dir;
use jiff::Timestamp;
use serde::Serialize;

use super::policy::PolicyArgs;
use crate::args::IssuerArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Render, table};
use crate::report::Failure;
use crate::visible::visible;

/// Show the keys, how far each one is, and when the next gate opens.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// Directory of the key ring
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
    /// The timers.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Show what was done to which key, when, by whom and why.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// Directory of the key ring
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
}

#[derive(Serialize)]
struct Status {
    issuer: String,
    generation: u64,
    written: Timestamp,
    keys: Vec<KeyRow>,
    servers: Vec<String>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct KeyRow {
    kid: String,
    state: &'static str,
    since: Option<Timestamp>,
    compromised: bool,
    next: String,
    opens: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct History(Vec<Event>);

impl Render for Status {
    fn text(&self) -> String {
        self.text.clone()
    }
}

impl Render for History {
    fn text(&self) -> String {
        let rows = self.0.iter().map(|event| {
            [
                event.at.to_string(),
                event.what.to_string(),
                event
                    .kid
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                visible(event.place.as_deref().unwrap_or_default()),
                visible(&event.by),
                visible(&event.why),
            ]
        });
        table(["when", "what", "which key", "where", "by", "why"], rows)
    }
}

/// Prints the ring.
pub fn status(args: StatusArgs, context: &Context) -> Result<Exit, Failure> {
    let StatusArgs {
        issuer,
        state,
        policy,
    } = args;
    let policy = policy.policy()?;
    let ring = load(&issuer, &state, context)?;
    let keys: Vec<KeyRow> = ring
        .keys()
        .iter()
        .map(|key| row(key, &ring, &policy))
        .collect();
    let rows = keys.iter().map(|key| {
        [
            key.kid.clone(),
            key.state.to_owned(),
            key.since.map(|since| since.to_string()).unwrap_or_default(),
            key.next.clone(),
            key.opens.map(|opens| opens.to_string()).unwrap_or_default(),
        ]
    });
    let text = format!(
        "{}\n\nsaved {} times, last at {}; {} spent keys",
        table(["kid", "state", "since", "next", "not before"], rows),
        ring.generation(),
        ring.written(),
        ring.tombstones().len()
    );
    context.print(&Status {
        issuer: ring.issuer().to_owned(),
        generation: ring.generation(),
        written: ring.written(),
        keys,
        servers: ring.servers().keys().cloned().collect(),
        text,
    })?;
    Ok(Exit::Done)
}

/// Prints the history.
pub fn history(args: HistoryArgs, context: &Context) -> Result<Exit, Failure> {
    let HistoryArgs { issuer, state } = args;
    let ring = load(&issuer, &state, context)?;
    context.print(&History(ring.history().to_vec()))?;
    Ok(Exit::Done)
}

fn load(issuer: &IssuerArgs, state: &Path, context: &Context) -> Result<KeyRing, Failure> {
    let issuer = issuer.require(context)?;
    let Some(stored) = dir::read(state)? else {
        return Err(Failure::usage(
            format!("there is no key ring in \"{}\"", state.display()),
            "the first irsa rotate makes one from what it sees",
        ));
    };
    Ok(KeyRing::parse(&stored.bytes, &issuer)?)
}

fn row(key: &RingKey, ring: &KeyRing, policy: &RotationPolicy) -> KeyRow {
    let after = |at: Timestamp, wait: std::time::Duration| at.saturating_add(wait).ok();
    let (state, since, next, opens) = match &key.stage {
        Stage::Next(seen) => {
            let since = seen.everywhere();
            let opens = since.and_then(|since| after(since, policy.publish_wait()));
            ("next", since.or(Some(key.created)), "signs", opens)
        }
        Stage::Signing { since, .. } => {
            let due = ring.requested().or_else(|| after(*since, policy.period()));
            ("current", Some(*since), "is replaced", due)
        }
        Stage::Draining {
            quiet_since,
            longest,
            public,
            cluster,
            ..
        } => {
            let public_end =
                quiet_since.and_then(|since| after(since, policy.public_drain(longest.public)));
            let cluster_end =
                quiet_since.and_then(|since| after(since, policy.cluster_drain(longest.cluster)));
            match (public, cluster) {
                (Track::Held, _) => ("previous", *quiet_since, "leaves the JWKS", public_end),
                (_, Track::Held) => (
                    "previous",
                    *quiet_since,
                    "leaves the API servers",
                    cluster_end,
                ),
                (_, _) => ("withdrawn", *quiet_since, "is erased", None),
            }
        }
    };
    KeyRow {
        kid: key.kid.to_string(),
        state,
        since,
        compromised: key.compromised.is_some(),
        next: next.to_owned(),
        opens,
    }
}
