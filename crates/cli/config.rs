//! The configuration file: one YAML document, unknown keys refused.

pub mod cluster;
pub mod rows;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use irsa_core::explain::Explain;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_saphyr::DeserializeError;

pub use self::cluster::ClusterSection;
use crate::args;
use crate::commands::webhook::WebhookSection;
use crate::logging::LogFormat;
use crate::output::Format;

/// Ten thousand issuers fit well; a wrong path (a disk, a log) does not.
pub const MAX_BYTES: u64 = 16 << 20;

/// The configuration file. Every key has a flag or variable of the same name that wins over it; relative paths are
/// relative to the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How results are written.
    pub output: Option<Format>,
    /// What is logged.
    pub log: Option<String>,
    /// How log lines are written.
    pub log_format: Option<LogFormat>,
    /// Accept issuers that end in a slash.
    pub allow_trailing_slash: Option<bool>,
    /// The issuers that are served: each with keys of its own, never a union.
    pub issuers: Vec<IssuerEntry>,
    /// The endpoint.
    pub serve: ServeSection,
    /// kube-apiserver's flags.
    pub apiserver: ApiserverSection,
    /// What `irsa bootstrap` sets up.
    pub cluster: Option<ClusterSection>,
    /// The pod identity webhook.
    pub webhook: WebhookSection,
}

/// kube-apiserver's flags: what `irsa apiserver` brings them to. Paths are as kube-apiserver sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiserverSection {
    /// The issuer, when there is more than one under `issuers` or none.
    pub issuer: Option<String>,
    /// Where kube-apiserver's own discovery document points to.
    pub jwks_uri: Option<String>,
    /// Public key files.
    pub key_files: Vec<String>,
    /// The private key file.
    pub signing_key_file: Option<String>,
    /// Audiences besides those in force.
    pub api_audiences: Vec<String>,
}

/// One issuer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    /// The issuer URL.
    pub issuer: String,
    /// Where its JWKS stands.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// Key files and directories of `*.pub` files; none for an endpoint that serves documents from a store.
    #[serde(default)]
    pub keys: Vec<PathBuf>,
}

/// The endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeSection {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Certificate chain.
    pub tls_cert: Option<PathBuf>,
    /// Its private key.
    pub tls_key: Option<PathBuf>,
    /// Plain HTTP on other than loopback addresses.
    pub behind_proxy: Option<bool>,
    /// Address of the admin port.
    pub admin_listen: Option<SocketAddr>,
    /// `Cache-Control: max-age`.
    #[serde(default, deserialize_with = "cache_life")]
    pub max_age: Option<Seconds>,
    /// How often files are looked at.
    pub reload_interval: Option<Seconds>,
    /// Connections at once.
    pub max_connections: Option<NonZeroUsize>,
    /// Time for a handshake and for a request's header.
    pub header_timeout: Option<Seconds>,
    /// Time between two requests.
    pub idle_timeout: Option<Seconds>,
    /// Time for requests in flight after SIGTERM.
    pub drain_timeout: Option<Seconds>,
}

/// A duration like `300s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        args::duration(&text).map(Self).map_err(D::Error::custom)
    }
}

/// Reads a `max-age`: see [`args::cache_life`].
pub(crate) fn cache_life<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Seconds>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| args::cache_life(&text).map(Seconds))
        .transpose()
        .map_err(D::Error::custom)
}

impl serde::Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}s", self.0.as_secs_f64()))
    }
}

/// Why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("configuration file \"{}\" cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its text is refused.
    #[error("configuration file \"{}\" is refused", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: TextError,
    },
}

/// Why a configuration text is refused.
#[derive(Debug)]
pub struct TextError {
    message: String,
    help: Option<String>,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TextError {}

impl Explain for TextError {
    fn help(&self) -> Option<String> {
        self.help.clone()
    }
}

impl Explain for ConfigError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("check --config and IRSA_CONFIG".into()),
            Self::Text { source, .. } => source.help(),
        }
    }
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::of(path, File::open(path))
    }

    /// The same of an open file, or why it could not be opened.
    pub fn of(path: &Path, file: io::Result<File>) -> Result<Self, ConfigError> {
        let text = read(path, file)?;
        let mut config = Self::parse(&text).map_err(|source| ConfigError::Text {
            path: path.to_owned(),
            source,
        })?;
        config.one_jwks_uri().map_err(|source| ConfigError::Text {
            path: path.to_owned(),
            source,
        })?;
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// An issuer has one JWKS, wherever the file speaks of it, and whichever command asks.
    fn one_jwks_uri(&mut self) -> Result<(), TextError> {
        if let Some(cluster) = &mut self.cluster {
            let same = |entry: &&mut IssuerEntry| cluster.issuer.as_ref() == Some(&entry.issuer);
            if let Some(entry) = self.issuers.iter_mut().find(same) {
                let names = [("issuers", &entry.jwks_uri), ("cluster", &cluster.jwks_uri)];
                let one = one_of(names)?.cloned();
                entry.jwks_uri.clone_from(&one);
                cluster.jwks_uri = one;
            }
        }
        let entries = self.issuers.iter();
        let entries = entries.map(|entry| ("issuers", Some(&entry.issuer), &entry.jwks_uri));
        let cluster = self.cluster.iter();
        let cluster = cluster.map(|it| ("cluster", it.issuer.as_ref(), &it.jwks_uri));
        let apiserver = &self.apiserver;
        for (section, issuer, jwks_uri) in entries.chain(cluster) {
            if issuer.is_some() && issuer == apiserver.issuer.as_ref() {
                one_of([(section, jwks_uri), ("apiserver", &apiserver.jwks_uri)])?;
            }
        }
        Ok(())
    }

    /// The text of a file.
    pub fn read(path: &Path) -> Result<String, ConfigError> {
        read(path, File::open(path))
    }

    /// Reads a text. An empty one is an empty configuration.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let only_comments = text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
        if only_comments {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| TextError::of(error.without_snippet(), text))
    }

    /// Paths in the file are relative to the file, so that it works from every directory.
    fn resolve_paths(&mut self, directory: &Path) {
        let keys = self
            .issuers
            .iter_mut()
            .flat_map(|entry| entry.keys.iter_mut());
        let tls = [&mut self.serve.tls_cert, &mut self.serve.tls_key];
        for path in keys.chain(tls.into_iter().flatten()) {
            *path = directory.join(&*path);
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.resolve_paths(directory);
        }
        self.webhook.resolve_paths(directory);
    }
}

/// What is named by one of two sections, or by both.
fn one_of<'a>(named: [(&str, &'a Option<String>); 2]) -> Result<Option<&'a String>, TextError> {
    let [(first, one), (second, other)] = named;
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(TextError {
            message: format!(
                "{first} and {second} name two JWKS of one issuer: jwks_uri \"{one}\" and \"{other}\""
            ),
            help: Some("leave one of the two out, or make them the same".into()),
        }),
        _ => Ok(one.as_ref().or(other.as_ref())),
    }
}

fn read(path: &Path, file: io::Result<File>) -> Result<String, ConfigError> {
    let fail = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = file.map_err(fail)?;
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(fail)?;
    if text.len() as u64 > MAX_BYTES {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB");
        return Err(fail(error));
    }
    Ok(text)
}

impl TextError {
    fn of(error: &DeserializeError, text: &str) -> Self {
        let line = error.location().map_or(0, |location| location.line());
        let at = if line > 0 {
            format!("line {line}: ")
        } else {
            String::new()
        };
        match error {
            DeserializeError::SerdeUnknownField {
                field, expected, ..
            } => Self {
                message: format!("{at}unknown key \"{}\"", field.escape_debug()),
                help: Some(match nearest(field, expected) {
                    Some(known) => format!("did you mean \"{known}\"?"),
                    None => format!("known here: {}", expected.join(", ")),
                }),
            },
            DeserializeError::Budget { .. } => Self {
                message: format!("{at}more values than a configuration has, or deeper ones"),
                help: None,
            },
            DeserializeError::SerdeMissingField { field, .. } => Self {
                message: format!("the key \"{field}\" is missing near line {line}"),
                help: Some(format!("add {field}: beside the keys there")),
            },
            DeserializeError::Unexpected { expected, location } => {
                let (what, help) = form(expected);
                let key = key_before(text, location.line(), location.column());
                let key = key.map_or_else(String::new, |key| format!("{key}: "));
                Self {
                    message: format!("{at}{key}expected {what}"),
                    help: Some(help.to_owned()),
                }
            }
            other => Self {
                message: first_line(&other.to_string()),
                help: Some("README.md shows a whole file, under Configuration".to_owned()),
            },
        }
    }
}

/// What a parser expects in words, and how it is written.
fn form(expected: &str) -> (&str, &str) {
    match expected {
        "sequence start" => (
            "a list",
            "write it like [a, b], also when there is only one",
        ),
        "mapping start" => (
            "keys with values",
            "write each on a line of its own below, like name: value; is this a configuration file of irsa?",
        ),
        "string scalar" | "scalar" => (
            "one value",
            "write one word or number, in quotes if it has special characters",
        ),
        other => (other, "README.md shows a whole file, under Configuration"),
    }
}

/// The key whose value begins at this place.
fn key_before(text: &str, line: u64, column: u64) -> Option<String> {
    let line = text
        .lines()
        .nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    let before: String = line
        .chars()
        .take(usize::try_from(column).ok()?.saturating_sub(1))
        .collect();
    let key = before.trim_end().strip_suffix(':')?;
    let key = key
        .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next()?;
    (!key.is_empty()).then(|| key.to_owned())
}

/// Enough of a message: it may quote a value of any length.
fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect()
}

/// The known key that was probably meant.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |candidate: &&str| strsim::jaro_winkler(key, candidate);
    known
        .iter()
        .copied()
        .max_by(|a, b| score(a).total_cmp(&score(b)))
        .filter(|best| score(best) > 0.75)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
