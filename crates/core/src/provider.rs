//! The IAM OIDC provider: its ARN, and what must change so that it fits an issuer.

use std::collections::BTreeMap;
use std::fmt;

use crate::explain::Explain;
use crate::issuer::IssuerUrl;

/// What AWS STS expects in `aud` unless the operator chose otherwise; the same in every partition.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";
/// IAM takes at most so many thumbprints (`CreateOpenIDConnectProvider`, `ThumbprintList`).
pub const MAX_THUMBPRINTS: usize = 5;
/// IAM takes at most so many client IDs.
pub const MAX_CLIENT_IDS: usize = 100;

/// `arn:PARTITION:iam::ACCOUNT:oidc-provider/HOST[/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderArn {
    partition: String,
    account: String,
    name: String,
}

/// What the provider shall be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderWanted {
    /// Whose tokens it trusts.
    pub issuer: IssuerUrl,
    /// The audiences that it accepts.
    pub client_ids: Vec<String>,
    /// CA thumbprints; none for an issuer whose certificate ends in a public root.
    pub ca_thumbprints: Vec<String>,
    /// Tags to be there; others stay.
    pub tags: BTreeMap<String, String>,
    /// Remove client IDs and thumbprints that are not named here.
    pub prune: bool,
}

/// What it is like now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderState {
    /// As IAM returns it: without scheme.
    pub url: String,
    /// The audiences that it accepts.
    pub client_ids: Vec<String>,
    /// CA thumbprints.
    pub ca_thumbprints: Vec<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// One outside change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderChange {
    /// Make it, with everything in one call.
    Create(ProviderWanted),
    /// Accept one more audience.
    AddClientId(String),
    /// Put this list in place of the one that is there.
    Thumbprints {
        /// The whole list.
        list: Vec<String>,
        /// Those that are new.
        added: Vec<String>,
        /// Those that go.
        removed: Vec<String>,
    },
    /// Set these tags; others stay.
    Tag(BTreeMap<String, String>),
    /// Accept an audience no longer.
    RemoveClientId(String),
}

/// Why a provider cannot be made to fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Not an ARN of an OIDC provider.
    #[error("\"{0}\" is not the ARN of an IAM OIDC provider")]
    Arn(String),
    /// Not 40 hexadecimal digits.
    #[error("thumbprint \"{0}\" is not 40 hexadecimal digits")]
    Thumbprint(String),
    /// Against IAM's rules.
    #[error("client ID \"{0}\" has not between 1 and 255 characters")]
    ClientId(String),
    /// Over a limit of IAM.
    #[error("the provider would have {count} {what}, expected at most {limit}")]
    TooMany {
        /// How many.
        count: usize,
        /// Client IDs or thumbprints.
        what: &'static str,
        /// IAM's limit.
        limit: usize,
    },
    /// The provider under the ARN is for another URL, which cannot be changed.
    #[error("the IAM provider has the URL \"{found}\", expected \"{expected}\"")]
    OtherUrl {
        /// As IAM has it.
        found: String,
        /// As the issuer needs it.
        expected: String,
    },
    /// IAM wants https.
    #[error("issuer {0} is not https")]
    NotHttps(IssuerUrl),
}

impl Explain for ProviderError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Arn(_) => "write it like arn:aws:iam::123456789012:oidc-provider/oidc.example.com/prod".into(),
            Self::Thumbprint(_) => "irsa thumbprint HOST prints the right one".into(),
            Self::ClientId(_) => format!("AWS STS expects {STS_AUDIENCE} in tokens unless you chose another audience"),
            Self::TooMany { .. } => "add --prune to remove those that are not named".into(),
            Self::OtherUrl { .. } => {
                "relying parties compare byte for byte, and IAM cannot change a provider's URL: delete it and run this \
                 again, or use the issuer as IAM has it"
                    .into()
            }
            Self::NotHttps(_) => "AWS fetches the documents over https only".into(),
        })
    }
}

impl ProviderArn {
    /// The provider of an issuer in an account.
    pub fn of(issuer: &IssuerUrl, partition: &str, account: &str) -> Self {
        Self {
            partition: partition.to_owned(),
            account: account.to_owned(),
            name: issuer.iam_name(),
        }
    }

    /// Reads an ARN.
    pub fn parse(text: &str) -> Result<Self, ProviderError> {
        let fail = || ProviderError::Arn(text.chars().take(300).collect());
        let mut fields = text.splitn(6, ':');
        let mut next = || fields.next().ok_or_else(fail);
        let (arn, partition, service) = (next()?, next()?, next()?);
        let (region, account, resource) = (next()?, next()?, next()?);
        let name = resource.strip_prefix("oidc-provider/").unwrap_or_default();
        let right = arn == "arn" && service == "iam" && region.is_empty() && !name.is_empty();
        if !right || partition.is_empty() {
            return Err(fail());
        }
        Ok(Self {
            partition: partition.to_owned(),
            account: account.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Whether it is the provider of an issuer. Services other than AWS keep the port, which AWS drops.
    pub fn is_of(&self, issuer: &IssuerUrl) -> bool {
        names(issuer, &self.name)
    }

    /// Host and path: the prefix of the condition keys `NAME:aud` and `NAME:sub`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The account.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The partition.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The ARN that a role of this path and name has in the same account. The path begins and ends with a slash.
    pub fn role_arn(&self, path: &str, name: &str) -> String {
        let Self {
            partition, account, ..
        } = self;
        format!("arn:{partition}:iam::{account}:role{path}{name}")
    }
}

impl fmt::Display for ProviderArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            account,
            name,
        } = self;
        write!(f, "arn:{partition}:iam::{account}:oidc-provider/{name}")
    }
}

impl ProviderWanted {
    /// Checks what IAM would refuse, and writes thumbprints in lower case as IAM does.
    pub fn checked(mut self) -> Result<Self, ProviderError> {
        if !self.issuer.is_https() {
            return Err(ProviderError::NotHttps(self.issuer));
        }
        for thumbprint in &mut self.ca_thumbprints {
            let hex = thumbprint.len() == 40 && thumbprint.bytes().all(|b| b.is_ascii_hexdigit());
            if !hex {
                return Err(ProviderError::Thumbprint(thumbprint.clone()));
            }
            thumbprint.make_ascii_lowercase();
        }
        let good = |id: &String| (1..=255).contains(&id.len());
        if let Some(bad) = self.client_ids.iter().find(|id| !good(id)) {
            return Err(ProviderError::ClientId(bad.chars().take(300).collect()));
        }
        limit(&self.client_ids, &self.ca_thumbprints)?;
        Ok(self)
    }
}

/// The changes in the order in which no token that is accepted now is refused in between: first what is added, then
/// what is removed.
pub fn plan(
    wanted: &ProviderWanted,
    state: Option<&ProviderState>,
) -> Result<Vec<ProviderChange>, ProviderError> {
    let Some(state) = state else {
        return Ok(vec![ProviderChange::Create(wanted.clone())]);
    };
    let found = state.url.strip_prefix("https://").unwrap_or(&state.url);
    if !names(&wanted.issuer, found) {
        return Err(ProviderError::OtherUrl {
            found: found.to_owned(),
            expected: wanted.issuer.iam_name(),
        });
    }
    let missing = |list: &[String], there: &[String]| -> Vec<String> {
        let missing = list.iter().filter(|one| !there.contains(one));
        missing.cloned().collect()
    };
    let new_ids = missing(&wanted.client_ids, &state.client_ids);
    let mut changes: Vec<_> = new_ids
        .into_iter()
        .map(ProviderChange::AddClientId)
        .collect();
    changes.extend(thumbprints(wanted, &state.ca_thumbprints, missing)?);
    let tags: BTreeMap<_, _> = wanted
        .tags
        .iter()
        // What somebody else made stays theirs: the tag that lets us delete it is given at its creation only.
        .filter(|(key, _)| *key != crate::bucket::OWNER_TAG.0)
        .filter(|(key, value)| state.tags.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !tags.is_empty() {
        changes.push(ProviderChange::Tag(tags));
    }
    if wanted.prune {
        let extra = missing(&state.client_ids, &wanted.client_ids);
        changes.extend(extra.into_iter().map(ProviderChange::RemoveClientId));
    } else {
        let added = missing(&wanted.client_ids, &state.client_ids);
        let all: Vec<String> = state.client_ids.iter().cloned().chain(added).collect();
        limit(&all, &[])?;
    }
    Ok(changes)
}

/// Whether a name without scheme is that of the issuer, with or without its port.
fn names(issuer: &IssuerUrl, name: &str) -> bool {
    name == issuer.iam_name() || issuer.as_str().strip_prefix("https://") == Some(name)
}

/// Without thumbprints of ours those that IAM found by itself stay: AWS does not look at them.
fn thumbprints(
    wanted: &ProviderWanted,
    there: &[String],
    missing: impl Fn(&[String], &[String]) -> Vec<String>,
) -> Result<Option<ProviderChange>, ProviderError> {
    if wanted.ca_thumbprints.is_empty() {
        return Ok(None);
    }
    let added = missing(&wanted.ca_thumbprints, there);
    let removed = if wanted.prune {
        missing(there, &wanted.ca_thumbprints)
    } else {
        Vec::new()
    };
    if added.is_empty() && removed.is_empty() {
        return Ok(None);
    }
    let kept = there.iter().filter(|one| !removed.contains(one));
    let list: Vec<String> = kept.chain(&added).cloned().collect();
    limit(&[], &list)?;
    Ok(Some(ProviderChange::Thumbprints {
        list,
        added,
        removed,
    }))
}

fn limit(client_ids: &[String], thumbprints: &[String]) -> Result<(), ProviderError> {
    for (count, what, limit) in [
        (client_ids.len(), "client IDs", MAX_CLIENT_IDS),
        (thumbprints.len(), "thumbprints", MAX_THUMBPRINTS),
    ] {
        if count > limit {
            return Err(ProviderError::TooMany { count, what, limit });
        }
    }
    Ok(())
}

impl fmt::Display for ProviderChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(wanted) => {
                write!(f, "create OIDC provider {}", wanted.issuer)?;
                let ids = wanted.client_ids.iter();
                ids.chain(&wanted.ca_thumbprints)
                    .try_for_each(|value| write!(f, "\n  + {value}"))?;
                let mut tags = wanted.tags.iter();
                tags.try_for_each(|(key, value)| write!(f, "\n  + tag {key}={value}"))
            }
            Self::AddClientId(id) => write!(f, "add client ID {id}"),
            Self::Thumbprints { added, removed, .. } => {
                f.write_str("update thumbprints")?;
                added.iter().try_for_each(|one| write!(f, "\n  + {one}"))?;
                removed.iter().try_for_each(|one| write!(f, "\n  - {one}"))
            }
            Self::Tag(tags) => {
                f.write_str("tag OIDC provider")?;
                let mut tags = tags.iter();
                tags.try_for_each(|(key, value)| write!(f, "\n  + {key}={value}"))
            }
            Self::RemoveClientId(id) => write!(f, "remove client ID {id}"),
        }
    }
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
