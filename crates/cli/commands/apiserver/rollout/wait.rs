//! Waiting for a node's new state, and for the old one when it does not come.

use std::time::Duration;

use irsa_apiserver::live::{ApiServer, Review};
use irsa_apiserver::plan::Phase;
use irsa_apiserver::rollout::{self, Back, Goal, Missing, Seen};
use irsa_core::explain::Explain;
use irsa_core::token::claims::ServiceAccount;
use tokio::time::{Instant, sleep};

use super::canary::Canary;
use crate::report::Failure;

/// Between two looks: short, because a restart of two seconds must be seen.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);
/// Between two questions for all metrics of a server that does not show its new state yet: only they tell one process from
/// another, and they cost it more than all other questions together.
const METRICS: Duration = Duration::from_secs(2);
/// How long a wait is silent.
const REMIND: Duration = Duration::from_secs(10);
/// How long a process that started after a change must be well.
pub(super) const STEADY: Duration = Duration::from_secs(3);
/// How long the process from before the change must stay where it is: the kubelet looks at its manifests every 20 s
/// (`fileCheckFrequency`), and might still be about to stop it.
const UNTOUCHED: Duration = Duration::from_secs(25);
/// The least time that is given to an old manifest.
pub(super) const LEAST: Duration = Duration::from_mins(1);

/// Why a rollout did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum WaitError {
    /// The manifest was put back, and the API server is well.
    #[error(
        "{server} did not reach the new state in time: {missing}; the manifest was put back and the API server is ready again"
    )]
    PutBack {
        /// Which server.
        server: String,
        /// What was missing.
        missing: Missing,
    },
    /// The manifest was put back, and the API server is not well.
    #[error(
        "{server} did not reach the new state in time: {missing}; the manifest was put back, and the API server is not ready yet"
    )]
    StillIll {
        /// Which server.
        server: String,
        /// What was missing.
        missing: Missing,
    },
    /// Nothing was changed, and the state is not reached.
    #[error("{server} has the flags and does not show the new state: {missing}")]
    NotShown {
        /// Which server.
        server: String,
        /// What is missing.
        missing: Missing,
    },
    /// Another server refuses what this one signs now.
    #[error("{server} has its new flags, and {hold}")]
    Refused {
        /// Which server.
        server: String,
        /// Its manifest.
        manifest: std::path::PathBuf,
        /// Who refuses it, and why.
        hold: rollout::Hold,
    },
}

impl Explain for WaitError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::PutBack { .. } => "see the log of the API server's last container (crictl logs), mend the cause and run it again".into(),
            Self::StillIll { .. } => "see the kubelet's and the API server's logs on this node at once; the manifest is as it was before".into(),
            Self::NotShown { .. } => "see the log of the API server; does the kubelet read this manifest directory?".into(),
            Self::Refused { manifest, .. } => {
                format!("tokens of this node are refused there: go back at once with irsa apiserver revert {}", manifest.display())
            }
        })
    }
}

/// A server, with what it must show.
pub(super) struct Watched<'a> {
    pub(super) server: &'a ApiServer,
    pub(super) goal: &'a Goal,
    pub(super) account: &'a ServiceAccount,
    /// What it must accept, if it is to be asked.
    pub(super) canary: Option<&'a Canary>,
}

/// A state that was not reached.
pub(super) struct NotReached {
    /// What was missing at the end.
    pub(super) missing: Missing,
    /// When the last new process started, if one was seen.
    pub(super) failed: Option<f64>,
}

/// Waits until the server shows everything, or says what was missing at the end. `before` is when the process started
/// that must make way, if there is one.
pub(super) async fn until(
    watched: &Watched<'_>,
    before: Option<f64>,
    timeout: Duration,
) -> Result<(), NotReached> {
    let deadline = Instant::now() + timeout;
    let mut failed = None;
    let mut told = Told::default();
    let started = async || watched.server.started().await.ok().flatten();
    let (mut process, mut asked) = (started().await, Instant::now());
    loop {
        let mut seen = observe(watched).await;
        let mut same = true;
        if rollout::missing(watched.goal, &seen, None).is_none() || asked.elapsed() >= METRICS {
            let now = started().await;
            same = now == process;
            (process, asked) = (now, Instant::now());
        }
        seen.started = process;
        let missing = match rollout::missing(watched.goal, &seen, before) {
            None if same => return Ok(()),
            // What was shown may be of the process before this one.
            None => Missing::Restart,
            Some(missing) => missing,
        };
        if before.is_some_and(|before| rollout::back(process, before, None) == Back::Anew) {
            failed = process;
        }
        told.tell(watched.server.url(), &missing.to_string());
        if Instant::now() >= deadline {
            return Err(NotReached { missing, failed });
        }
        sleep(INTERVAL).await;
    }
}

/// What was said last of a wait.
#[derive(Default)]
struct Told {
    text: String,
    at: Option<Instant>,
}

impl Told {
    /// Says what is missing when that changes, and now and then that it has not.
    fn tell(&mut self, server: &str, missing: &str) {
        let lately = self.at.is_some_and(|at| at.elapsed() < REMIND);
        if lately && self.text == missing {
            return;
        }
        tracing::info!(server, missing, "waiting");
        missing.clone_into(&mut self.text);
        self.at = Some(Instant::now());
    }
}

/// Asks a server for everything but its metrics. What it does not answer is not seen.
async fn observe(watched: &Watched<'_>) -> Seen {
    let Watched {
        server,
        goal,
        account,
        canary,
    } = watched;
    let mut seen = Seen {
        ready: server.ready().await.is_ok(),
        ..Seen::default()
    };
    if !seen.ready {
        return seen;
    }
    seen.discovery = server.discovery().await.ok().flatten();
    seen.jwks = server.jwks().await.ok().flatten();
    if goal.phase == Phase::Sign {
        seen.token = server.mint(account, &[]).await.ok();
    }
    if let Some(canary) = canary.filter(|_| goal.phase != Phase::Retire) {
        // What could not be asked was not seen.
        let no = |error: String| Review {
            authenticated: false,
            error: Some(error),
        };
        seen.canary = Some(match canary.token(server, account).await {
            Ok(token) => {
                let review = server.review(&token).await;
                review.unwrap_or_else(|error| no(error.to_string()))
            }
            Err(error) => no(error.message()),
        });
    }
    seen
}

/// Puts the old manifest back and waits until the server runs with it. `before` is when the process from before the
/// change started.
pub(super) async fn put_back(
    server: &ApiServer,
    restore: impl FnOnce() -> Result<(), Failure>,
    before: f64,
    lost: NotReached,
    timeout: Duration,
) -> Failure {
    let NotReached { missing, failed } = lost;
    // It may have been started once more since the last look.
    let now = server.started().await.ok().flatten();
    let failed = now
        .filter(|_| rollout::back(now, before, failed) == Back::Anew)
        .or(failed);
    if let Err(failure) = restore() {
        return failure;
    }
    let name = server.url().to_owned();
    tracing::info!(
        server = name,
        "the manifest is as it was: waiting until kube-apiserver runs with it"
    );
    let look = async || {
        server.ready().await.ok()?;
        server.started().await.ok().flatten()
    };
    if steady(look, before, failed, timeout).await {
        WaitError::PutBack {
            server: name,
            missing,
        }
    } else {
        WaitError::StillIll {
            server: name,
            missing,
        }
    }
    .into()
}

/// Whether a process runs with the manifest that was put back, and stays. `look` says when the healthy process started.
pub(super) async fn steady(
    look: impl AsyncFn() -> Option<f64>,
    before: f64,
    failed: Option<f64>,
    timeout: Duration,
) -> bool {
    let deadline = Instant::now() + timeout.max(LEAST);
    let mut well: Option<(f64, Instant)> = None;
    while Instant::now() < deadline {
        let started = look().await;
        let needed = match rollout::back(started, before, failed) {
            Back::Anew => Some(STEADY),
            Back::Untouched => Some(UNTOUCHED),
            Back::No => None,
        };
        well = match (started.zip(needed), well) {
            // One process all the time: it is not crashing over and over.
            (Some((at, needed)), Some((known, since))) if at.total_cmp(&known).is_eq() => {
                if since.elapsed() >= needed {
                    return true;
                }
                well
            }
            (Some((at, _)), _) => Some((at, Instant::now())),
            (None, _) => None,
        };
        sleep(INTERVAL).await;
    }
    false
}

/// Nothing tells the new process from the old one.
pub(super) fn silent(server: &ApiServer) -> Failure {
    Failure::usage(
        format!("{} does not say when it started", server.url()),
        "its /metrics must have process_start_time_seconds: nothing else tells the new process from the old one",
    )
}
