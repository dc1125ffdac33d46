//! `irsa doctor --watch`: looks again and again for years, and says when something changed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use irsa_core::diagnosis::{Check, Verdict, diagnose};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::metrics::{self, Metrics};
use super::observe::{Inputs, Unreadable, observe};
use super::show::Report;
use crate::context::Context;
use crate::exit::Exit;
use crate::report::Failure;

/// One look has many short limits; this one is for what none of them bounds.
pub(super) const LONGEST_LOOK: Duration = Duration::from_mins(2);

/// What is compared between two looks.
type State = Vec<(&'static str, String, Verdict)>;

/// Looks until a signal says to stop. A look that fails is counted and said, and the next one comes all the same.
pub(super) async fn run(
    inputs: &Inputs,
    every: Duration,
    listen: Option<SocketAddr>,
    context: &Context,
) -> Result<Exit, Failure> {
    let metrics = Metrics::new(&inputs.issuer, every);
    let mut stop = [
        signals(SignalKind::terminate())?,
        signals(SignalKind::interrupt())?,
    ];
    if let Some(address) = listen {
        metrics::listen(address, metrics.clone())?;
    }
    let mut before: Option<State> = None;
    // The first look may refuse what was given; later ones only say so.
    let mut unreadable = Unreadable::Refused;
    loop {
        let start = Instant::now();
        let looked = tokio::select! {
            looked = tokio::time::timeout(LONGEST_LOOK, look(inputs, unreadable)) => looked,
            () = stopped(&mut stop) => return Ok(Exit::Done),
        };
        match looked {
            Ok(Ok(checks)) => {
                metrics.ran(&checks, Timestamp::now(), start.elapsed());
                tell(inputs, &checks, &mut before, context)?;
            }
            Ok(Err(failure)) if unreadable == Unreadable::Refused => return Err(failure),
            Ok(Err(failure)) => {
                metrics.failed();
                tracing::warn!(issuer = %inputs.issuer, "the look failed: {}", failure.message());
            }
            Err(_) => {
                metrics.failed();
                tracing::warn!(issuer = %inputs.issuer, "the look took longer than {LONGEST_LOOK:?}");
            }
        }
        unreadable = Unreadable::Unseen;
        tokio::select! {
            () = tokio::time::sleep(every.saturating_sub(start.elapsed())) => {}
            () = stopped(&mut stop) => return Ok(Exit::Done),
        }
    }
}

async fn look(inputs: &Inputs, unreadable: Unreadable) -> Result<Vec<Check>, Failure> {
    Ok(diagnose(&observe(inputs, unreadable).await?))
}

/// Prints the report when it is not as it was, and logs what changed.
fn tell(
    inputs: &Inputs,
    checks: &[Check],
    before: &mut Option<State>,
    context: &Context,
) -> Result<(), Failure> {
    let report = Report::new(&inputs.issuer, checks);
    let now = report.state();
    if before.as_ref() == Some(&now) {
        return Ok(());
    }
    let old = before.replace(now).unwrap_or_default();
    for check in checks {
        let known = |(id, subject, verdict): &(&str, String, Verdict)| {
            (*id, subject.as_str(), *verdict) == (check.id, check.subject.as_str(), check.verdict)
        };
        if !old.iter().any(known) && check.verdict >= Verdict::Warning {
            tracing::warn!(issuer = %inputs.issuer, check = check.id, "{}", check.message);
        }
    }
    for (id, subject, verdict) in &old {
        let bad = |check: &Check| {
            check.verdict >= Verdict::Warning && (check.id, &check.subject) == (*id, subject)
        };
        if *verdict >= Verdict::Warning && !checks.iter().any(bad) {
            tracing::info!(issuer = %inputs.issuer, check = id, "mended");
        }
    }
    context.print_to_reader(&report)
}

fn signals(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::system("signals cannot be waited for", &error))
}

async fn stopped(signals: &mut [Signal; 2]) {
    let [terminate, interrupt] = signals;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
