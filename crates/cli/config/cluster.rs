//! `cluster:`, the section for `irsa bootstrap` and `irsa teardown`: everything that one cluster needs.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use irsa_core::provider::STS_AUDIENCE;
use serde::de::{Deserialize, Deserializer, Error as _};

use super::{Seconds, rows};
use crate::commands::apiserver::DistroChoice;
use crate::commands::apiserver::patch::PhaseArg;
use crate::commands::keys::generate::AlgorithmName;
use crate::commands::publish::Target;
use crate::commands::publish::s3::Access;

/// One cluster, from its signing key to its pods. Relative paths are relative to the file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSection {
    /// What it is called; the value of the tag `irsa:cluster`.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The issuer URL; without it that of the bucket or distribution.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Where its JWKS stands.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// The keys whose public halves are published.
    pub keys: KeysSection,
    /// Where documents go.
    pub publish: PublishSection,
    /// The IAM OIDC provider.
    #[serde(default)]
    pub provider: ProviderSection,
    /// Roles for service accounts.
    #[serde(default)]
    pub roles: Vec<RoleSection>,
    /// kube-apiserver's files, if this run is to change them.
    #[serde(default)]
    pub apiserver: Option<ApiserverStep>,
    /// The pod identity webhook, if this run is to install it.
    #[serde(default)]
    pub webhook: Option<WebhookStep>,
}

/// Keys: those that exist, one that is made, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSection {
    /// Public key files of the cluster as it runs, and directories of `*.pub` files.
    pub adopt: Vec<PathBuf>,
    /// The directory in which a signing key is made, unless it is there.
    pub generate: Option<PathBuf>,
    /// Its files are `NAME.key` and `NAME.pub`.
    pub name: Option<String>,
    /// Its algorithm.
    #[serde(deserialize_with = "choice", serialize_with = "rows::choice")]
    pub algorithm: Option<AlgorithmName>,
    /// Its size, for RSA.
    pub rsa_bits: Option<u16>,
    /// `irsa rotate` changes the keys of this cluster: these here are published once, and from then on what is
    /// published stays as it is.
    pub rotated: bool,
}

/// Where documents go.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublishSection {
    /// `s3://BUCKET[/PREFIX]` or `dir:PATH`.
    #[serde(deserialize_with = "target", serialize_with = "rows::shown")]
    pub to: Target,
    /// The bucket's Region.
    #[serde(default)]
    pub region: Option<String>,
    /// Who reads the documents; everybody, by a bucket policy, unless said otherwise.
    #[serde(default, deserialize_with = "choice", serialize_with = "rows::choice")]
    pub access: Option<Access>,
    /// The ACM certificate (us-east-1) of an issuer at a host name of one's own, with access `cloudfront`.
    #[serde(default)]
    pub certificate_arn: Option<String>,
    /// Whether a missing bucket is made; it is, unless said otherwise.
    #[serde(default)]
    pub create_bucket: Option<bool>,
    /// Set up a bucket for which nothing proves that it is for this issuer.
    #[serde(default)]
    pub adopt_bucket: bool,
    /// The account that the bucket must belong to.
    #[serde(default)]
    pub bucket_owner: Option<String>,
    /// How long relying parties may keep the documents.
    #[serde(default, deserialize_with = "super::cache_life")]
    pub max_age: Option<Seconds>,
    /// Whether the documents are fetched through the issuer URL before AWS is told to trust it.
    #[serde(default)]
    pub read_back: Option<bool>,
}

/// The IAM OIDC provider.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSection {
    /// The audiences that tokens may have: at least one, or nobody could use what is set up.
    #[serde(deserialize_with = "some_audience")]
    pub client_ids: Vec<String>,
    /// CA thumbprints, instead of looking at the issuer.
    #[serde(rename = "thumbprints")]
    pub ca_thumbprints: Vec<String>,
}

fn some_audience<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let found: Vec<String> = Deserialize::deserialize(from)?;
    if found.is_empty() {
        return Err(serde::de::Error::custom(
            "client_ids is empty: name an audience, or leave it out for sts.amazonaws.com",
        ));
    }
    Ok(found)
}

impl Default for ProviderSection {
    fn default() -> Self {
        Self {
            client_ids: vec![STS_AUDIENCE.to_owned()],
            ca_thumbprints: Vec::new(),
        }
    }
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSection {
    /// Its name.
    pub name: String,
    /// `NAMESPACE/NAME` of each service account that may assume it.
    pub service_accounts: Vec<String>,
    /// Whether `*` and `?` are patterns in them.
    #[serde(default)]
    pub allow_wildcard: bool,
    /// ARNs of managed policies.
    #[serde(default)]
    pub policy_arns: Vec<String>,
    /// A policy in JSON, as the inline policy "irsa".
    #[serde(default)]
    pub policy_file: Option<PathBuf>,
    /// Its path.
    #[serde(default)]
    pub path: Option<String>,
    /// The most that it may ever do.
    #[serde(default)]
    pub permissions_boundary: Option<String>,
    /// The longest session.
    #[serde(default)]
    pub max_session: Option<Seconds>,
}

/// kube-apiserver's files. What the flags become is in the section `apiserver` of the file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiserverStep {
    /// The files.
    pub files: Vec<PathBuf>,
    /// What distribution they are of; told from them unless said.
    #[serde(default, deserialize_with = "distro", serialize_with = "rows::distro")]
    pub distro: Option<DistroChoice>,
    /// The pass: `accept` unless said otherwise.
    #[serde(default, deserialize_with = "choice", serialize_with = "rows::choice")]
    pub phase: Option<PhaseArg>,
    /// Where a file as it was is kept.
    #[serde(default)]
    pub backup: Option<PathBuf>,
}

/// The webhook.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookStep {
    /// Image of irsa.
    pub image: String,
    /// Namespace to run in.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Replicas.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// Flags of `irsa webhook serve`.
    #[serde(default)]
    pub flags: Vec<String>,
}

impl ClusterSection {
    /// Paths in the file are relative to the file.
    pub(super) fn resolve_paths(&mut self, directory: &Path) {
        let Self {
            keys,
            publish,
            roles,
            apiserver,
            ..
        } = self;
        let mut all: Vec<&mut PathBuf> = keys.adopt.iter_mut().chain(&mut keys.generate).collect();
        all.extend(
            roles
                .iter_mut()
                .filter_map(|role| role.policy_file.as_mut()),
        );
        if let Target::Directory(path) = &mut publish.to {
            all.push(path);
        }
        if let Some(step) = apiserver {
            all.extend(step.files.iter_mut().chain(&mut step.backup));
        }
        for path in all {
            *path = directory.join(&*path);
        }
    }
}

pub(super) fn spelt(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(plain) {
        Ok(text)
    } else {
        Err(D::Error::custom(
            "a name of 1 to 64 letters, digits and -._",
        ))
    }
}

/// A value as the option of the same name takes it.
fn choice<'de, D: Deserializer<'de>, T: ValueEnum>(deserializer: D) -> Result<Option<T>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    T::from_str(&text, true).map(Some).map_err(|_| {
        let known: Vec<String> = T::value_variants().iter().cloned().map(spelt).collect();
        let text: String = text.chars().take(100).collect();
        D::Error::custom(format!("\"{text}\" is none of {}", known.join(", ")))
    })
}

fn distro<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DistroChoice>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| DistroChoice::from_str(&text).map_err(D::Error::custom))
        .transpose()
}

fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
    let text = String::deserialize(deserializer)?;
    Target::parse(&text).map_err(D::Error::custom)
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
