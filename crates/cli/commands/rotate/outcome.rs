//! What a run says at its end.

use irsa_core::policy::RotationPolicy;
use irsa_core::rotation::{Action, Block};
use jiff::Timestamp;
use serde::Serialize;

use super::compromise::Breaks;
use super::notes;
use crate::drive::Came;
use crate::output::Render;
use crate::visible::visible;

#[derive(Serialize)]
pub(super) struct Outcome {
    done: Vec<String>,
    dry_run: bool,
    waiting: Vec<Waiting>,
    /// What a person should know, although the run goes on.
    notes: Vec<String>,
    /// Why a person is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaks: Option<Breaks>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Waiting {
    until: Option<Timestamp>,
    reason: String,
}

impl Render for Outcome {
    fn text(&self) -> String {
        self.text.clone()
    }
}

impl Outcome {
    pub(super) fn new(
        came: &Came,
        policy: &RotationPolicy,
        dry_run: bool,
        breaks: Option<Breaks>,
    ) -> Self {
        let notes = came.ring.as_ref().map(|ring| notes::of(ring, policy));
        let notes = notes.unwrap_or_default();
        let done: Vec<String> = came.actions.iter().map(Action::to_string).collect();
        let waiting: Vec<Waiting> = came
            .waits
            .iter()
            .map(|wait| Waiting {
                until: wait.until,
                reason: wait.reason.to_string(),
            })
            .collect();
        let mut lines: Vec<String> = done
            .iter()
            .map(|action| {
                if dry_run {
                    format!("would {action}")
                } else {
                    action.clone()
                }
            })
            .collect();
        lines.extend(waiting.iter().map(|wait| match wait.until {
            Some(until) => format!("waits until {until}: {}", wait.reason),
            None => format!("waits: {}", wait.reason),
        }));
        if lines.is_empty() {
            lines.push("nothing was done".to_owned());
        }
        lines.extend(notes.iter().map(|note| format!("note: {note}")));
        Self {
            blocked: came.block.as_ref().map(Block::to_string),
            text: lines
                .iter()
                .map(|line| visible(line))
                .collect::<Vec<_>>()
                .join("\n"),
            done,
            dry_run,
            waiting,
            notes,
            breaks,
        }
    }
}
