//! Logs on standard error: for people, or JSON lines for collectors.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::Targets;
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

/// Starts logging. `filter` is a level (`info`) or levels of targets (`irsa_issuer=debug,info`).
pub fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    // Targets rather than the richer EnvFilter, which brings a regular expression engine into the binary.
    let targets: Targets = filter.parse().map_err(|error| format!("{error}"))?;
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
