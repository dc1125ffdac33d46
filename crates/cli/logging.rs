//! Logs on standard error: for people, or JSON lines for collectors.

use std::fmt::{Debug, Write as _};
use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::visible::{self, visible};

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
    let lines = fmt::layer();
    let started = match format {
        LogFormat::Text => {
            let lines = lines
                .with_writer(io::stderr)
                .fmt_fields(format::debug_fn(field).delimited(" "))
                .with_target(false)
                .with_ansi(io::stderr().is_terminal());
            registry().with(lines).with(targets).try_init()
        }
        LogFormat::Json => registry()
            .with(
                lines
                    .json()
                    .flatten_event(true)
                    .with_writer(|| JsonLines(io::stderr())),
            )
            .with(targets)
            .try_init(),
    };
    // Already started: another command of the same process, in tests only.
    drop(started);
    Ok(())
}

/// Whether [`start`] takes this filter.
pub fn check(filter: &str) -> Result<(), String> {
    targets(filter).map(drop)
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

/// One field of a line for people. Whatever stands in it may be a foreign text: a name of a file, a document, an answer.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    if field.name() != "message" {
        if writer.has_ansi_escapes() {
            write!(writer, "\u{1b}[3m{field}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?;
        } else {
            write!(writer, "{field}=")?;
        }
    }
    let mut value_writer = Bounded {
        writer,
        left: MAX_VALUE,
    };
    // The only error is our own, at the end of what is shown; a writer that fails does so at the dots as well.
    if write!(value_writer, "{value:?}").is_err() {
        writer.write_char('…')?;
    }
    Ok(())
}

/// Lets so many characters through, visibly.
struct Bounded<'a, 'w> {
    writer: &'a mut Writer<'w>,
    left: usize,
}

impl std::fmt::Write for Bounded<'_, '_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = text
            .char_indices()
            .nth(self.left)
            .map_or(text.len(), |(end, _)| end);
        let shown = text.get(..end).unwrap_or_default();
        self.left = self.left.saturating_sub(shown.chars().count());
        self.writer.write_str(&visible(shown))?;
        if end < text.len() {
            return Err(std::fmt::Error);
        }
        Ok(())
    }
}

/// JSON lines, each written at once: nothing in them that does not print, and no string beyond its bound.
struct JsonLines<W>(W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let shorter = (line.len() > MAX_VALUE).then(|| {
            let mut value: Value = serde_json::from_str(&text).ok()?;
            shorten(&mut value);
            Some(format!("{value}\n"))
        });
        let text = shorter.flatten().map_or(text, Into::into);
        self.0.write_all(visible::json(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(MAX_VALUE) {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Object(members) => members.values_mut().for_each(shorten),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        _ => {}
    }
}

/// Characters of one value that are logged.
const MAX_VALUE: usize = 2_000;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const EVIL: &str = "u\u{1b}[2J\u{9b}\nFORGED INFO\u{202e}\u{7f}";

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn speak() {
        let error = io::Error::other(EVIL);
        tracing::warn!(%error, file = EVIL, long = %"x".repeat(1_000_000), "a request {EVIL}");
    }

    fn is_one_short_line(text: &str) {
        assert!(
            text.ends_with('\n') && text.matches('\n').count() == 1,
            "{text}"
        );
        assert!(text.len() < 3 * MAX_VALUE, "{}", text.len());
        let raw = |c: char| c != '\n' && c.escape_debug().len() > 1 && !matches!(c, ' '..='~');
        assert!(!text.contains(raw), "{text}");
        assert!(text.contains("FORGED"), "{text}");
        assert!(text.contains('…'), "{text}");
    }

    #[test]
    fn a_foreign_value_forges_no_line_for_people() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = fmt::layer()
            .with_ansi(false)
            .fmt_fields(format::debug_fn(field).delimited(" "))
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(registry().with(lines), speak);
        let text = kept.text();
        is_one_short_line(&text);
        assert!(text.contains("error=u\\u{1b}[2J\\u{9b}\\nFORGED"), "{text}");
        assert!(text.contains(" a request u\\u{1b}"), "{text}");
    }

    #[test]
    fn a_foreign_value_forges_no_line_for_collectors() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(move || JsonLines(writer.clone()));
        tracing::subscriber::with_default(registry().with(lines), speak);
        let text = kept.text();
        is_one_short_line(&text);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["error"], EVIL);
        assert_eq!(line["message"], format!("a request {EVIL}"));
    }

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
