//! `irsa token explain`.

use std::path::PathBuf;

use clap::ValueHint;
use irsa_core::token::explain::{Explanation, Problem, Statement, explain};
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::token::{read, timestamp};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;
use crate::visible::visible;

/// Say in words what a token claims, and what would make AWS STS or kube-apiserver refuse it.
///
/// Nothing is verified and nothing is sent anywhere.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Explain as if it were this time
    #[arg(long, value_name = "RFC3339", value_parser = timestamp)]
    pub at: Option<Timestamp>,
    /// The token; - is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

#[derive(Serialize)]
struct Explained {
    header: Vec<Line>,
    claims: Vec<Line>,
    problems: Vec<Refusal>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    value: String,
    meaning: String,
}

#[derive(Serialize)]
struct Refusal {
    refused_by: &'static str,
    reason: String,
}

impl From<Statement> for Line {
    fn from(
        Statement {
            name,
            value,
            meaning,
        }: Statement,
    ) -> Self {
        Self {
            name,
            value,
            meaning,
        }
    }
}

impl From<Problem> for Refusal {
    fn from(Problem { verifier, reason }: Problem) -> Self {
        Self {
            refused_by: verifier.as_str(),
            reason,
        }
    }
}

impl Render for Explained {
    fn text(&self) -> String {
        let section = |title: &str, lines: &[Line]| {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| {
                    format!(
                        "  {:<14} {}\n  {:<14} {}",
                        visible(&line.name),
                        visible(&line.value),
                        "",
                        visible(&line.meaning)
                    )
                })
                .collect();
            format!("{title}\n{}", lines.join("\n"))
        };
        let problems: Vec<_> = self
            .problems
            .iter()
            .map(|problem| format!("  {}: {}", problem.refused_by, visible(&problem.reason)))
            .collect();
        let verdict = if problems.is_empty() {
            "no problem seen; the signature was not looked at (irsa token verify does)".to_owned()
        } else {
            format!("would be refused by\n{}", problems.join("\n"))
        };
        format!(
            "{}\n{}\n{verdict}",
            section("header", &self.header),
            section("claims", &self.claims)
        )
    }
}

/// Explains the token.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args { at, file } = args;
    let token = read(&file)?;
    let Explanation {
        header,
        claims,
        problems,
    } = explain(&token, at.unwrap_or_else(Timestamp::now));
    context.print(&Explained {
        header: header.into_iter().map(Line::from).collect(),
        claims: claims.into_iter().map(Line::from).collect(),
        problems: problems.into_iter().map(Refusal::from).collect(),
    })?;
    Ok(Exit::Done)
}
