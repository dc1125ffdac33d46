//! `irsa rotate status` and `irsa rotate history`: the key ring, as it was saved.

use std::path::PathBuf;

use clap::ValueHint;
use irsa_core::policy::RotationPolicy;
use irsa_core::ring::{Event, KeyRing};
use irsa_core::rotation::timeline::{Lane, Timeline};
use irsa_issuer::state::RingStore as _;
use jiff::Timestamp;
use serde::Serialize;

use super::places::{self, BucketArgs, Buckets, StatePlace, Use};
use super::policy::PolicyArgs;
use super::{notes, picture};
use crate::args::IssuerArgs;
use crate::aws::AwsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::output::{Render, table};
use crate::report::Failure;
use crate::visible::visible;

/// Show the keys, how far each one is, and when the next gate opens; with -o svg as a picture.
///
/// The timers are those of the last run, unless others are given.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The ring.
    #[command(flatten)]
    pub ring: RingArgs,
    /// The timers.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Show what was done to which key, when, by whom and why.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The ring.
    #[command(flatten)]
    pub ring: RingArgs,
}

/// Which ring.
#[derive(Debug, clap::Args)]
pub struct RingArgs {
    /// The issuer.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// Where the key ring is: a directory, secret:NAMESPACE/NAME or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE", value_parser = StatePlace::parse)]
    pub state: StatePlace,
    /// The cluster.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// S3.
    #[command(flatten)]
    pub bucket: BucketArgs,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// CA certificates in PEM to trust besides the system's, for S3
    #[arg(long, env = "IRSA_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath, hide_env_values = true)]
    pub ca_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Status {
    issuer: String,
    generation: u64,
    written: Timestamp,
    keys: Vec<KeyRow>,
    gates: Vec<GateRow>,
    servers: Vec<String>,
    notes: Vec<String>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    svg: String,
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
struct GateRow {
    at: Timestamp,
    kid: String,
    opens: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct History(Vec<Event>);

impl Render for Status {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn svg(&self) -> Option<String> {
        Some(self.svg.clone())
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
    let StatusArgs { ring, policy } = args;
    let ring = load(ring, context)?;
    let policy = policy.over(ring.timing().now.as_ref())?;
    context.print(&shown(&ring, &policy, Timestamp::now()))?;
    Ok(Exit::Done)
}

fn shown(ring: &KeyRing, policy: &RotationPolicy, now: Timestamp) -> Status {
    let timeline = Timeline::of(ring, policy);
    let notes = notes::of(ring, policy);
    let lines: Vec<String> = notes
        .iter()
        .map(|note| format!("\nnote: {}", visible(note)))
        .collect();
    let keys: Vec<KeyRow> = timeline
        .lanes
        .iter()
        .map(|lane| row(lane, &timeline))
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
        "{}\n\n{}\n\nsaved {} times, last at {}; {} spent keys{}",
        table(["kid", "state", "since", "next", "not before"], rows),
        picture::text(&timeline, now),
        ring.generation(),
        ring.written(),
        ring.tombstones().len(),
        lines.concat()
    );
    let gates = timeline.gates.iter().map(|gate| GateRow {
        at: gate.at,
        kid: gate.kid.to_string(),
        opens: gate.opens.to_string(),
    });
    Status {
        issuer: ring.issuer().to_owned(),
        generation: ring.generation(),
        written: ring.written(),
        gates: gates.collect(),
        servers: ring.servers().keys().cloned().collect(),
        svg: picture::svg(&timeline, ring.issuer(), now),
        keys,
        notes,
        text,
    }
}

/// Prints the history.
pub fn history(args: HistoryArgs, context: &Context) -> Result<Exit, Failure> {
    let ring = load(args.ring, context)?;
    context.print(&History(ring.history().to_vec()))?;
    Ok(Exit::Done)
}

fn load(args: RingArgs, context: &Context) -> Result<KeyRing, Failure> {
    let RingArgs {
        issuer,
        state,
        kubernetes,
        bucket,
        aws,
        ca_file,
    } = args;
    let issuer = issuer.require(context)?;
    context.block_on(async {
        let mut buckets = Buckets::new(&aws, &bucket, ca_file.as_deref());
        let config = async || Ok(kubernetes.config().await?);
        let store = places::open(&state, config, &mut buckets, Use::Look).await?;
        let Some(stored) = store.load().await? else {
            return Err(Failure::usage(
                format!("there is no key ring in \"{state}\""),
                "the first irsa rotate makes one from what it sees",
            ));
        };
        Ok(KeyRing::parse(&stored.bytes, &issuer)?)
    })
}

fn row(lane: &Lane, timeline: &Timeline) -> KeyRow {
    let span = lane.spans.first();
    let gate = timeline.gates.iter().find(|gate| gate.kid == lane.kid);
    let state = span.map_or("leaving", |span| span.state.as_str());
    let next = match (gate, state) {
        (Some(gate), _) => gate.opens.to_string(),
        (None, "next") => "signs".to_owned(),
        (None, "current") => "is replaced".to_owned(),
        (None, "leaving") => "is erased".to_owned(),
        (None, _) => "drains when nobody signs with it".to_owned(),
    };
    KeyRow {
        kid: lane.kid.to_string(),
        state,
        since: span.map(|span| span.from),
        compromised: lane.compromised,
        next,
        opens: gate.map(|gate| gate.at),
    }
}
