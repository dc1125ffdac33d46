//! The report: for people, and for programs.

use irsa_core::diagnosis::{Check, Strings, Verdict};
use irsa_core::issuer::IssuerUrl;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::Render;
use crate::visible::visible;

/// What was found out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    issuer: String,
    /// The worst verdict; what was not seen does not count.
    verdict: Verdict,
    ok: usize,
    warnings: usize,
    failures: usize,
    unseen: usize,
    checks: Vec<Row>,
    #[serde(skip)]
    exit: Option<Exit>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: &'static str,
    subject: String,
    verdict: Verdict,
    message: String,
    #[serde(flatten)]
    strings: Option<Strings>,
    why: Option<String>,
    sts: Option<Answer>,
    help: Option<String>,
    retryable: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    code: &'static str,
    text: &'static str,
}

impl Report {
    pub(super) fn new(issuer: &IssuerUrl, checks: &[Check]) -> Self {
        let count = |verdict| {
            let same = checks.iter().filter(|check| check.verdict == verdict);
            same.count()
        };
        let worst = checks
            .iter()
            .map(|check| check.verdict)
            .filter(|verdict| *verdict != Verdict::Unseen)
            .max();
        Self {
            issuer: issuer.to_string(),
            verdict: worst.unwrap_or(Verdict::Unseen),
            ok: count(Verdict::Ok),
            warnings: count(Verdict::Warning),
            failures: count(Verdict::Failure),
            unseen: count(Verdict::Unseen),
            checks: checks.iter().map(Row::from).collect(),
            exit: Some(exit(checks)),
        }
    }

    /// How the command ends.
    pub(super) fn exit(&self) -> Exit {
        self.exit.unwrap_or(Exit::Done)
    }

    /// What changes when something changes: every question with its answer.
    pub(super) fn state(&self) -> Vec<(&'static str, String, Verdict)> {
        let state = |row: &Row| (row.id, row.subject.clone(), row.verdict);
        self.checks.iter().map(state).collect()
    }
}

/// A failure that a person must mend is 1; what may pass by itself is 4.
fn exit(checks: &[Check]) -> Exit {
    let mut failures = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Failure);
    if failures.clone().any(|check| !check.retryable) {
        return Exit::Failed;
    }
    let passing = |check: &Check| check.verdict == Verdict::Unseen && check.retryable;
    if failures.next().is_some() || checks.iter().any(passing) {
        return Exit::TryAgain;
    }
    Exit::Done
}

impl From<&Check> for Row {
    fn from(check: &Check) -> Self {
        let Check {
            id,
            subject,
            verdict,
            message,
            strings,
            why,
            sts,
            help,
            retryable,
        } = check.clone();
        Self {
            id,
            subject,
            verdict,
            message,
            strings,
            why,
            sts: sts.map(|answer| Answer {
                code: answer.code(),
                text: answer.text(),
            }),
            help,
            retryable,
        }
    }
}

impl Render for Report {
    fn text(&self) -> String {
        let seen = |row: &&Row| row.verdict != Verdict::Unseen;
        let mut lines: Vec<String> = self.checks.iter().filter(seen).map(Row::text).collect();
        let unseen: Vec<&Row> = self.checks.iter().filter(|row| !seen(row)).collect();
        if !unseen.is_empty() {
            lines.push("\nnot seen:".to_owned());
            lines.extend(unseen.into_iter().map(Row::unseen));
        }
        lines.push(format!(
            "\n{}: {} failure(s), {} warning(s), {} ok, {} not seen",
            self.issuer, self.failures, self.warnings, self.ok, self.unseen
        ));
        lines.join("\n")
    }
}

impl Row {
    fn text(&self) -> String {
        let mark = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Unseen => "?   ",
            Verdict::Warning => "WARN",
            Verdict::Failure => "FAIL",
        };
        let subject = if self.subject.is_empty() {
            String::new()
        } else {
            format!("{}: ", visible(&self.subject))
        };
        let mut lines = vec![format!(
            "{mark}  {:20} {subject}{}",
            self.id,
            visible(&self.message)
        )];
        lines.extend(self.strings.iter().map(pair));
        let more = [
            ("why", self.why.clone()),
            (
                "STS says",
                self.sts
                    .as_ref()
                    .map(|answer| format!("{}: {}", answer.code, answer.text)),
            ),
            ("help", self.help.clone()),
        ];
        // Of what is in order there is nothing to say.
        if self.verdict != Verdict::Ok {
            lines.extend(
                more.into_iter()
                    .filter_map(|(name, text)| Some((name, text?)))
                    .map(|(name, text)| format!("        {name}: {}", visible(&text))),
            );
        }
        lines.join("\n")
    }

    fn unseen(&self) -> String {
        let subject = if self.subject.is_empty() {
            String::new()
        } else {
            format!("{}: ", visible(&self.subject))
        };
        let help = self.help.as_deref().map_or_else(String::new, |help| {
            format!("\n{:24}help: {}", "", visible(help))
        });
        format!(
            "  {:20}  {subject}{}{help}",
            self.id,
            visible(&self.message)
        )
    }
}

/// The two strings one below the other, with a mark where they part.
fn pair(strings: &Strings) -> String {
    let Strings {
        found,
        expected,
        difference,
        common,
    } = strings;
    let shared: String = found.chars().take(*common).collect();
    let indent = visible(&shared).chars().count();
    format!(
        "        found     {}\n        expected  {}\n                  {:indent$}^ {difference}",
        visible(found),
        visible(expected),
        ""
    )
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
