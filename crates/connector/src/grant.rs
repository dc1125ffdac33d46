//! Who may see what of a connected cluster in the console.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use irsa_core::explain::Explain;

use crate::principal::{ConsoleArn, PrincipalError};

/// What a principal may list in the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nothing yet: the console can act as the principal, and its rights are bound by somebody else.
    Impersonate,
    /// Nodes, namespaces, and the workloads of all namespaces.
    Full,
    /// Nodes, namespaces, and the workloads of these namespaces.
    Namespaces(BTreeSet<String>),
}

/// Principals and their access; may be empty, see [`crate::manifest::console`] for who refuses that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(BTreeMap<ConsoleArn, Access>);

/// Why a text is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Without its second half.
    #[error("grant \"{0}\" says nothing of the access, expected ARN=full or ARN=ns:NAMESPACE,…")]
    NoAccess(String),
    /// A second half that means nothing.
    #[error(
        "grant of \"{access}\" to {arn} is not known, expected full, ns:NAMESPACE,… or impersonate"
    )]
    UnknownAccess {
        /// To whom.
        arn: String,
        /// What was asked for.
        access: String,
    },
    /// Kubernetes has no such namespace names.
    #[error("\"{namespace}\" is no name of a namespace in the grant to {arn}")]
    Namespace {
        /// To whom.
        arn: String,
        /// What should be a name.
        namespace: String,
    },
    /// Not a user or role.
    #[error(transparent)]
    Principal(#[from] PrincipalError),
}

impl Explain for GrantError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Principal(error) => error.help(),
            _ => Some(
                "write it like arn:aws:iam::111122223333:role/Admin=full, or …=ns:team-a,team-b"
                    .into(),
            ),
        }
    }
}

impl Access {
    /// The greater of two.
    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Impersonate, access) | (access, Self::Impersonate) => access,
            (Self::Namespaces(mut all), Self::Namespaces(more)) => {
                all.extend(more);
                Self::Namespaces(all)
            }
            _ => Self::Full,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Impersonate => f.write_str("impersonate"),
            Self::Namespaces(all) => {
                let all: Vec<_> = all.iter().map(String::as_str).collect();
                write!(f, "ns:{}", all.join(","))
            }
        }
    }
}

impl Grants {
    /// Full access for one principal.
    pub fn full(principal: ConsoleArn) -> Self {
        Self(BTreeMap::from([(principal, Access::Full)]))
    }

    /// Reads `ARN=full` and `ARN=ns:a,b`; several grants of one principal add up.
    pub fn parse<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Result<Self, GrantError> {
        let mut grants = Self::default();
        for text in texts {
            let (principal, access) = parse_one(text.as_ref())?;
            grants.add(principal, access);
        }
        Ok(grants)
    }

    /// Gives more access; what a principal had stays.
    pub fn add(&mut self, principal: ConsoleArn, access: Access) {
        let merged = match self.0.remove(&principal) {
            Some(before) => before.merge(access),
            None => access,
        };
        self.0.insert(principal, merged);
    }

    /// Both together.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (principal, access) in &other.0 {
            all.add(principal.clone(), access.clone());
        }
        all
    }

    /// Takes all access from a principal; says whether it had any.
    pub fn remove(&mut self, principal: &ConsoleArn) -> bool {
        self.0.remove(principal).is_some()
    }

    /// Whether nobody has access.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every principal with its access.
    pub fn iter(&self) -> impl Iterator<Item = (&ConsoleArn, &Access)> {
        self.0.iter()
    }

    /// Each grant as it is written in an option.
    pub fn to_string_list(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(principal, access)| format!("{principal}={access}"))
            .collect()
    }

    /// Every principal.
    pub fn principals(&self) -> impl Iterator<Item = &ConsoleArn> {
        self.0.keys()
    }

    /// Those with full access.
    pub fn full_principals(&self) -> impl Iterator<Item = &ConsoleArn> {
        self.0
            .iter()
            .filter(|(_, access)| **access == Access::Full)
            .map(|(principal, _)| principal)
    }

    /// Those with access to some namespaces only.
    pub fn restricted_principals(&self) -> impl Iterator<Item = &ConsoleArn> {
        self.0
            .iter()
            .filter(|(_, access)| matches!(access, Access::Namespaces(_)))
            .map(|(principal, _)| principal)
    }

    /// The namespaces named by grants, and who may list them.
    pub fn by_namespace(&self) -> BTreeMap<&str, Vec<&ConsoleArn>> {
        let mut namespaces: BTreeMap<&str, Vec<&ConsoleArn>> = BTreeMap::new();
        for (principal, access) in &self.0 {
            if let Access::Namespaces(all) = access {
                for namespace in all {
                    namespaces.entry(namespace).or_default().push(principal);
                }
            }
        }
        namespaces
    }
}

fn parse_one(text: &str) -> Result<(ConsoleArn, Access), GrantError> {
    // A role's name may have an equals sign in it.
    let (arn, access) = text
        .rsplit_once('=')
        .ok_or_else(|| GrantError::NoAccess(text.to_owned()))?;
    let principal = ConsoleArn::parse(arn)?;
    match access {
        "full" => return Ok((principal, Access::Full)),
        "impersonate" => return Ok((principal, Access::Impersonate)),
        _ => {}
    }
    let list = access
        .strip_prefix("ns:")
        .ok_or_else(|| GrantError::UnknownAccess {
            arn: arn.to_owned(),
            access: access.to_owned(),
        })?;
    let mut namespaces = BTreeSet::new();
    for namespace in list.split(',') {
        if !is_namespace(namespace) {
            return Err(GrantError::Namespace {
                arn: arn.to_owned(),
                namespace: namespace.to_owned(),
            });
        }
        namespaces.insert(namespace.to_owned());
    }
    Ok((principal, Access::Namespaces(namespaces)))
}

/// A DNS label, as Kubernetes demands of namespaces (RFC 1123).
fn is_namespace(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= 63
        && edge(text.bytes().next())
        && edge(text.bytes().last())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/Admin";

    fn show(grants: &Grants) -> Vec<String> {
        grants.to_string_list()
    }

    #[test]
    fn grants_of_one_principal_add_up() {
        let grants = Grants::parse([
            format!("{ROLE}=ns:b,a"),
            "arn:aws:iam::111122223333:role/path/Admin=ns:c".to_owned(),
            "arn:aws:iam::111122223333:user/x=full".to_owned(),
        ]);
        assert_eq!(
            show(&grants.unwrap()),
            [
                format!("{ROLE}=ns:a,b,c"),
                "arn:aws:iam::111122223333:user/x=full".to_owned()
            ]
        );
        let grants = Grants::parse([format!("{ROLE}=ns:a"), format!("{ROLE}=full")]).unwrap();
        assert_eq!(show(&grants), [format!("{ROLE}=full")]);
        let grants = Grants::parse([format!("{ROLE}=ns:a"), format!("{ROLE}=impersonate")]);
        assert_eq!(show(&grants.unwrap()), [format!("{ROLE}=ns:a")]);
    }

    #[test]
    fn an_equals_sign_may_stand_in_a_name() {
        let grants = Grants::parse(["arn:aws:iam::111122223333:role/a=b=full"]).unwrap();
        assert_eq!(show(&grants), ["arn:aws:iam::111122223333:role/a=b=full"]);
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        for text in [
            "",
            ROLE,
            "arn:aws:iam::111122223333:role/Admin=",
            "arn:aws:iam::111122223333:role/Admin=admin",
            "arn:aws:iam::111122223333:role/Admin=ns:",
            "arn:aws:iam::111122223333:role/Admin=ns:a,,b",
            "arn:aws:iam::111122223333:role/Admin=ns:A",
            "arn:aws:iam::111122223333:role/Admin=ns:-a",
            "full",
            "x=full",
        ] {
            assert!(Grants::parse([text]).is_err(), "{text}");
        }
    }
}
