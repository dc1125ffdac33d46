//! Logs on standard error: for people, or JSON lines for collectors.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `filter` is a level of our own lines (`info`) or levels of targets (`irsa_issuer=debug,hyper=info`).
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let targets = targets(filter)?;
    let lines = fmt::layer().with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => {
            let lines = lines
                .with_target(false)
                .with_ansi(io::stderr().is_terminal());
            registry().with(lines).with(targets).try_init()
        }
        LogFormat::Json => registry()
            .with(lines.json().flatten_event(true))
            .with(targets)
            .try_init(),
    };
    // Already started: another command of the same process, in tests only.
    drop(started);
    Ok(())
}

/// A bare level is for our own lines: libraries log as errors what we handle or report ourselves, and at trace level
/// whole requests.
fn targets(filter: &str) -> Result<Targets, String> {
    if let Ok(level) = filter.parse::<LevelFilter>() {
        return Ok(Targets::new().with_target("irsa", level));
    }
    // Targets rather than the richer EnvFilter, which brings a regular expression engine into the binary.
    filter.parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn a_bare_level_is_for_our_own_lines() {
        let ours = targets("debug").unwrap();
        assert!(ours.would_enable("irsa_issuer::serve", &tracing::Level::DEBUG));
        assert!(!ours.would_enable("kube_client::client", &tracing::Level::ERROR));
        let named = targets("irsa=info,kube_client=debug").unwrap();
        assert!(named.would_enable("kube_client::client", &tracing::Level::DEBUG));
        assert!(targets("irsa=loud").is_err());
        assert!(
            !targets("off")
                .unwrap()
                .would_enable("irsa_core", &tracing::Level::ERROR)
        );
    }
}
