//! What a refused registration may take back: decided from its journal and from what AWS says, and from nothing else.

use std::fmt;

use crate::plan::{ClusterRecord, RoleRecord};
use crate::role::{Registration, role_name_of};

/// What is done about the agent role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// There is none.
    Nothing,
    /// This registration made it, and nobody uses it.
    Delete,
    /// It is left.
    Keep(Reason),
}

/// Why a role is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It has the mark of another registration, or none.
    Another,
    /// A registration in EKS names it.
    Registered,
    /// Whether a registration names it could not be seen.
    Unseen,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Another => "this registration did not make it",
            Self::Registered => "the registration that EKS has names it",
            Self::Unseen => "whether EKS has a registration with it could not be seen",
        })
    }
}

/// Decides what becomes of the agent role that irsa makes, after AWS has refused the registration with this mark.
/// `cluster` is what EKS has under this name, whoever registered it.
pub fn undo(
    registration: &Registration,
    mark: &str,
    role: Option<&RoleRecord>,
    cluster: Option<&ClusterRecord>,
) -> Undo {
    let Some(role) = role else {
        return Undo::Nothing;
    };
    let named = cluster.and_then(|cluster| cluster.role_arn.as_deref());
    let own = registration.role_name();
    if named.and_then(role_name_of) == Some(own.as_str()) {
        Undo::Keep(Reason::Registered)
    } else if registration.made(&role.tags, mark) {
        Undo::Delete
    } else {
        Undo::Keep(Reason::Another)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::name::ClusterName;
    use crate::region::ConnectorRegion;
    use crate::role::MARK_TAG;

    /// Who made the role, against whom EKS has under the name.
    #[test]
    fn a_role_goes_only_if_this_registration_made_it_and_none_names_it() {
        let registration = Registration {
            region: ConnectorRegion::parse("eu-central-1").unwrap(),
            account: "111122223333".into(),
            name: ClusterName::parse("prod").unwrap(),
        };
        let (key, value) = registration.role_tag();
        let role = |mark: Option<&str>, ours: bool| {
            let mut tags = BTreeMap::new();
            if ours {
                tags.insert(key.to_owned(), value.clone());
            }
            tags.extend(mark.map(|mark| (MARK_TAG.to_owned(), mark.to_owned())));
            Some(RoleRecord {
                arn: registration.role_arn(),
                tags,
            })
        };
        let with = |role_arn: Option<String>| {
            Some(ClusterRecord {
                role_arn,
                connected: true,
                ..ClusterRecord::default()
            })
        };
        let own = registration.role_arn();
        let path = own.replace(":role/", ":role/a/path/");
        let other = "arn:aws:iam::111122223333:role/other".to_owned();
        let made = role(Some("m"), true);
        for (role, cluster, wanted) in [
            (None, None, Undo::Nothing),
            (None, with(Some(own.clone())), Undo::Nothing),
            (made.clone(), None, Undo::Delete),
            (made.clone(), with(Some(other)), Undo::Delete),
            (made.clone(), with(None), Undo::Delete),
            (
                made.clone(),
                with(Some(own)),
                Undo::Keep(Reason::Registered),
            ),
            (made, with(Some(path)), Undo::Keep(Reason::Registered)),
            (role(Some("x"), true), None, Undo::Keep(Reason::Another)),
            (role(None, true), None, Undo::Keep(Reason::Another)),
            (role(Some("m"), false), None, Undo::Keep(Reason::Another)),
        ] {
            let found = undo(&registration, "m", role.as_ref(), cluster.as_ref());
            assert_eq!(found, wanted, "{role:?} {cluster:?}");
        }
        let empty = role(Some(""), true);
        let found = undo(&registration, "", empty.as_ref(), None);
        assert_eq!(found, Undo::Keep(Reason::Another), "no mark is nobody's");
    }
}
