//! `irsa apiserver revert`.

use std::path::PathBuf;

use clap::ValueHint;
use irsa_apiserver::{diff, file};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Exit;
use crate::output::Render;
use crate::report::Failure;

/// Undo the last change that irsa made to a file, byte for byte.
///
/// One phase at a time: after sign, first back to accept on every node, so that no API server refuses what another has
/// signed. A file that somebody else changed since is left alone.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The files
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Where the files as they were are kept [default: /var/lib/irsa/backup for root, else ~/.local/state/irsa/backup]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub backup: Option<PathBuf>,
    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Serialize)]
struct Report {
    written: bool,
    files: Vec<FileRow>,
}

#[derive(Serialize)]
struct FileRow {
    file: PathBuf,
    /// The phase that is undone.
    undone: String,
    /// Whether the change was in the file at all.
    was_written: bool,
    diff: String,
}

impl Render for Report {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for row in &self.files {
            let (file, phase) = (row.file.display(), &row.undone);
            if row.was_written {
                lines.push(format!("{file}: phase {phase} undone"));
                lines.push(row.diff.trim_end().to_owned());
            } else {
                lines.push(format!(
                    "{file}: phase {phase} was recorded and never written: the file is as it was before, only the record goes"
                ));
            }
        }
        if !self.written {
            lines.push("nothing was written".to_owned());
        }
        lines.join("\n")
    }
}

/// Restores the files, all or none of them when one cannot be.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        files,
        backup,
        dry_run,
    } = args;
    let backups = super::backups(backup)?;
    let mut found = Vec::new();
    for path in files {
        let current = file::read_if_there(&path)?.unwrap_or_default();
        let saved = backups.last(&path, &current)?;
        found.push((path, current, saved));
    }
    let mut rows = Vec::new();
    for (path, current, saved) in found {
        rows.push(FileRow {
            undone: saved.reason.clone(),
            was_written: saved.written,
            diff: diff::shown(&path.display().to_string(), &current, &saved.text),
            file: path.clone(),
        });
        if !dry_run {
            saved.restore(&path, &current)?;
        }
    }
    context.print(&Report {
        written: !dry_run,
        files: rows,
    })?;
    Ok(Exit::Done)
}
