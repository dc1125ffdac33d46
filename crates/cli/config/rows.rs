//! The sections of the configuration file as rows, for `irsa config show`: made from the structures themselves, so that
//! no key is forgotten.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::cluster::spelt;
use crate::commands::apiserver::DistroChoice;

/// Name and value of every key below a name. Lists of words are one row, lists of sections have their numbers.
pub fn rows(name: &str, section: &impl Serialize) -> Vec<(String, String)> {
    let value = serde_json::to_value(section).unwrap_or_default();
    let mut rows = Vec::new();
    flatten(name.to_owned(), &value, &mut rows);
    rows
}

/// The same for the text of a file: what is written there, whatever it means.
pub fn written(text: &str) -> BTreeMap<String, String> {
    let value: Value = serde_saphyr::from_str(text).unwrap_or_default();
    let mut rows = Vec::new();
    flatten(String::new(), &value, &mut rows);
    rows.into_iter().collect()
}

fn flatten(name: String, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                flatten(name, value, rows);
            }
        }
        Value::Array(all) if all.iter().any(Value::is_object) => {
            for (at, value) in all.iter().enumerate() {
                flatten(format!("{name}[{at}]"), value, rows);
            }
        }
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(word).collect();
            rows.push((name, all.join(",")));
        }
        other => rows.push((name, word(other))),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A value as its option spells it.
#[expect(
    clippy::ref_option,
    reason = "serde hands over a reference to the field"
)]
pub(super) fn choice<S: Serializer, T: ValueEnum>(
    value: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    value.clone().map(spelt).serialize(to)
}

/// A distribution.
#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference to the field"
)]
pub(super) fn distro<S: Serializer>(
    value: &Option<DistroChoice>,
    to: S,
) -> Result<S::Ok, S::Error> {
    let name = value.map(|choice| {
        choice
            .known()
            .map_or_else(|| "auto".to_owned(), |distro| distro.to_string())
    });
    name.serialize(to)
}

/// A value as it is shown.
pub(super) fn shown<S: Serializer>(value: &impl ToString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&value.to_string())
}
