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

/// Writes a result.
pub fn print(result: &impl Render, format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => line(result.text().as_bytes()),
        Format::Json => {
            let json = serde_json::to_string_pretty(result)
                .map_err(|error| Failure::output(&io::Error::other(error)))?;
            line(visible::json(&json).as_bytes())
        }
        Format::Svg => match result.svg() {
            Some(svg) => line(svg.as_bytes()),
            None => Err(Failure::usage(
                "this command draws no picture",
                "use -o text or -o json",
            )),
        },
    }
}

/// Writes bytes and a newline.
pub fn line(bytes: &[u8]) -> Result<(), Failure> {
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
