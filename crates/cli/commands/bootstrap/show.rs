//! What a run says: the plan first, then each step; for people, or as events for programs.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::context::Context;
use crate::output::{self, Format};
use crate::report::{self, Failure};
use crate::visible::visible;

/// One step of a plan, as programs read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which part of the chain.
    pub stage: &'static str,
    /// What is done, in words.
    pub change: String,
}

/// What happens, one JSON value a line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event<'a> {
    /// Everything that is to be done.
    Plan {
        /// In order.
        changes: &'a [Step],
        /// What stays, and why.
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        kept: &'a [String],
    },
    /// One step is begun.
    Begin(&'a Step),
    /// It is done.
    Done(&'a Step),
    /// The run is over.
    End {
        /// Steps that were done.
        done: usize,
        /// Steps that were only shown.
        pending: usize,
        /// The issuer, if it is known.
        issuer: Option<String>,
        /// The IAM OIDC provider.
        provider: Option<String>,
        /// The one sentence.
        message: &'a str,
    },
}

/// Where a run speaks.
#[derive(Debug)]
pub struct Voice {
    format: Format,
    bar: Option<ProgressBar>,
}

impl Voice {
    /// A bar on a terminal; else lines.
    pub fn new(context: &Context) -> Self {
        let format = context.output.value;
        let watched = format == Format::Text && io::stderr().is_terminal();
        let style = ProgressStyle::with_template("{spinner} {wide_msg} ({elapsed})").ok();
        let bar = style.filter(|_| watched).map(|style| {
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { format, bar }
    }

    /// Says what is to be done.
    pub fn plan(&self, changes: &[Step], kept: &[String]) -> Result<(), Failure> {
        if self.format == Format::Json {
            return event(&Event::Plan { changes, kept });
        }
        let lines = changes.iter().map(|step| step.change.as_str());
        let kept = kept.iter().map(|text| format!("kept: {text}"));
        for line in lines.map(str::to_owned).chain(kept) {
            self.line(&shown(&line))?;
        }
        Ok(())
    }

    /// Says that a step is begun.
    pub fn begin(&self, step: &Step) -> Result<(), Failure> {
        if self.format == Format::Json {
            return event(&Event::Begin(step));
        }
        if let Some(bar) = &self.bar {
            bar.set_message(first_line(step));
        }
        Ok(())
    }

    /// Says that it is done.
    pub fn done(&self, step: &Step) -> Result<(), Failure> {
        if self.format == Format::Json {
            return event(&Event::Done(step));
        }
        if let Some(bar) = &self.bar {
            bar.println(format!("done: {}", visible(&first_line(step))));
        } else {
            tracing::info!(stage = step.stage, "done: {}", first_line(step));
        }
        Ok(())
    }

    /// Says how long a step has taken.
    pub fn waiting(&self, step: &Step, waited: Duration) {
        // The bar counts by itself.
        if self.bar.is_none() {
            let seconds = waited.as_secs();
            tracing::info!(
                stage = step.stage,
                seconds,
                "still waiting: {}",
                first_line(step)
            );
        }
    }

    /// Says how it ended.
    pub fn end(&self, end: &Event<'_>, lines: &[String]) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.format == Format::Json {
            return event(end);
        }
        lines.iter().try_for_each(|line| self.line(&shown(line)))
    }

    /// Asks a question on the terminal; the answer without its line end. `None` when nobody is there.
    pub fn ask(&self, question: &str) -> Result<Option<String>, Failure> {
        if !io::stdin().is_terminal() || self.format == Format::Json {
            return Ok(None);
        }
        let ask = || {
            let mut stderr = io::stderr().lock();
            write!(stderr, "{} ", visible(question))?;
            stderr.flush()?;
            let mut answer = String::new();
            io::stdin().read_line(&mut answer)?;
            Ok(answer.trim().to_owned())
        };
        match &self.bar {
            Some(bar) => bar.suspend(ask),
            None => ask(),
        }
        .map(Some)
        .map_err(|error: io::Error| {
            Failure::system("no answer can be read from the terminal", &error)
        })
    }

    /// Says something that is no result.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| report::note(&visible(text))),
            None => report::note(&visible(text)),
        }
    }

    fn line(&self, text: &str) -> Result<(), Failure> {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::line(text.as_bytes())),
            None => output::line(text.as_bytes()),
        }
    }
}

/// Whatever ends a run: its bar does not stay on the terminal.
impl Drop for Voice {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn event(event: &Event<'_>) -> Result<(), Failure> {
    let json =
        serde_json::to_string(event).map_err(|error| Failure::output(&io::Error::other(error)))?;
    output::line(json.as_bytes())
}

fn first_line(step: &Step) -> String {
    step.change.lines().next().unwrap_or_default().to_owned()
}

/// Lines of foreign texts, each made harmless.
fn shown(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

const TICK: Duration = Duration::from_millis(120);
