//! Results on standard output: text for people, JSON for programs.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::report::Failure;
use crate::visible;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON value.
    Json,
    /// A picture, where a command draws one.
    Svg,
}

/// A result in both forms.
pub trait Render: Serialize {
    /// For people, without a final newline.
    fn text(&self) -> String;

    /// A picture; most results have none.
    fn svg(&self) -> Option<String> {
        None
    }
}

/// Writes a result. A reader that has seen enough changes nothing about how the command ends.
pub fn print(result: &impl Render, format: Format) -> Result<(), Failure> {
    read_or_not(print_to_reader(result, format))
}

/// Writes a result for as long as somebody reads: for commands that print again and again.
pub fn print_to_reader(result: &impl Render, format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => write(result.text().as_bytes()),
        Format::Json => {
            let json = serde_json::to_string_pretty(result)
                .map_err(|error| Failure::output(&io::Error::other(error)))?;
            write(visible::json(&json).as_bytes())
        }
        Format::Svg => match result.svg() {
            Some(svg) => write(svg.as_bytes()),
            None => Err(Failure::usage(
                "this command draws no picture",
                "use -o text or -o json",
            )),
        },
    }
}

/// Writes bytes and a newline. A reader that has seen enough changes nothing about how the command ends.
pub fn line(bytes: &[u8]) -> Result<(), Failure> {
    read_or_not(write(bytes))
}

/// `irsa apiserver check … | head -1` has an exit code all the same.
fn read_or_not(written: Result<(), Failure>) -> Result<(), Failure> {
    match written {
        Err(Failure::BrokenPipe) => Ok(()),
        other => other,
    }
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::output(&error))
}

/// Rows under a heading, in columns.
pub fn table<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(heading);
    for row in rows {
        table.add_row(row);
    }
    let lines = table.to_string();
    // Every line has a blank before its first column, and is padded to the right end.
    let trim = |line: &str| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned();
    lines.lines().map(trim).collect::<Vec<_>>().join("\n")
}
