//! Kubernetes objects as data: rendered here, written or applied by others.

pub mod agent;
pub mod console;

use std::fmt;

use serde_json::{Value, json};
use zeroize::Zeroize as _;

use crate::json::set;

/// The namespace of the connector. The proxy's image and the console's rules name it, so it cannot be chosen.
pub const NAMESPACE: &str = "eks-connector";
/// The service account that impersonates console users.
pub const SERVICE_ACCOUNT: &str = "eks-connector";
/// The workload of the connector.
pub const STATEFUL_SET: &str = "eks-connector";
/// The Secret that holds the activation code.
pub const ACTIVATION_SECRET: &str = "eks-connector-activation-config";
/// The annotation that says to which connected cluster an object belongs.
pub const CLUSTER_ANNOTATION: &str = "irsa/connected-cluster";
/// The label and value of objects that irsa made.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "irsa");
/// How irsa is named as the owner of fields (server-side apply).
pub const FIELD_MANAGER: &str = "irsa";
/// Replicas of the connector; the state Secrets are named after them.
pub const REPLICAS: u32 = 2;

/// The kinds of object that a connector is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `v1`.
    Namespace,
    /// `v1`.
    ServiceAccount,
    /// `v1`.
    Secret,
    /// `v1`.
    ConfigMap,
    /// `rbac.authorization.k8s.io/v1`.
    Role,
    /// `rbac.authorization.k8s.io/v1`.
    RoleBinding,
    /// `rbac.authorization.k8s.io/v1`.
    ClusterRole,
    /// `rbac.authorization.k8s.io/v1`.
    ClusterRoleBinding,
    /// `apps/v1`.
    StatefulSet,
}

/// An object's kind and name: what is needed to read or delete it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, unless it has none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// An object to be applied or written. A Secret's content is wiped on drop and never printed.
pub struct Manifest {
    object: ObjectRef,
    value: Value,
}

impl Kind {
    /// `apiVersion`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Namespace | Self::ServiceAccount | Self::Secret | Self::ConfigMap => "v1",
            Self::Role | Self::RoleBinding | Self::ClusterRole | Self::ClusterRoleBinding => {
                "rbac.authorization.k8s.io/v1"
            }
            Self::StatefulSet => "apps/v1",
        }
    }

    /// `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Role => "Role",
            Self::RoleBinding => "RoleBinding",
            Self::ClusterRole => "ClusterRole",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::StatefulSet => "StatefulSet",
        }
    }

    /// The resource's name in a path.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::ServiceAccount => "serviceaccounts",
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
            Self::Role => "roles",
            Self::RoleBinding => "rolebindings",
            Self::ClusterRole => "clusterroles",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::StatefulSet => "statefulsets",
        }
    }
}

impl ObjectRef {
    /// An object of the whole cluster.
    pub fn cluster(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: None,
            name: name.into(),
        }
    }

    /// An object of a namespace.
    pub fn namespaced(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, " {}", self.name),
        }
    }
}

impl Manifest {
    /// An object with the marks of irsa; `body` is everything but its type and metadata.
    fn new(object: ObjectRef, body: Value) -> Self {
        let (label, owner) = MANAGED_BY;
        let mut value = json!({
            "apiVersion": object.kind.api_version(),
            "kind": object.kind.as_str(),
            "metadata": {
                "name": object.name,
                "labels": {label: owner, "app.kubernetes.io/name": "eks-connector"},
            },
        });
        if let Some(namespace) = &object.namespace {
            set(&mut value, &["metadata", "namespace"], json!(namespace));
        }
        if let (Value::Object(target), Value::Object(body)) = (&mut value, body) {
            target.extend(body);
        }
        Self { object, value }
    }

    fn labelled(mut self, key: &str, text: &str) -> Self {
        set(&mut self.value, &["metadata", "labels", key], json!(text));
        self
    }

    fn of_cluster(mut self, cluster_arn: &str) -> Self {
        let path = ["metadata", "annotations", CLUSTER_ANNOTATION];
        set(&mut self.value, &path, json!(cluster_arn));
        self
    }

    /// The same object, to be written only on this version of it.
    #[must_use]
    pub fn on_version(mut self, resource_version: &str) -> Self {
        let path = ["metadata", "resourceVersion"];
        set(&mut self.value, &path, json!(resource_version));
        self
    }

    /// Which object it is.
    pub fn object(&self) -> &ObjectRef {
        &self.object
    }

    /// The object with a Secret's content: only for applying and writing.
    pub fn expose_value(&self) -> &Value {
        &self.value
    }

    /// The object to be shown.
    pub fn shown(&self) -> Value {
        let mut shown = self.value.clone();
        if self.object.kind == Kind::Secret {
            // The copy of the content is wiped like the original.
            if let Some(content) = shown.get_mut("data") {
                wipe(content);
                *content = json!({"code": "(the activation code, base64)"});
            }
        }
        shown
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        if self.object.kind == Kind::Secret {
            wipe(&mut self.value);
        }
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({})", self.object)
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(all) => all.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
