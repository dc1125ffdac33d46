//! Pods with secrets in every place, and a net for those that come out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use irsa_testkit::canary;
use serde_json::{Value, json};

/// What stands in pods, annotations, tokens and answers wherever it must not come out.
pub(super) const SECRET: &str = "s3cr3t-0f-a-p0d";
/// A secret that JSON writes without quotation marks.
pub(super) const NUMBER: u64 = 7_331_337_313_371;
pub(super) const ROLE: &str = "arn:aws:iam::111122223333:role/reader";

/// The spelling in which a secret, or a private key, stands in a text, if it does.
pub(super) fn found_in(text: &str) -> Option<&'static str> {
    // Three bytes become four characters, so the spelling depends on what stands before.
    let in_base64 = (0..3).any(|shift| {
        let shifted = STANDARD.encode(format!("{}{SECRET}", " ".repeat(shift)));
        text.contains(&shifted[4..20])
    });
    let bytes = format!("{:?}", SECRET.as_bytes());
    [
        ("as it is", text.contains(SECRET)),
        ("as a number", text.contains(&NUMBER.to_string())),
        ("in base64", in_base64),
        (
            "as a list of bytes",
            text.contains(bytes.trim_matches(['[', ']'])),
        ),
    ]
    .into_iter()
    .find_map(|(name, found)| found.then_some(name))
    .or_else(|| canary::found_in(text))
}

pub(super) fn shows_none(what: &str, text: &str) {
    assert_eq!(found_in(text), None, "{what}:\n{text}");
}

/// A review with secrets wherever a pod may have one.
pub(super) fn review(account: &str) -> Value {
    let container = |name: &str| {
        json!({"name": name, "image": SECRET, "command": [SECRET], "args": ["--password", SECRET],
            "env": [{"name": "PASSWORD", "value": SECRET}, {"name": "PIN", "value": NUMBER.to_string()},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": SECRET}}}],
            "volumeMounts": [{"name": "own", "mountPath": "/own", "subPath": SECRET}],
            "lifecycle": {"postStart": {"exec": {"command": [SECRET]}}}})
    };
    let sources = json!([{"serviceAccountToken": {"audience": SECRET, "path": SECRET, "expirationSeconds": 600}},
        {"configMap": {"name": SECRET}}]);
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u1", "namespace": "ns", "operation": "CREATE", "dryRun": false,
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "u", "extra": {"token": [SECRET]}},
        "object": {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "app", "labels": {"one": SECRET}, "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": SECRET, "eks.amazonaws.com/token-expiration": SECRET,
                "eks.amazonaws.com/skip-containers": format!("\"{SECRET}")},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": true}]},
            "spec": {"serviceAccountName": account, "nodeSelector": {"one": SECRET},
                "volumes": [{"name": "own", "secret": {"secretName": SECRET}}, {"name": "two", "projected": {"sources": sources}}],
                "containers": [container("main")], "initContainers": [container("init")]}}}})
}

/// Names may be shown: what Kubernetes itself prints about a pod, and what the answer must repeat.
pub(super) const NAMES: [&str; 10] = [
    "/apiVersion",
    "/kind",
    "/uid",
    "/namespace",
    "/name",
    "/serviceAccountName",
    "/mountPath",
    "/operation",
    "/resource",
    "/eks.amazonaws.com~1skip-containers",
];

/// The same with a secret of another type in each place, one place at a time.
pub(super) fn broken(whole: &Value, below: &str) -> Vec<Value> {
    let mut places = Vec::new();
    collect(whole.pointer(below).unwrap(), below.to_owned(), &mut places);
    let secrets = [
        json!(SECRET),
        json!(NUMBER),
        json!([SECRET]),
        json!({SECRET: NUMBER}),
    ];
    let mut bodies = Vec::new();
    for place in places {
        for secret in &secrets {
            if secret.is_string() && NAMES.iter().any(|name| place.ends_with(name)) {
                continue;
            }
            let mut body = whole.clone();
            *body.pointer_mut(&place).unwrap() = secret.clone();
            bodies.push(body);
        }
    }
    bodies
}

pub(super) fn collect(value: &Value, at: String, places: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.replace('/', "~1"), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (name, value) in children {
        collect(value, format!("{at}/{name}"), places);
    }
    places.push(at);
}
