//! `irsa apiserver check --live`.

use std::path::Path;

use irsa_apiserver::findings::{Finding, Severity};
use irsa_apiserver::matrix::{self, Row};
use irsa_apiserver::plan::Wanted;
use serde::Serialize;

use crate::commands::apiserver::servers::{self, ClusterArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::{self, Failure};

#[derive(Serialize)]
struct Report {
    servers: Vec<Row>,
    findings: Vec<Finding>,
}

impl Render for Report {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for (number, row) in self.servers.iter().enumerate() {
            lines.push(format!("[{}] {}", number + 1, row.server));
            if let Some(why) = &row.silent {
                lines.push(format!("    not seen: {why}"));
                continue;
            }
            lines.push(format!("    issuer   {}", row.issuer));
            lines.push(format!("    signs    {}", row.signing_kid));
            lines.extend(row.kids.iter().map(|kid| format!("    accepts  {kid}")));
        }
        lines.push(String::new());
        lines.push(
            "A token of the server in the row is accepted by the server in the column:".to_owned(),
        );
        let numbers =
            (1..=self.servers.len()).map(|number| format!("{:>5}", format!("[{number}]")));
        lines.push(format!("     {}", numbers.collect::<String>()));
        for (number, row) in self.servers.iter().enumerate() {
            let cells = row.accepted_by.iter().map(|accepted| match accepted {
                Some(true) => "  yes",
                Some(false) => "   NO",
                None => "    ?",
            });
            lines.push(format!(
                "{:>5}{}",
                format!("[{}]", number + 1),
                cells.collect::<String>()
            ));
        }
        lines.push(String::new());
        lines.extend(self.findings.iter().map(|finding| finding.text("")));
        if self.findings.is_empty() {
            lines.push("no problem found".to_owned());
        }
        lines.join("\n")
    }
}

/// Asks every API server and prints the table.
pub(super) fn run(
    cluster: &ClusterArgs,
    named: &[String],
    wanted: Option<&Wanted>,
    context: &Context,
) -> Result<Exit, Failure> {
    context.block_on(async {
        let config = cluster.config(Path::new("/")).await?;
        let servers = cluster.servers(&config, named).await?;
        let seen = servers::look(&servers, &cluster.service_account).await?;
        let (rows, mut findings) = matrix::judge(&seen, wanted);
        let mut answered = servers.iter().zip(&rows);
        if let Some((first, _)) = answered.find(|(_, row)| row.silent.is_none()) {
            match first.legacy_tokens().await {
                Ok(tokens) => findings.extend(matrix::judge_legacy(&rows, &tokens)),
                Err(error) => {
                    report::warning(&format!("tokens in Secrets were not looked at: {error}"));
                }
            }
        }
        let passing: usize = seen.iter().map(matrix::ServerSeen::passing).sum();
        let problems = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Problem)
            .count();
        context.print(&Report {
            servers: rows,
            findings,
        })?;
        // Nothing else being wrong, the same question may have another answer.
        Ok(match (problems.saturating_sub(passing), passing) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::TryAgain,
            _ => Exit::Differences,
        })
    })
}
