//! `irsa rotate simulate`.

use std::time::Duration;

use irsa_core::explain::Explain as _;
use irsa_core::policy::{Assumptions, LONGEST, PolicyError, RotationPolicy, Timers, spell};
use irsa_core::rotation::simulation::{self, Happening, Plan, Report};
use serde::Serialize;

use super::policy::PolicyArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{Render, table};
use crate::report::Failure;

/// Try timers in an adversarial world before they are used in a real one.
///
/// The very code that decides in irsa rotate goes through one rotation in simulated time. Every API server issues the
/// longest tokens at every instant, every relying party uses the oldest JWKS that it may still have. With --crash runs
/// also die between any two writes, stall, race and restart. Exits with 0 if no valid token was ever refused, and with 1
/// and the counter-example if one was; with 1 also for timers that irsa rotate refuses, whatever this one schedule shows.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many API servers the cluster has, each with a run on its node
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub apiservers: u8,
    /// What is true of the world, and the timers to try.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Let runs die, stall and race, clocks differ and API servers restart
    #[arg(long)]
    pub crash: bool,
    /// Which faults, at which moments: the same seed is the same story
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
}

#[derive(Serialize)]
struct Simulated {
    safe: bool,
    complete: bool,
    apiservers: u8,
    publish_wait_seconds: u64,
    drain_seconds: u64,
    cluster_drain_seconds: u64,
    skew_seconds: u64,
    took_seconds: u64,
    jwks_writes: usize,
    crashes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    counter_example: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    timeline: Vec<Line>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Line {
    at_seconds: u64,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

impl Render for Simulated {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Simulates, and says whether the timers are safe.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        apiservers,
        policy: chosen,
        crash,
        seed,
    } = args;
    let policy = believed(&chosen)?;
    let truth = chosen.assumptions();
    // One schedule may have the luck that timers lack.
    let refused = RotationPolicy::new(truth, chosen.timers()).err();
    let report = simulation::simulate(&Plan {
        servers: apiservers.into(),
        truth,
        policy,
        crash,
        seed,
    });
    let safe = report.violation.is_none() && report.complete && refused.is_none();
    let timeline: Vec<Line> = report
        .timeline
        .iter()
        .map(|moment| line(moment.at, &moment.what))
        .collect();
    context.print(&Simulated {
        safe,
        complete: report.complete,
        apiservers,
        publish_wait_seconds: policy.publish_wait().as_secs(),
        drain_seconds: policy.public_drain(Duration::ZERO).as_secs(),
        cluster_drain_seconds: policy.cluster_drain(Duration::ZERO).as_secs(),
        skew_seconds: policy.skew().as_secs(),
        took_seconds: report.took.as_secs(),
        jwks_writes: report.writes,
        crashes: report.crashes,
        counter_example: report
            .violation
            .as_ref()
            .map(|(_, violation)| violation.to_string()),
        text: describe(&report, &policy, &truth, refused.as_ref(), &timeline),
        refused: refused.map(|error| error.to_string()),
        timeline,
    })?;
    Ok(if safe { Exit::Done } else { Exit::Failed })
}

/// A policy that waits exactly as long as was asked for: one that takes the world for what these timers would fit. Then
/// it is the world that shows whether they fit.
fn believed(chosen: &PolicyArgs) -> Result<RotationPolicy, Failure> {
    let truth = chosen.assumptions();
    let shorter = |timer: Option<Duration>, margin: Duration, truth: Duration| {
        timer.map_or(truth, |timer| timer.saturating_sub(margin).min(truth))
    };
    let assumptions = Assumptions {
        caches: shorter(chosen.publish_wait, truth.skew, truth.caches),
        public_token: shorter(chosen.drain, truth.skew * 2, truth.public_token),
        cluster_token: shorter(chosen.cluster_drain, truth.skew * 2, truth.cluster_token),
        // A timer that is shorter than the skew leaves no room for it.
        skew: [
            chosen.publish_wait,
            chosen.drain.map(|drain| drain / 2),
            chosen.cluster_drain.map(|drain| drain / 2),
        ]
        .into_iter()
        .flatten()
        .fold(truth.skew, Duration::min),
    };
    // What irsa rotate would refuse about the period is refused here too.
    RotationPolicy::new(assumptions, chosen.timers()).map_err(|error| Failure::refused(&error))?;
    let outlive = |life: Duration| life.saturating_add(truth.skew * 2);
    let timers = Timers {
        // One rotation is looked at: the next one begins when it is over.
        period: Some(LONGEST),
        // What was left out is what irsa rotate would make of it.
        publish_wait: chosen
            .publish_wait
            .or(Some(truth.caches.saturating_add(truth.skew))),
        public_drain: chosen.drain.or(Some(outlive(truth.public_token))),
        cluster_drain: chosen.cluster_drain.or(Some(outlive(truth.cluster_token))),
    };
    RotationPolicy::new(assumptions, timers).map_err(|error| Failure::refused(&error))
}

fn line(at: Duration, what: &Happening) -> Line {
    let (what, key, place) = match what {
        Happening::Deed { what, key, place } => (what.to_string(), *key, place.clone()),
        Happening::Crash { node } => ("a run dies".to_owned(), None, Some(format!("api-{node}"))),
        Happening::Restart { server } => (
            "restarts by itself".to_owned(),
            None,
            Some(format!("api-{server}")),
        ),
        Happening::RingLost => ("the key ring is lost".to_owned(), None, None),
        Happening::KeyLost => ("a private key is lost".to_owned(), None, None),
    };
    Line {
        at_seconds: at.as_secs(),
        what,
        key,
        place,
    }
}

fn describe(
    report: &Report,
    policy: &RotationPolicy,
    truth: &Assumptions,
    refused: Option<&PolicyError>,
    timeline: &[Line],
) -> String {
    let rows = timeline.iter().map(|line| {
        [
            spell(Duration::from_secs(line.at_seconds)).to_string(),
            line.what.clone(),
            line.key.map(|key| format!("key {key}")).unwrap_or_default(),
            line.place.clone().unwrap_or_default(),
        ]
    });
    let skew = if policy.skew() < truth.skew {
        format!(
            "\nthese timers leave room for {} between two clocks; here clocks may differ by {} (--skew)",
            spell(policy.skew()),
            spell(truth.skew)
        )
    } else {
        String::new()
    };
    format!(
        "publish wait {}, drain {}, cluster drain {}{skew}\n\n{}\n\n{}",
        spell(policy.publish_wait()),
        spell(policy.public_drain(Duration::ZERO)),
        spell(policy.cluster_drain(Duration::ZERO)),
        table(["after", "what", "which", "where"], rows),
        verdict(report, refused)
    )
}

fn verdict(report: &Report, refused: Option<&PolicyError>) -> String {
    let shown = match (&report.violation, &report.blocked, report.complete) {
        (Some((at, violation)), _, _) => format!(
            "UNSAFE: after {} {violation}",
            spell(Duration::from_secs(at.as_secs()))
        ),
        (None, Some(block), _) => format!("STOPPED: {block}"),
        (None, None, true) => format!(
            "{}: no valid token was refused; one fresh key and no leftover after {}, {} JWKS writes, {} crashes",
            if refused.is_some() {
                "by luck, in this one schedule"
            } else {
                "safe"
            },
            spell(Duration::from_secs(report.took.as_secs())),
            report.writes,
            report.crashes
        ),
        (None, None, false) => "UNFINISHED: the rotation did not come to its end".to_owned(),
    };
    match refused {
        Some(error) => format!(
            "{shown}\nREFUSED: irsa rotate does not take these timers: {error}; {}",
            error.help().unwrap_or_default()
        ),
        None => shown,
    }
}
