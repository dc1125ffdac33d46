//! Which role a pod gets, and how: the precedence of annotations, ConfigMap, files and flags.
//!
//! | what | from, the first that says something |
//! |---|---|
//! | mode | container credentials file, else the role of the service account, else that of the ConfigMap |
//! | audience | service account, else the default; the ConfigMap's entry when the role comes from it |
//! | regional STS endpoint | the same |
//! | life of the token | pod, service account, default; pod, ConfigMap, default when the role comes from the ConfigMap |

use crate::identity::Identity;
use crate::mapping::Mapping;
use crate::note::Note;
use crate::role::is_role_arn;
use crate::settings::{DEFAULT_EXPIRATION, Settings, WEB_IDENTITY_TOKEN, WEB_IDENTITY_VOLUME};

/// What is known about a service account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Whether the container credentials file names it.
    pub associated: bool,
    /// Its annotations, if it exists.
    pub identity: Option<&'a Identity>,
    /// Its entry in the ConfigMap, patterns included.
    pub mapping: Option<&'a Mapping>,
    /// Its entry in the ConfigMap under its own name.
    pub exact_mapping: Option<&'a Mapping>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// The webhook's flag or configuration.
    Default,
    /// The service account's annotation.
    ServiceAccount,
    /// The pod's annotation.
    Pod,
    /// The ConfigMap's entry of this key.
    ConfigMap(String),
    /// The container credentials file.
    File,
}

/// How a pod gets its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The SDK exchanges the token at STS for this role.
    WebIdentity {
        /// The role as injected.
        role: String,
    },
    /// The SDK exchanges the token at the agent of the node.
    ContainerCredentials {
        /// Where the agent listens.
        full_uri: String,
    },
}

/// What a pod is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// How.
    pub mode: Mode,
    /// Where the role, or the membership, comes from.
    pub origin: From,
    /// The token's audience.
    pub audience: String,
    /// How long the token lives, in seconds.
    pub expiration: i64,
    /// Where that comes from.
    pub expiration_from: From,
    /// Whether SDKs use the Region's own STS endpoint.
    pub regional_sts: bool,
    /// The volume of the token.
    pub volume_name: String,
    /// Where it is mounted, as configured.
    pub mount_path: String,
    /// The token's file name in it.
    pub token_path: String,
}

/// Decides what a pod of this service account gets; none when it has no role.
///
/// `pod_expiration` is the pod's own wish, in seconds. `entropy` spreads the life of tokens in the container
/// credentials mode, so that a rollout does not renew all of them at once.
pub fn decide(
    settings: &Settings,
    known: Known<'_>,
    pod_expiration: Option<i64>,
    entropy: u64,
) -> Option<Injection> {
    let mut injection = if known.associated {
        container_credentials(settings, known)
    } else {
        web_identity(settings, known)?
    };
    if let Some(seconds) = pod_expiration {
        (injection.expiration, injection.expiration_from) = (seconds, From::Pod);
    }
    if known.associated && injection.expiration == DEFAULT_EXPIRATION {
        injection.expiration = spread(entropy);
    }
    Some(injection)
}

fn container_credentials(settings: &Settings, known: Known<'_>) -> Injection {
    let agent = &settings.container_credentials;
    let (regional_sts, (expiration, expiration_from)) = match (known.identity, known.exact_mapping)
    {
        (None, Some(mapping)) => (
            mapping.regional_sts,
            mapped_expiration(settings, Some(mapping)),
        ),
        (identity, _) => (
            identity
                .and_then(|it| it.regional_sts)
                .unwrap_or(settings.regional_sts),
            account_expiration(settings, identity),
        ),
    };
    Injection {
        mode: Mode::ContainerCredentials {
            full_uri: agent.full_uri.clone(),
        },
        origin: From::File,
        audience: agent.audience.clone(),
        expiration,
        expiration_from,
        regional_sts,
        volume_name: agent.volume_name.clone(),
        mount_path: agent.mount_path.clone(),
        token_path: agent.token_path.clone(),
    }
}

fn web_identity(settings: &Settings, known: Known<'_>) -> Option<Injection> {
    if let Some((role, identity)) = known
        .identity
        .and_then(|it| it.role.as_deref().zip(Some(it)))
    {
        let role = match &settings.account {
            Some(account) => account.compose(role),
            None => role.to_owned(),
        };
        let audience = identity.audience.as_deref();
        let (expiration, expiration_from) = account_expiration(settings, Some(identity));
        return Some(Injection {
            origin: From::ServiceAccount,
            audience: audience.unwrap_or(&settings.audience).to_owned(),
            expiration,
            expiration_from,
            regional_sts: identity.regional_sts.unwrap_or(settings.regional_sts),
            ..for_role(settings, role)
        });
    }
    let mapping = known.mapping.filter(|entry| !entry.role.is_empty())?;
    let (expiration, expiration_from) = mapped_expiration(settings, Some(mapping));
    let audience = mapping.audience.as_ref().unwrap_or(&settings.audience);
    Some(Injection {
        origin: From::ConfigMap(mapping.key.clone()),
        audience: audience.clone(),
        expiration,
        expiration_from,
        regional_sts: mapping.regional_sts,
        ..for_role(settings, mapping.role.clone())
    })
}

fn for_role(settings: &Settings, role: String) -> Injection {
    Injection {
        mode: Mode::WebIdentity { role },
        origin: From::Default,
        audience: settings.audience.clone(),
        expiration: settings.token_expiration(),
        expiration_from: From::Default,
        regional_sts: settings.regional_sts,
        volume_name: WEB_IDENTITY_VOLUME.to_owned(),
        mount_path: settings.mount_path.clone(),
        token_path: WEB_IDENTITY_TOKEN.to_owned(),
    }
}

fn account_expiration(settings: &Settings, identity: Option<&Identity>) -> (i64, From) {
    identity
        .and_then(|it| it.token_expiration)
        .map_or((settings.token_expiration(), From::Default), |seconds| {
            (seconds, From::ServiceAccount)
        })
}

fn mapped_expiration(settings: &Settings, mapping: Option<&Mapping>) -> (i64, From) {
    mapping
        .and_then(|entry| Some((entry.token_expiration?, From::ConfigMap(entry.key.clone()))))
        .unwrap_or((settings.token_expiration(), From::Default))
}

/// A life between 22 and 24 hours, both included.
fn spread(entropy: u64) -> i64 {
    let range = u64::try_from(DEFAULT_EXPIRATION - SPREAD_FROM + 1).unwrap_or(1);
    // The remainder's bias over 2^64 values is below one in 10^15.
    SPREAD_FROM + i64::try_from(entropy % range).unwrap_or_default()
}

/// Seconds.
const SPREAD_FROM: i64 = 79_200;

impl Injection {
    /// What a person should know about it, although it is injected.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Mode::WebIdentity { role } = &self.mode
            && !is_role_arn(role)
        {
            notes.push(Note::BadRoleArn { role: role.clone() });
        }
        if self.audience.is_empty() {
            notes.push(Note::EmptyAudience);
        }
        notes
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
