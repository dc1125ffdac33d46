//! What a user installs: every argument list in `deploy/` is one that irsa takes, every name that one file borrows from
//! another exists there. What needs Helm, Prometheus or an API server is in `tests/e2e/deploy`.

/// Argument lists of manifests, units and image.
mod arguments;
/// The chart: its values, and the webhook's objects.
mod chart;
/// Commands of the documentation, run.
mod commands;
/// Commands, headings and links of the documentation.
mod documentation;
/// Alerts, dashboard and the list of metrics.
mod monitoring;

use std::fs;
use std::path::{Path, PathBuf};

use crate::util::repository;

/// A file of the repository.
fn text(name: &str) -> String {
    let path = repository(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below, in the order of names.
fn files(folder: &str) -> Vec<PathBuf> {
    fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&repository(folder), &mut found);
    found.sort();
    found
}

/// The documents of a YAML file.
fn yaml(text: &str) -> Vec<serde_json::Value> {
    let all: Vec<Option<serde_json::Value>> = serde_saphyr::from_multiple(text).unwrap();
    all.into_iter().flatten().collect()
}

/// Compares a generated file with the one that is kept, or keeps the new one.
fn same_as_kept(name: &str, generated: &str) {
    if std::env::var_os("IRSA_UPDATE_GOLDENS").is_some() {
        fs::write(repository(name), generated).unwrap();
    }
    assert!(
        text(name) == generated,
        "{name} is out of date: IRSA_UPDATE_GOLDENS=1 cargo test --test irsa deploy"
    );
}
