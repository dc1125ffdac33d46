//! The files that k3s and RKE2 join: their configuration and the drop-ins beside it.
//!
//! `FILE` is read first, then what ends in `.yaml` or `.yml` in `FILE.d`, by name (`pkg/configfilearg` of k3s). A key
//! replaces what the files before say of it, lists as well; `key+` adds to that. So a list of flags that stands in one
//! file can be without effect because of another.

use std::path::{Path as FilePath, PathBuf};

use irsa_core::explain::Explain;
use serde_json::Value;

use crate::distro::Distro;
use crate::findings::{Finding, Severity};
use crate::flags::Flag;
use crate::yaml::{self, YamlError};

/// The keys that hold flags of the components.
const KEYS: [&str; 2] = ["kube-apiserver-arg", "kube-controller-manager-arg"];

/// The keys from which issuer, audiences and key files follow that the server sets by itself.
const SETTINGS: [&str; 2] = ["cluster-domain", "data-dir"];

/// A file that is read with the one in question.
#[derive(Debug)]
pub struct Layer {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// What another file does to the flags of the one in question.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// It comes later and has a list of its own.
    #[error("{key} is replaced by that of \"{}\", which is read after it", other.display())]
    Replaced {
        /// The list.
        key: &'static str,
        /// The other file.
        other: PathBuf,
    },
    /// It comes later and adds token flags.
    #[error("\"{}\" adds token flags to {key} with {key}+", other.display())]
    Added {
        /// The list.
        key: &'static str,
        /// The other file.
        other: PathBuf,
    },
    /// It comes before, and a new list here would take its place.
    #[error("{key} written here would replace that of \"{}\", which is read before it", other.display())]
    Replaces {
        /// The list.
        key: &'static str,
        /// The other file.
        other: PathBuf,
    },
    /// What the server sets by itself follows from it, and the file in question says something else, or nothing.
    #[error("{key} is \"{value}\" in \"{}\", which is read with it", other.display())]
    Setting {
        /// The key.
        key: &'static str,
        /// Its value there.
        value: String,
        /// The other file.
        other: PathBuf,
    },
    /// It comes before, and the flags in force are there.
    #[error("the token flags of {key} are in \"{}\", which is read before it", other.display())]
    Elsewhere {
        /// The list.
        key: &'static str,
        /// The other file.
        other: PathBuf,
    },
    /// Nobody can tell what it says.
    #[error("\"{}\", which is read with it, cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: YamlError,
    },
}

impl Explain for LayerError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Replaced { other, .. }
            | Self::Replaces { other, .. }
            | Self::Elsewhere { other, .. } => {
                if of_rancher(other) {
                    format!(
                        "Rancher writes {} anew: set the flags there in the cluster's own configuration (machineGlobalConfig, its \
                         kube-apiserver-arg)",
                        other.display()
                    )
                } else {
                    format!(
                        "name {} instead, or first move its list into this file",
                        other.display()
                    )
                }
            }
            Self::Added { key, other } => format!(
                "move the items of {key}+ in {} into one {key}, in one file",
                other.display()
            ),
            Self::Setting { key, value, .. } => format!(
                "write {key}: {value} into this file too: the issuer and key files that are in force follow from it"
            ),
            Self::Unreadable { .. } => {
                "mend it first: the server does not start with it".to_owned()
            }
        })
    }
}

/// What Rancher puts on the nodes of its clusters.
fn of_rancher(file: &FilePath) -> bool {
    file.file_name()
        .is_some_and(|name| name == "50-rancher.yaml")
}

impl LayerError {
    /// As a fault of the file in question.
    pub fn finding(&self) -> Finding {
        Finding {
            severity: Severity::Problem,
            occurrence: None,
            message: self.to_string(),
            help: self.help().unwrap_or_default(),
        }
    }
}

/// The file that a file is joined with first: itself, or the one beside whose directory of drop-ins it stands. None
/// for distributions that read one file.
pub fn base(path: &FilePath, distro: Distro) -> Option<PathBuf> {
    if ![Distro::K3s, Distro::Rke2].contains(&distro) {
        return None;
    }
    let beside = || {
        let directory = path.parent()?;
        let name = directory.file_name()?.to_str()?.strip_suffix(".d")?;
        (is_drop_in(path) && is_drop_in(FilePath::new(name)))
            .then(|| directory.with_file_name(name))
    };
    Some(beside().unwrap_or_else(|| path.to_owned()))
}

/// The directory of the drop-ins of a file.
pub fn directory(base: &FilePath) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(".d");
    name.into()
}

/// Whether a file in that directory is read, by its name.
pub fn is_drop_in(path: &FilePath) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["yaml", "yml"]
            .iter()
            .any(|one| extension.eq_ignore_ascii_case(one))
    })
}

/// What stands against a change of a file: its text as it is and as it would be, and what is read before and after it.
pub fn allow(
    before: &str,
    after: &str,
    earlier: &[Layer],
    later: &[Layer],
) -> Result<(), LayerError> {
    let (here, change) = (mapping(before), mapping(after));
    let (earlier, later) = (parsed(earlier)?, parsed(later)?);
    let touched = KEYS.iter().any(|key| has_token_flags(&change, key));
    if touched && let Some(error) = settings(&change, &earlier, &later).next() {
        return Err(error);
    }
    for key in KEYS {
        if !has_token_flags(&change, key) {
            continue;
        }
        if let Some(error) = overruled(key, &later, |_| true) {
            return Err(error);
        }
        let known = |(_, document): &&(PathBuf, Value)| sets(document, key);
        if !sets(&here, key)
            && let Some((other, _)) = earlier.iter().rev().find(known)
        {
            let other = other.clone();
            return Err(LayerError::Replaces { key, other });
        }
    }
    Ok(())
}

/// Where the flags of a file are not those in force, for each list of flags.
pub fn differences(
    text: &str,
    earlier: &[Layer],
    later: &[Layer],
) -> Result<Vec<LayerError>, LayerError> {
    let here = mapping(text);
    let (earlier, later) = (parsed(earlier)?, parsed(later)?);
    let of_key = |key: &'static str| {
        let ours = has_token_flags(&here, key);
        let theirs = |document: &Value| ours || has_token_flags(document, key);
        overruled(key, &later, theirs).or_else(|| {
            let set = |(_, document): &&(PathBuf, Value)| has_token_flags(document, key);
            let (other, _) = earlier
                .iter()
                .rev()
                .find(set)
                .filter(|_| here.get(key).is_none())?;
            let other = other.clone();
            Some(LayerError::Elsewhere { key, other })
        })
    };
    let lists = KEYS.into_iter().filter_map(of_key);
    Ok(lists.chain(settings(&here, &earlier, &later)).collect())
}

/// The settings in force that are not those of the file in question. The last file that has one decides.
fn settings(
    here: &Value,
    earlier: &[(PathBuf, Value)],
    later: &[(PathBuf, Value)],
) -> impl Iterator<Item = LayerError> {
    SETTINGS.into_iter().filter_map(move |key| {
        let set =
            |(path, document): &(PathBuf, Value)| Some((path.clone(), text(document.get(key)?)));
        let ours = here.get(key).map(text);
        let after = later.iter().rev().find_map(set);
        let before = || {
            earlier
                .iter()
                .rev()
                .find_map(set)
                .filter(|_| ours.is_none())
        };
        let (other, value) = after.or_else(before)?;
        (ours.as_ref() != Some(&value)).then_some(LayerError::Setting { key, value, other })
    })
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The last of the later files that has a list that matters, or adds token flags.
fn overruled(
    key: &'static str,
    later: &[(PathBuf, Value)],
    matters: impl Fn(&Value) -> bool,
) -> Option<LayerError> {
    let mut later = later.iter().rev();
    later.find_map(|(other, document)| {
        let other = other.clone();
        if document.get(key).is_some() && matters(document) {
            return Some(LayerError::Replaced { key, other });
        }
        token_flags(document.get(format!("{key}+"))?).then_some(LayerError::Added { key, other })
    })
}

/// Whether a file has such a list, or adds to it.
fn sets(document: &Value, key: &str) -> bool {
    document.get(key).is_some() || document.get(format!("{key}+")).is_some()
}

fn has_token_flags(document: &Value, key: &str) -> bool {
    let lists = [key.to_owned(), format!("{key}+")];
    let mut lists = lists.iter().filter_map(|key| document.get(key));
    lists.any(token_flags)
}

/// Whether a list has a flag that decides which tokens are signed or accepted.
fn token_flags(list: &Value) -> bool {
    let is_flag = |item: &Value| {
        let name = item.as_str().and_then(|text| text.split('=').next());
        let bare = name.map(|name| name.trim_start_matches('-').trim_end_matches(['+', '-']));
        bare.and_then(Flag::named).is_some()
    };
    match list {
        Value::Array(items) => items.iter().any(is_flag),
        one => is_flag(one),
    }
}

/// The one document of a text that was read already.
fn mapping(text: &str) -> Value {
    let documents = yaml::parse(text).unwrap_or_default();
    documents.into_iter().next().unwrap_or_default()
}

fn parsed(layers: &[Layer]) -> Result<Vec<(PathBuf, Value)>, LayerError> {
    let parse = |layer: &Layer| {
        let documents = yaml::parse(&layer.text).map_err(|source| LayerError::Unreadable {
            path: layer.path.clone(),
            source,
        })?;
        Ok((
            layer.path.clone(),
            documents.into_iter().next().unwrap_or_default(),
        ))
    };
    layers.iter().map(parse).collect()
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
