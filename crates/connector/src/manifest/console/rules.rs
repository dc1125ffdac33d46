//! The rules themselves.

use serde_json::{Value, json};

use super::IMPERSONATION;
use crate::grant::Grants;
use crate::manifest::{Kind, Manifest, NAMESPACE, ObjectRef, SERVICE_ACCOUNT};
use crate::principal::ConsoleArn;

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn impersonation(grants: &Grants) -> [Manifest; 2] {
    let names: Vec<_> = grants.principals().map(ConsoleArn::as_str).collect();
    [
        Manifest::new(
            ObjectRef::cluster(Kind::ClusterRole, IMPERSONATION),
            json!({"rules": [{
                "apiGroups": [""],
                "resourceNames": names,
                "resources": ["users"],
                "verbs": ["impersonate"],
            }]}),
        ),
        Manifest::new(
            ObjectRef::cluster(Kind::ClusterRoleBinding, IMPERSONATION),
            json!({
                "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}],
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": IMPERSONATION},
            }),
        ),
    ]
}

pub(super) fn binding(
    object: ObjectRef,
    role: (Kind, &str),
    principals: &[&ConsoleArn],
) -> Manifest {
    let subjects: Vec<_> = principals
        .iter()
        .map(|principal| json!({"apiGroup": RBAC, "kind": "User", "name": principal.as_str()}))
        .collect();
    let (kind, name) = role;
    let body = json!({
        "subjects": subjects,
        "roleRef": {"apiGroup": RBAC, "kind": kind.as_str(), "name": name},
    });
    Manifest::new(object, body)
}

pub(super) fn full_rules() -> Value {
    let cluster = ["nodes", "namespaces", "pods", "events"];
    json!([
        rule("", &cluster),
        rule("apps", &WORKLOADS),
        rule("batch", &["jobs"]),
    ])
}

pub(super) fn restricted_rules() -> Value {
    json!([rule("", &["nodes", "namespaces"])])
}

pub(super) fn namespace_rules() -> Value {
    json!([
        rule("", &["pods"]),
        rule("apps", &WORKLOADS),
        rule("batch", &["jobs"]),
    ])
}

const WORKLOADS: [&str; 4] = ["deployments", "daemonsets", "statefulsets", "replicasets"];

fn rule(group: &str, resources: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": ["get", "list"]})
}
