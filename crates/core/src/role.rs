//! An IAM role for service accounts: what must change so that it is as it shall be.

use std::collections::BTreeMap;
use std::fmt;

use crate::explain::Explain;
use crate::provider::ProviderArn;
use crate::trust::{Grant, Subject, TrustError, TrustPolicy};

/// The name of the inline policy that `--policy-file` becomes.
pub const INLINE_POLICY: &str = "irsa";

/// What the role shall be like. What is `None` or empty is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleWanted {
    /// Its name.
    pub name: String,
    /// Its path; fixed at creation. `/` without.
    pub path: Option<String>,
    /// Who may assume it.
    pub grants: Vec<Grant>,
    /// ARNs of managed policies to attach.
    pub policy_arns: Vec<String>,
    /// The inline policy [`INLINE_POLICY`], as JSON.
    pub inline: Option<String>,
    /// ARN of the permissions boundary.
    pub boundary: Option<String>,
    /// Seconds, 3600 to 43200.
    pub max_session: Option<i32>,
    /// Tags of a role that is made.
    pub tags: BTreeMap<String, String>,
}

/// What it is like now.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleState {
    /// Its ARN.
    pub arn: String,
    /// Its path.
    pub path: String,
    /// Its trust policy.
    pub trust: TrustPolicy,
    /// ARNs of attached policies.
    pub policy_arns: Vec<String>,
    /// The inline policy [`INLINE_POLICY`], if it has one.
    pub inline: Option<String>,
    /// ARN of the permissions boundary.
    pub boundary: Option<String>,
    /// Seconds.
    pub max_session: Option<i32>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// One outside change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChange {
    /// Make it.
    Create {
        /// Its path.
        path: String,
        /// Its trust policy.
        trust: String,
        /// Who may assume it.
        subjects: Vec<Subject>,
        /// ARN of the permissions boundary.
        boundary: Option<String>,
        /// Seconds.
        max_session: Option<i32>,
        /// Tags.
        tags: BTreeMap<String, String>,
    },
    /// Let these in too.
    Trust {
        /// The policy that was seen: it is replaced only while it stands.
        before: TrustPolicy,
        /// The whole policy.
        trust: String,
        /// Who is new.
        added: Vec<Subject>,
    },
    /// Set the permissions boundary.
    Boundary(String),
    /// Set the longest session, in seconds.
    MaxSession(i32),
    /// Attach a managed policy.
    Attach(String),
    /// Put the inline policy in place.
    Inline(String),
}

/// What hangs on a role besides managed policies: IAM deletes only a role on which nothing hangs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleAttachments {
    /// Names of all its inline policies.
    pub inline: Vec<String>,
    /// Names of the instance profiles that it is in.
    pub instance_profiles: Vec<String>,
}

/// One step of a role's removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleRemoval {
    /// Detach a managed policy.
    Detach(String),
    /// Delete the inline policy [`INLINE_POLICY`].
    DeleteInline,
    /// Delete the role.
    Delete,
}

/// Why a role cannot be made as it shall be, or not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// Others have hung something on it.
    #[error("role \"{name}\" has {what} that irsa did not make: {}", names.join(", "))]
    InUse {
        /// The role.
        name: String,
        /// Inline policies or instance profiles.
        what: &'static str,
        /// Which.
        names: Vec<String>,
    },
    /// Its trust policy.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Nobody could assume it.
    #[error("role \"{0}\" would be one that nobody may assume")]
    NoSubject(String),
    /// A path cannot be changed.
    #[error("role \"{name}\" has the path \"{found}\", expected \"{expected}\"")]
    OtherPath {
        /// The role.
        name: String,
        /// As it is.
        found: String,
        /// As it was asked for.
        expected: String,
    },
    /// Against IAM's rules.
    #[error("{what} \"{value}\" is not {expected}")]
    Value {
        /// What.
        what: &'static str,
        /// As it was given.
        value: String,
        /// What IAM takes.
        expected: &'static str,
    },
}

impl Explain for RoleError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Trust(error) => return error.help(),
            Self::InUse { .. } => {
                "nothing was removed, as IAM would refuse in the end; take them away with the tool that made them, then run it again".into()
            }
            Self::NoSubject(_) => "add --service-account NAMESPACE/NAME".into(),
            Self::OtherPath { .. } => {
                "IAM cannot change a role's path: leave --path out, or choose another name".into()
            }
            Self::Value { .. } => "nothing was changed; look at the command line again".into(),
        })
    }
}

impl RoleWanted {
    /// Checks what IAM would refuse.
    pub fn checked(self) -> Result<Self, RoleError> {
        let fail = |what, value: &str, expected| RoleError::Value {
            what,
            value: value.chars().take(300).collect(),
            expected,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(plain) {
            let expected = "1 to 64 letters, digits and _+=,.@-";
            return Err(fail("role name", &self.name, expected));
        }
        if let Some(path) = &self.path
            && !(path.starts_with('/') && path.ends_with('/') && path.len() <= 512)
        {
            return Err(fail(
                "path",
                path,
                "a text that begins and ends with a slash",
            ));
        }
        for arn in self.policy_arns.iter().chain(&self.boundary) {
            if !(arn.starts_with("arn:") && arn.contains(":iam::") && arn.contains(":policy/")) {
                return Err(fail(
                    "policy ARN",
                    arn,
                    "like arn:aws:iam::aws:policy/ReadOnlyAccess",
                ));
            }
        }
        if let Some(seconds) = self.max_session
            && !(3600..=43200).contains(&seconds)
        {
            return Err(fail(
                "session duration",
                &format!("{seconds}s"),
                "between 1h and 12h",
            ));
        }
        Ok(self)
    }

    /// The trust policy that the role has after the grants, and who is new.
    pub fn trust(&self, now: &TrustPolicy) -> (TrustPolicy, Vec<Subject>) {
        let mut policy = now.clone();
        let mut added = Vec::new();
        for grant in &self.grants {
            let (next, new) = policy.with(grant);
            policy = next;
            added.extend(new);
        }
        (policy, added)
    }
}

/// The changes in their order: what the role may do is limited before anybody may assume it.
pub fn plan(wanted: &RoleWanted, state: Option<&RoleState>) -> Result<Vec<RoleChange>, RoleError> {
    let mut changes = Vec::new();
    let (attached, inline) = match state {
        None => {
            let (trust, subjects) = wanted.trust(&TrustPolicy::default());
            if subjects.is_empty() {
                return Err(RoleError::NoSubject(wanted.name.clone()));
            }
            changes.push(RoleChange::Create {
                path: wanted.path.clone().unwrap_or_else(|| "/".to_owned()),
                trust: trust.to_json()?,
                subjects,
                boundary: wanted.boundary.clone(),
                max_session: wanted.max_session,
                tags: wanted.tags.clone(),
            });
            (&[][..], None)
        }
        Some(state) => {
            changes.extend(plan_existing(wanted, state)?);
            (&state.policy_arns[..], state.inline.as_deref())
        }
    };
    let missing = wanted
        .policy_arns
        .iter()
        .filter(|arn| !attached.contains(arn));
    changes.extend(missing.cloned().map(RoleChange::Attach));
    if let Some(text) = &wanted.inline
        && !inline.is_some_and(|there| same_json(there, text))
    {
        changes.push(RoleChange::Inline(text.clone()));
    }
    Ok(changes)
}

/// The steps of a role's removal. It is refused as a whole when IAM would refuse the last step: a role that has lost
/// its policies and still exists serves nobody.
pub fn plan_removal(
    name: &str,
    state: &RoleState,
    attachments: &RoleAttachments,
) -> Result<Vec<RoleRemoval>, RoleError> {
    let foreign: Vec<String> = attachments
        .inline
        .iter()
        .filter(|policy| *policy != INLINE_POLICY)
        .cloned()
        .collect();
    for (what, names) in [
        ("inline policies", &foreign),
        ("instance profiles", &attachments.instance_profiles),
    ] {
        if !names.is_empty() {
            return Err(RoleError::InUse {
                name: name.to_owned(),
                what,
                names: names.clone(),
            });
        }
    }
    let detach = state.policy_arns.iter().cloned().map(RoleRemoval::Detach);
    let inline = state.inline.iter().map(|_| RoleRemoval::DeleteInline);
    Ok(detach.chain(inline).chain([RoleRemoval::Delete]).collect())
}

/// Whether every statement of a trust policy lets in web identities of this provider and nobody else.
pub fn trusts_only(trust: &TrustPolicy, provider: &ProviderArn) -> bool {
    let arn = provider.to_string();
    let statements = trust.statements();
    let ours = |statement: &&serde_json::Value| {
        let principal = statement.get("Principal").and_then(|it| it.as_object());
        principal.is_some_and(|kinds| {
            kinds.len() == 1
                && match kinds.get("Federated") {
                    Some(serde_json::Value::String(one)) => *one == arn,
                    Some(serde_json::Value::Array(many)) => {
                        many.iter().all(|one| *one == arn.as_str())
                    }
                    _ => false,
                }
        })
    };
    !statements.is_empty() && statements.iter().all(ours)
}

fn plan_existing(wanted: &RoleWanted, state: &RoleState) -> Result<Vec<RoleChange>, RoleError> {
    if let Some(expected) = &wanted.path
        && *expected != state.path
    {
        return Err(RoleError::OtherPath {
            name: wanted.name.clone(),
            found: state.path.clone(),
            expected: expected.clone(),
        });
    }
    let mut changes = Vec::new();
    if let Some(boundary) = &wanted.boundary
        && state.boundary.as_ref() != Some(boundary)
    {
        changes.push(RoleChange::Boundary(boundary.clone()));
    }
    if let Some(seconds) = wanted.max_session
        && state.max_session != Some(seconds)
    {
        changes.push(RoleChange::MaxSession(seconds));
    }
    let (trust, added) = wanted.trust(&state.trust);
    if !added.is_empty() {
        changes.push(RoleChange::Trust {
            before: state.trust.clone(),
            trust: trust.to_json()?,
            added,
        });
    }
    Ok(changes)
}

fn same_json(a: &str, b: &str) -> bool {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    parse(a).is_some_and(|a| Some(a) == parse(b))
}

impl fmt::Display for RoleRemoval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detach(arn) => write!(f, "detach {arn}"),
            Self::DeleteInline => write!(f, "delete inline policy {INLINE_POLICY}"),
            Self::Delete => f.write_str("delete role"),
        }
    }
}

impl fmt::Display for RoleChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create {
                path,
                subjects,
                boundary,
                max_session,
                ..
            } => {
                write!(f, "create role at {path}")?;
                if let Some(boundary) = boundary {
                    write!(f, " within {boundary}")?;
                }
                if let Some(seconds) = max_session {
                    write!(f, ", sessions of up to {seconds} s")?;
                }
                subjects
                    .iter()
                    .try_for_each(|one| write!(f, "\n  + trusts {one}"))
            }
            Self::Trust { added, .. } => {
                f.write_str("update trust policy, other statements kept")?;
                added
                    .iter()
                    .try_for_each(|one| write!(f, "\n  + trusts {one}"))
            }
            Self::Boundary(arn) => write!(f, "set permissions boundary {arn}"),
            Self::MaxSession(seconds) => write!(f, "set longest session to {seconds} s"),
            Self::Attach(arn) => write!(f, "attach {arn}"),
            Self::Inline(_) => write!(f, "put inline policy {INLINE_POLICY}"),
        }
    }
}

#[cfg(test)]
#[path = "role_tests.rs"]
mod tests;
