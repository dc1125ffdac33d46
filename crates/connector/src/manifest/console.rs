//! What console users may see: impersonation rules and console roles, under the names of AWS's documentation.
//!
//! The rules in the cluster are the only record of the grants. They are read, changed and written back on the very
//! version that was read, so that two operators cannot undo each other's grants.

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use irsa_core::explain::Explain;
use serde_json::{Value, json};

use crate::grant::{Access, Grants};
use crate::json::at;
use crate::manifest::{Kind, MANAGED_BY, Manifest, ObjectRef};
use crate::principal::ConsoleArn;

use rules::{binding, full_rules, impersonation, namespace_rules, restricted_rules};

/// Who may be impersonated; a `ClusterRole` and a `ClusterRoleBinding`.
pub const IMPERSONATION: &str = "eks-connector-service";
/// The `ClusterRole` of full access.
pub const FULL: &str = "eks-connector-console-dashboard-full-access-clusterrole";
/// Its `ClusterRoleBinding`.
pub const FULL_BINDING: &str = "eks-connector-console-dashboard-full-access-clusterrole-binding";
/// The `ClusterRole` of those who see some namespaces only.
pub const RESTRICTED: &str = "eks-connector-console-dashboard-restricted-access-clusterrole";
/// Its `ClusterRoleBinding`.
pub const RESTRICTED_BINDING: &str =
    "eks-connector-console-dashboard-restricted-access-clusterrole-binding";
/// The Role in each of their namespaces.
pub const NAMESPACE_ROLE: &str = "eks-connector-console-dashboard-restricted-access-role";
/// Its `RoleBinding`.
pub const NAMESPACE_BINDING: &str =
    "eks-connector-console-dashboard-restricted-access-role-binding";

/// An object as it stands in the cluster.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Which object.
    pub object: ObjectRef,
    /// The whole object as the API server returns it.
    pub value: Value,
}

/// One edit of the console's rules.
#[derive(Debug)]
pub enum ConsoleChange {
    /// Make an object that is not there.
    Create(Manifest),
    /// Write an object over the version that was read.
    Replace(Manifest),
    /// Delete an object if it still is the version that was read.
    Delete {
        /// Which object.
        object: ObjectRef,
        /// The version that was read.
        resource_version: String,
    },
}

/// Why rules are not rendered or not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// A rule without names lets the connector be anybody.
    #[error(
        "there is no grant, and a rule without names would let the connector impersonate every user"
    )]
    NoGrants,
    /// Somebody else's rule under the same name.
    #[error("{object} has {found}, which irsa would not write")]
    Foreign {
        /// Which object.
        object: ObjectRef,
        /// What is unexpected.
        found: String,
    },
}

impl Explain for ConsoleError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoGrants => {
                "name who may browse the cluster, like --grant arn:aws:iam::111122223333:role/Admin=full".into()
            }
            Self::Foreign { object, .. } => format!(
                "nothing was changed; look at it with kubectl get {} {}{} -o yaml, and take that part out",
                object.kind.plural(),
                object.name,
                object
                    .namespace
                    .as_ref()
                    .map_or_else(String::new, |namespace| format!(" -n {namespace}"))
            ),
        })
    }
}

impl ConsoleChange {
    /// Which object it is about.
    pub fn object(&self) -> &ObjectRef {
        match self {
            Self::Create(manifest) | Self::Replace(manifest) => manifest.object(),
            Self::Delete { object, .. } => object,
        }
    }

    /// What is done, in one word.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Replace(_) => "update",
            Self::Delete { .. } => "delete",
        }
    }
}

/// The objects of these grants, in the order of applying; refused when there is none.
pub fn manifests(grants: &Grants) -> Result<Vec<Manifest>, ConsoleError> {
    if grants.is_empty() {
        return Err(ConsoleError::NoGrants);
    }
    let mut all = Vec::new();
    let full: Vec<_> = grants.full_principals().collect();
    if !full.is_empty() {
        all.push(Manifest::new(
            ObjectRef::cluster(Kind::ClusterRole, FULL),
            json!({"rules": full_rules()}),
        ));
        all.push(binding(
            ObjectRef::cluster(Kind::ClusterRoleBinding, FULL_BINDING),
            (Kind::ClusterRole, FULL),
            &full,
        ));
    }
    let restricted: Vec<_> = grants.restricted_principals().collect();
    if !restricted.is_empty() {
        all.push(Manifest::new(
            ObjectRef::cluster(Kind::ClusterRole, RESTRICTED),
            json!({"rules": restricted_rules()}),
        ));
        all.push(binding(
            ObjectRef::cluster(Kind::ClusterRoleBinding, RESTRICTED_BINDING),
            (Kind::ClusterRole, RESTRICTED),
            &restricted,
        ));
    }
    for (namespace, principals) in grants.by_namespace() {
        all.push(Manifest::new(
            ObjectRef::namespaced(Kind::Role, namespace, NAMESPACE_ROLE),
            json!({"rules": namespace_rules()}),
        ));
        all.push(binding(
            ObjectRef::namespaced(Kind::RoleBinding, namespace, NAMESPACE_BINDING),
            (Kind::Role, NAMESPACE_ROLE),
            &principals,
        ));
    }
    all.extend(impersonation(grants));
    Ok(all)
}

/// The grants that stand in the cluster.
pub fn read(standing: &[Standing]) -> Result<Grants, ConsoleError> {
    let mut grants = Grants::default();
    for Standing { object, value } in standing {
        match (object.kind, object.name.as_str()) {
            (Kind::ClusterRole, IMPERSONATION) => {
                for principal in impersonated(object, value)? {
                    grants.add(principal, Access::Impersonate);
                }
            }
            (Kind::ClusterRoleBinding, FULL_BINDING) => {
                for principal in subjects(object, value, FULL)? {
                    grants.add(principal, Access::Full);
                }
            }
            (Kind::ClusterRoleBinding, RESTRICTED_BINDING) => {
                for principal in subjects(object, value, RESTRICTED)? {
                    grants.add(principal, Access::Namespaces(BTreeSet::new()));
                }
            }
            (Kind::RoleBinding, NAMESPACE_BINDING) => {
                let namespace: BTreeSet<_> = object.namespace.iter().cloned().collect();
                for principal in subjects(object, value, NAMESPACE_ROLE)? {
                    grants.add(principal, Access::Namespaces(namespace.clone()));
                }
            }
            _ => {}
        }
    }
    Ok(grants)
}

/// Whether a rule of the impersonation role has no names, so that everybody can be impersonated.
pub fn impersonates_anyone(role: &Value) -> bool {
    rules(role).any(|rule| {
        let impersonates =
            strings(at(rule, &["verbs"])).any(|verb| verb == "impersonate" || verb == "*");
        impersonates && strings(at(rule, &["resourceNames"])).next().is_none()
    })
}

/// The edits that make the cluster hold `wanted`, in an order in which no step gives more than is granted: access that
/// goes is cut off first, access that comes is opened last.
pub fn changes(standing: &[Standing], wanted: &Grants) -> Result<Vec<ConsoleChange>, ConsoleError> {
    let before = read(standing)?;
    let mut found: BTreeMap<&ObjectRef, &Value> =
        standing.iter().map(|s| (&s.object, &s.value)).collect();
    let manifests = if wanted.is_empty() {
        Vec::new()
    } else {
        manifests(wanted)?
    };
    let mut edits = Vec::new();
    for manifest in manifests {
        match found.remove(manifest.object()) {
            None => edits.push(ConsoleChange::Create(manifest)),
            Some(value) if !is_ours(value) && is_role(manifest.object()) => {}
            Some(value) if same(&manifest, value) => {}
            Some(value) => {
                let version = version(value);
                edits.push(ConsoleChange::Replace(manifest.on_version(&version)));
            }
        }
    }
    // Bindings that nobody needs any more go; roles only if irsa made them.
    let left = found.into_iter().rev().filter(|(object, value)| {
        let console = is_console(object);
        console && (!is_role(object) || object.name == IMPERSONATION || is_ours(value))
    });
    edits.extend(left.map(|(object, value)| ConsoleChange::Delete {
        object: object.clone(),
        resource_version: version(value),
    }));
    let loses = before
        .principals()
        .any(|principal| !wanted.principals().any(|other| other == principal));
    if loses {
        edits.sort_by_key(|edit| edit.object().name != IMPERSONATION);
    }
    Ok(edits)
}

/// Whether an object belongs to the console's rules.
pub fn is_console(object: &ObjectRef) -> bool {
    match object.kind {
        Kind::ClusterRole => [IMPERSONATION, FULL, RESTRICTED].contains(&object.name.as_str()),
        Kind::ClusterRoleBinding => {
            [IMPERSONATION, FULL_BINDING, RESTRICTED_BINDING].contains(&object.name.as_str())
        }
        Kind::Role => object.name == NAMESPACE_ROLE,
        Kind::RoleBinding => object.name == NAMESPACE_BINDING,
        _ => false,
    }
}

/// Whether irsa made an object, or took it over.
pub fn is_ours(value: &Value) -> bool {
    let (label, owner) = MANAGED_BY;
    at(value, &["metadata", "labels", label]) == owner
}

fn is_role(object: &ObjectRef) -> bool {
    matches!(object.kind, Kind::ClusterRole | Kind::Role) && object.name != IMPERSONATION
}

fn version(value: &Value) -> String {
    let version = at(value, &["metadata", "resourceVersion"]).as_str();
    version.unwrap_or_default().to_owned()
}

fn same(manifest: &Manifest, value: &Value) -> bool {
    let ours = manifest.expose_value();
    let equal =
        |key: &str| ours.get(key).unwrap_or(&Value::Null) == value.get(key).unwrap_or(&Value::Null);
    is_ours(value) && equal("rules") && equal("subjects") && equal("roleRef")
}

fn rules(role: &Value) -> impl Iterator<Item = &Value> {
    at(role, &["rules"]).as_array().into_iter().flatten()
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn impersonated(object: &ObjectRef, role: &Value) -> Result<Vec<ConsoleArn>, ConsoleError> {
    let mut principals = Vec::new();
    for rule in rules(role) {
        let is = |key: &str, only: &str| {
            let mut all = strings(at(rule, &[key]));
            all.next() == Some(only) && all.next().is_none()
        };
        if !is("resources", "users") || !is("verbs", "impersonate") || !is("apiGroups", "") {
            return Err(foreign(
                object,
                "a rule that is not about impersonating users".into(),
            ));
        }
        for name in strings(at(rule, &["resourceNames"])) {
            principals.push(principal(object, name)?);
        }
    }
    Ok(principals)
}

fn subjects(
    object: &ObjectRef,
    binding: &Value,
    role: &str,
) -> Result<Vec<ConsoleArn>, ConsoleError> {
    if at(binding, &["roleRef", "name"]) != role {
        return Err(foreign(
            object,
            format!(
                "the role {}, expected \"{role}\"",
                at(binding, &["roleRef", "name"])
            ),
        ));
    }
    let subjects = at(binding, &["subjects"]).as_array().into_iter().flatten();
    subjects
        .map(|subject| {
            let name = at(subject, &["name"]).as_str().unwrap_or_default();
            if at(subject, &["kind"]) != "User" {
                return Err(foreign(
                    object,
                    format!("the subject {} \"{name}\"", at(subject, &["kind"])),
                ));
            }
            principal(object, name)
        })
        .collect()
}

fn principal(object: &ObjectRef, name: &str) -> Result<ConsoleArn, ConsoleError> {
    ConsoleArn::parse(name).map_err(|_| foreign(object, format!("the user \"{name}\"")))
}

fn foreign(object: &ObjectRef, found: String) -> ConsoleError {
    ConsoleError::Foreign {
        object: object.clone(),
        found,
    }
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
