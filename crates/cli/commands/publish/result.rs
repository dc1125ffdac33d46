//! What publishing did or would do, in words and as JSON.

use irsa_core::bucket::BucketChange;
use irsa_core::change::{Change, Expected};
use serde::Serialize;

use crate::output::Render;

/// One issuer.
#[derive(Debug, Serialize)]
pub struct Published {
    /// Its URL.
    pub issuer: String,
    /// Where its documents stand.
    pub to: String,
    /// Whether anything was written, as opposed to shown.
    pub written: bool,
    /// Whether its documents were fetched through the issuer URL and are the wanted ones.
    pub read_back: bool,
    /// What was or would be written.
    pub changes: Vec<ChangeRow>,
    /// Why it was not published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip)]
    lines: Vec<String>,
}

/// One document.
#[derive(Debug, Serialize)]
pub struct ChangeRow {
    action: &'static str,
    path: String,
    added: Vec<String>,
    removed: Vec<String>,
}

impl From<&Change> for ChangeRow {
    fn from(change: &Change) -> Self {
        let kids = |keys: &[irsa_core::jwks::Jwk]| keys.iter().map(|jwk| jwk.kid.clone()).collect();
        Self {
            action: if change.expected == Expected::Absent {
                "create"
            } else {
                "update"
            },
            path: change.path.clone(),
            added: kids(&change.keys.added),
            removed: kids(&change.keys.removed),
        }
    }
}

impl Published {
    /// An issuer with its changes, written or not.
    pub fn new(issuer: String, to: String, changes: &[Change], written: bool) -> Self {
        Self {
            issuer,
            to,
            written: written && !changes.is_empty(),
            read_back: false,
            changes: changes.iter().map(ChangeRow::from).collect(),
            error: None,
            lines: changes.iter().map(ToString::to_string).collect(),
        }
    }

    /// An issuer that was not published.
    pub fn failed(issuer: String, to: String, error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::new(issuer, to, &[], false)
        }
    }

    fn end(&self, shown_only: bool) -> &'static str {
        match (shown_only, self.read_back) {
            (true, _) => "nothing was written",
            (false, true) => "written and read back through the issuer URL",
            (false, false) => "written, and the files read again",
        }
    }
}

/// Everything that one run did or would do.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Changes of the bucket itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bucket: Vec<String>,
    /// Its issuers.
    pub issuers: Vec<Published>,
    /// Whether nothing was to be done but showing it.
    #[serde(skip)]
    pub shown_only: bool,
}

impl Run {
    /// A run; `bucket` are the changes of the bucket.
    pub fn new(bucket: &[BucketChange], issuers: Vec<Published>, shown_only: bool) -> Self {
        Self {
            bucket: bucket.iter().map(ToString::to_string).collect(),
            issuers,
            shown_only,
        }
    }

    /// Whether the store is not as it should be.
    pub fn differs(&self) -> bool {
        let differs = |one: &Published| !one.changes.is_empty() || one.error.is_some();
        !self.bucket.is_empty() || self.issuers.iter().any(differs)
    }
}

/// One issuer alone, as a value that programs have read since the first version.
#[derive(Debug, Serialize)]
pub struct Single {
    #[serde(flatten)]
    issuer: Published,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bucket: Vec<String>,
    #[serde(skip)]
    shown_only: bool,
}

impl Single {
    /// The run of one issuer.
    pub fn of(run: Run) -> Option<Self> {
        let Run {
            bucket,
            issuers,
            shown_only,
        } = run;
        let issuer = issuers.into_iter().next()?;
        Some(Self {
            issuer,
            bucket,
            shown_only,
        })
    }
}

impl Render for Single {
    fn text(&self) -> String {
        let one = &self.issuer;
        let mut lines = self.bucket.clone();
        if one.lines.is_empty() {
            let through = if one.read_back {
                ", also through the issuer URL"
            } else {
                ""
            };
            let sentence = format!("the documents are as they should be{through}");
            lines.push(if lines.is_empty() {
                format!("nothing to do: {sentence}")
            } else {
                sentence
            });
        } else {
            lines.extend(one.lines.iter().cloned());
            lines.push(one.end(self.shown_only).to_owned());
        }
        lines.join("\n")
    }
}

impl Render for Run {
    fn text(&self) -> String {
        let mut lines = self.bucket.clone();
        for one in &self.issuers {
            lines.push(match (&one.error, one.lines.is_empty()) {
                (Some(error), _) => format!("{}: not published: {error}", one.issuer),
                (None, true) => format!("{}: nothing to do", one.issuer),
                (None, false) => format!("{}: {}", one.issuer, one.end(self.shown_only)),
            });
            lines.extend(
                one.lines
                    .iter()
                    .map(|line| format!("  {}", line.replace('\n', "\n  "))),
            );
        }
        lines.join("\n")
    }
}
