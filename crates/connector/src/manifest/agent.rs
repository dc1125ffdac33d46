//! The connector itself: AWS's published objects (`amazon-eks-connector`, `manifests/eks-connector.yaml`), hardened.
//!
//! What differs from AWS's file, and why:
//! - the pods' token is a projected one of an hour instead of a Secret that never expires; the proxy reads it anew for
//!   every request (`pkg/serviceaccount`), so a short life costs nothing;
//! - only amd64 nodes, for which alone AWS publishes support, and control-plane nodes are tolerated under both names;
//! - seccomp's default profile, and a read-only root file system where the binary writes only to mounted folders;
//! - small resource requests, so that the scheduler counts the pods.
//!
//! The agents need `DAC_OVERRIDE` and user 0, as published: the namespace therefore asks for the pod security level
//! `baseline`, or a cluster-wide `restricted` would refuse the pods.

use serde_json::{Value, json};

use crate::activation::ActivationCode;
use crate::image::Images;
use crate::manifest::{
    ACTIVATION_SECRET, Kind, Manifest, NAMESPACE, ObjectRef, REPLICAS, SERVICE_ACCOUNT,
    STATEFUL_SET,
};

const SECRET_ACCESS: &str = "eks-connector-secret-access";
const META_ACCESS: &str = "eks-connector-cluster-meta-access";
const AGENT_CONFIG: &str = "eks-connector-agent";
const RBAC: &str = "rbac.authorization.k8s.io";
const VAULT: &str = "/var/lib/amazon/ssm/Vault";

/// What the connector's objects are made from.
#[derive(Debug)]
pub struct AgentSettings<'a> {
    /// The connected cluster.
    pub cluster_arn: &'a str,
    /// Its Region.
    pub region: &'a str,
    /// The activation's ID.
    pub activation_id: &'a str,
    /// The images.
    pub images: &'a Images,
}

/// The connector's objects in the order of applying. Without a code the activation Secret is left out: agents that
/// registered before need it no more.
pub fn manifests(settings: &AgentSettings<'_>, code: Option<&ActivationCode>) -> Vec<Manifest> {
    let mut all = vec![namespace()];
    if let Some(code) = code {
        let encoded = code.expose_base64();
        all.push(Manifest::new(
            object(Kind::Secret, ACTIVATION_SECRET),
            json!({"type": "Opaque", "data": {"code": encoded.as_str()}}),
        ));
    }
    all.push(Manifest::new(
        object(Kind::ServiceAccount, SERVICE_ACCOUNT),
        json!({"automountServiceAccountToken": false}),
    ));
    all.extend(secret_access());
    all.extend(meta_access());
    all.push(agent_config());
    all.push(stateful_set(settings));
    all.into_iter()
        .map(|manifest| manifest.of_cluster(settings.cluster_arn))
        .collect()
}

/// Every object that [`manifests`] makes, and the state Secrets that the agents make: what deregistration deletes, in
/// the order of deleting.
pub fn objects() -> Vec<ObjectRef> {
    let mut all = vec![
        object(Kind::StatefulSet, STATEFUL_SET),
        object(Kind::ConfigMap, AGENT_CONFIG),
        ObjectRef::cluster(Kind::ClusterRoleBinding, META_ACCESS),
        ObjectRef::cluster(Kind::ClusterRole, META_ACCESS),
        object(Kind::RoleBinding, SECRET_ACCESS),
        object(Kind::Role, SECRET_ACCESS),
        object(Kind::Secret, ACTIVATION_SECRET),
        object(Kind::ServiceAccount, SERVICE_ACCOUNT),
    ];
    all.extend(state_secrets().map(|name| object(Kind::Secret, &name)));
    all.push(ObjectRef::cluster(Kind::Namespace, NAMESPACE));
    all
}

/// The Secrets in which the agents keep their registration.
pub fn state_secrets() -> impl Iterator<Item = String> {
    (0..REPLICAS).map(|index| format!("eks-connector-state-{index}"))
}

fn object(kind: Kind, name: &str) -> ObjectRef {
    ObjectRef::namespaced(kind, NAMESPACE, name)
}

fn namespace() -> Manifest {
    Manifest::new(ObjectRef::cluster(Kind::Namespace, NAMESPACE), json!({}))
        .labelled("pod-security.kubernetes.io/enforce", "baseline")
}

fn service_account_subject() -> Value {
    json!([{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}])
}

fn secret_access() -> [Manifest; 2] {
    let names: Vec<_> = state_secrets().collect();
    [
        Manifest::new(
            object(Kind::Role, SECRET_ACCESS),
            json!({"rules": [
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "update"], "resourceNames": names},
                // The name of an object that does not exist yet cannot be named in a rule.
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            ]}),
        ),
        Manifest::new(
            object(Kind::RoleBinding, SECRET_ACCESS),
            json!({
                "subjects": service_account_subject(),
                "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": SECRET_ACCESS},
            }),
        ),
    ]
}

fn meta_access() -> [Manifest; 2] {
    [
        Manifest::new(
            ObjectRef::cluster(Kind::ClusterRole, META_ACCESS),
            json!({"rules": [{"nonResourceURLs": ["/version"], "verbs": ["get"]}]}),
        ),
        Manifest::new(
            ObjectRef::cluster(Kind::ClusterRoleBinding, META_ACCESS),
            json!({
                "subjects": service_account_subject(),
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": META_ACCESS},
            }),
        ),
    ]
}

fn agent_config() -> Manifest {
    Manifest::new(
        object(Kind::ConfigMap, AGENT_CONFIG),
        json!({"data": {
            "amazon-ssm-agent.json": include_str!("amazon-ssm-agent.json"),
            "seelog.xml": include_str!("seelog.xml"),
        }}),
    )
}

fn stateful_set(settings: &AgentSettings<'_>) -> Manifest {
    let labels = json!({"app": "eks-connector"});
    let spec = json!({
        "replicas": REPLICAS,
        "selector": {"matchLabels": labels},
        "serviceName": STATEFUL_SET,
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "affinity": affinity(),
                "automountServiceAccountToken": false,
                "containers": [agent(settings), proxy(settings)],
                "initContainers": [init(settings)],
                "nodeSelector": {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"},
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "serviceAccountName": SERVICE_ACCOUNT,
                "tolerations": [
                    {"effect": "NoSchedule", "key": "node-role.kubernetes.io/control-plane", "operator": "Exists"},
                    {"effect": "NoSchedule", "key": "node-role.kubernetes.io/master", "operator": "Exists"},
                    {"key": "CriticalAddonsOnly", "operator": "Exists"},
                ],
                "volumes": volumes(),
            },
        },
    });
    Manifest::new(
        object(Kind::StatefulSet, STATEFUL_SET),
        json!({"spec": spec}),
    )
    .labelled("app", "eks-connector")
}

fn affinity() -> Value {
    json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100,
        "podAffinityTerm": {
            "labelSelector": {"matchLabels": {"app": "eks-connector"}},
            "topologyKey": "kubernetes.io/hostname",
        },
    }]}})
}

fn init(settings: &AgentSettings<'_>) -> Value {
    json!({
        "name": "connector-init",
        "image": settings.images.connector,
        "imagePullPolicy": "IfNotPresent",
        // The published binary demands both flags; the code stands in the pod's process only, never in the object.
        "args": [
            "init",
            "--activation.id=$(EKS_ACTIVATION_ID)",
            "--activation.code=$(EKS_ACTIVATION_CODE)",
            format!("--agent.region={}", settings.region),
        ],
        "env": [
            pod_name(),
            {"name": "EKS_ACTIVATION_CODE", "valueFrom": {"secretKeyRef": {"name": ACTIVATION_SECRET, "key": "code"}}},
            {"name": "EKS_ACTIVATION_ID", "value": settings.activation_id},
        ],
        "resources": requests("10m", "32Mi"),
        "securityContext": security(true),
        "volumeMounts": [token_mount(), {"name": "eks-agent-vault", "mountPath": VAULT}],
    })
}

fn agent(settings: &AgentSettings<'_>) -> Value {
    json!({
        "name": "connector-agent",
        "image": settings.images.agent,
        "imagePullPolicy": "IfNotPresent",
        // Credentials are those of the activation, never of the node.
        "env": [{"name": "AWS_EC2_METADATA_DISABLED", "value": "true"}],
        "resources": requests("50m", "64Mi"),
        // It writes logs and state below /var/log and /var/lib.
        "securityContext": security(false),
        "volumeMounts": [
            {"name": "eks-connector-shared", "mountPath": "/var/eks/shared"},
            {"name": "eks-agent-vault", "mountPath": VAULT},
            {"name": "eks-agent-config", "mountPath": "/etc/amazon/ssm/amazon-ssm-agent.json", "subPath": "amazon-ssm-agent.json"},
            {"name": "eks-agent-config", "mountPath": "/etc/amazon/ssm/seelog.xml", "subPath": "seelog.xml"},
        ],
    })
}

fn proxy(settings: &AgentSettings<'_>) -> Value {
    json!({
        "name": "connector-proxy",
        "image": settings.images.connector,
        "imagePullPolicy": "IfNotPresent",
        "args": ["server"],
        "env": [pod_name()],
        "resources": requests("10m", "32Mi"),
        "securityContext": security(true),
        "volumeMounts": [
            token_mount(),
            {"name": "eks-connector-shared", "mountPath": "/var/eks/shared"},
            {"name": "eks-agent-vault", "mountPath": VAULT},
        ],
    })
}

fn volumes() -> Value {
    json!([
        {"name": "eks-connector-shared", "emptyDir": {}},
        {"name": "eks-agent-vault", "emptyDir": {}},
        {"name": "eks-agent-config", "configMap": {"name": AGENT_CONFIG}},
        {"name": "service-account-token", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}},
    ])
}

fn pod_name() -> Value {
    json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}})
}

fn token_mount() -> Value {
    json!({
        "name": "service-account-token",
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        "readOnly": true,
    })
}

fn requests(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": cpu, "memory": memory}})
}

fn security(read_only: bool) -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"add": ["DAC_OVERRIDE"], "drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only,
    })
}
