//! Manifests that users have at hand: pods, what makes pods, service accounts, the webhook's ConfigMap.

use std::collections::BTreeMap;

use irsa_webhook::association::Associations;
use irsa_webhook::identity::Identity;
use irsa_webhook::mapping::Mappings;
use irsa_webhook::unquoted;
use serde_json::Value;

use crate::report::Failure;

/// What a file holds for review.
pub(super) enum Subject<'a> {
    /// An AdmissionReview, as it is.
    Review(&'a [u8]),
    /// Pods, some of them from templates.
    Pods(Vec<PodManifest>),
}

/// A pod, or the pod that a workload would make.
pub(super) struct PodManifest {
    /// What to call it: kind and name.
    pub(super) name: String,
    /// Its namespace.
    pub(super) namespace: String,
    /// The pod.
    pub(super) json: Value,
}

/// Service accounts of a file, or of the cluster.
#[derive(Default)]
pub(super) struct Accounts {
    identities: BTreeMap<(String, String), Identity>,
    /// The webhook's ConfigMap, if the file has it.
    pub(super) mappings: Mappings,
    /// The container credentials file, if one is given.
    pub(super) associations: Associations,
}

/// Reads what is to be reviewed.
pub(super) fn subjects<'a>(
    place: &str,
    text: &'a str,
    namespace: &str,
) -> Result<Subject<'a>, Failure> {
    let documents = documents(place, text)?;
    if let [only] = documents.as_slice()
        && (text_at(only, "/kind") == "AdmissionReview"
            || only.get("request").is_some_and(Value::is_object))
    {
        return Ok(Subject::Review(text.as_bytes()));
    }
    let mut pods = Vec::new();
    for document in documents {
        let (kind, name) = (
            text_at(&document, "/kind"),
            text_at(&document, "/metadata/name"),
        );
        let Some(template) = template_of(kind) else {
            continue;
        };
        let Some(json) = document.pointer(template) else {
            return Err(Failure::usage(
                format!("\"{place}\": {kind} \"{name}\" has no {template}"),
                "complete the manifest",
            ));
        };
        let own = text_at(&document, "/metadata/namespace");
        pods.push(PodManifest {
            name: format!("{kind} {name}"),
            namespace: if own.is_empty() { namespace } else { own }.to_owned(),
            json: with_default_account(json.clone()),
        });
    }
    if pods.is_empty() {
        return Err(Failure::usage(
            format!("\"{place}\" holds neither an AdmissionReview nor a pod or workload"),
            "give a manifest of a Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job or CronJob",
        ));
    }
    Ok(Subject::Pods(pods))
}

/// Where a kind keeps the pods that it makes.
fn template_of(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some(""),
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "Job"
        | "ReplicationController" => Some("/spec/template"),
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// The API server fills the name in before it asks a webhook, also from the older `serviceAccount`.
fn with_default_account(mut pod: Value) -> Value {
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        let older = spec.get("serviceAccount").cloned();
        let name = spec.entry("serviceAccountName").or_insert(Value::Null);
        if name.is_null() || name == "" {
            *name = older
                .filter(|it| it.as_str().is_some_and(|it| !it.is_empty()))
                .unwrap_or_else(|| "default".into());
        }
    }
    pod
}

impl Accounts {
    /// Reads the service accounts of a file, and the webhook's ConfigMap if it is there.
    pub(super) fn parse(place: &str, text: &str, prefix: &str) -> Result<Self, Failure> {
        let mut accounts = Self::default();
        for document in documents(place, text)? {
            match (
                text_at(&document, "/kind"),
                text_at(&document, "/metadata/name"),
            ) {
                ("ServiceAccount", _) => accounts.add(place, &document, prefix)?,
                ("ConfigMap", "pod-identity-webhook") => {
                    let config = text_at(&document, "/data/config");
                    accounts.mappings = Mappings::parse(config).map_err(|error| {
                        Failure::usage(
                            format!("\"{place}\": ConfigMap \"pod-identity-webhook\": {error}"),
                            "correct the ConfigMap; the webhook would keep the entries it had before",
                        )
                    })?;
                }
                _ => {}
            }
        }
        Ok(accounts)
    }

    fn add(&mut self, place: &str, document: &Value, prefix: &str) -> Result<(), Failure> {
        let name = text_at(document, "/metadata/name");
        let namespace = match text_at(document, "/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let mut pairs = Vec::new();
        let annotations = document.pointer("/metadata/annotations");
        for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
            let Some(value) = value.as_str() else {
                return Err(Failure::usage(
                    format!(
                        "\"{place}\": annotation {key} of ServiceAccount \"{name}\" is not a string"
                    ),
                    "put its value in quotation marks: Kubernetes refuses it otherwise",
                ));
            };
            pairs.push((key.as_str(), value));
        }
        self.insert(namespace, name, Identity::from_annotations(prefix, pairs));
        Ok(())
    }

    /// Adds a service account.
    pub(super) fn insert(&mut self, namespace: &str, name: &str, identity: Identity) {
        self.identities
            .insert((namespace.to_owned(), name.to_owned()), identity);
    }

    /// The service account, if the file has it.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Option<&Identity> {
        self.identities
            .get(&(namespace.to_owned(), name.to_owned()))
    }
}

/// A manifest whose pod no API server would take; `json` is what was read.
pub(super) fn not_a_pod(place: &str, name: &str, json: &str, error: &serde_json::Error) -> Failure {
    let at = pointer_at(json, error.column());
    Failure::usage(
        format!(
            "\"{place}\": {name} is not a pod: {at}: {}",
            unquoted::expected(error)
        ),
        "kubectl apply --dry-run=server -f FILE says what the API server makes of it",
    )
}

/// The place of a byte in JSON on one line, as a JSON Pointer (RFC 6901), as far as it is made of names of fields.
fn pointer_at(json: &str, column: usize) -> String {
    enum Step<'a> {
        Field(Option<&'a str>),
        Item(usize),
    }
    let mut open = Vec::new();
    let mut at = 0;
    let byte = |at: usize| json.as_bytes().get(at).copied();
    while let Some(one) = byte(at).filter(|_| at < column) {
        match (one, open.last_mut()) {
            (b'{', _) => open.push(Step::Field(None)),
            (b'[', _) => open.push(Step::Item(0)),
            (b'}' | b']', _) => drop(open.pop()),
            (b',', Some(Step::Item(number))) => *number += 1,
            (b',', Some(Step::Field(name))) => *name = None,
            (b'"', last) => {
                let start = at + 1;
                at = start;
                while byte(at).is_some_and(|one| one != b'"') {
                    at += if byte(at) == Some(b'\\') { 2 } else { 1 };
                }
                if let Some(Step::Field(name @ None)) = last {
                    *name = json.get(start..at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    let is_field = |name: &str| name.bytes().all(|one| one.is_ascii_alphabetic());
    let steps = open.iter().map_while(|step| match step {
        Step::Item(number) => Some(format!("/{number}")),
        Step::Field(name) => name
            .filter(|name| is_field(name))
            .map(|name| format!("/{name}")),
    });
    let pointer: String = steps.collect();
    if pointer.is_empty() {
        "/".to_owned()
    } else {
        pointer
    }
}

/// Every document of a JSON or YAML file, the items of lists among them.
fn documents(place: &str, text: &str) -> Result<Vec<Value>, Failure> {
    let refused = |error: String| {
        Failure::usage(
            format!("\"{place}\" is neither JSON nor YAML: {error}"),
            "correct the file",
        )
    };
    let read: Vec<Value> = if text.trim_start().starts_with('{') {
        vec![serde_json::from_str(text).map_err(|error| refused(error.to_string()))?]
    } else {
        // Aliases of aliases stand for more than fits into memory.
        let options = serde_saphyr::options! {
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
        };
        serde_saphyr::from_multiple_with_options(text, options)
            .map_err(|error| refused(error.without_snippet().to_string()))?
    };
    let mut documents = Vec::new();
    for mut document in read {
        match document.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => documents.extend(items),
            _ if document.is_null() => {}
            _ => documents.push(document),
        }
    }
    Ok(documents)
}

fn text_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// Nine to the power of twelve pods in a few lines.
    #[test]
    fn aliases_of_aliases_are_refused_before_they_are_followed() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for at in 1..12 {
            let inner = vec![format!("*a{}", at - 1); 9].join(",");
            writeln!(text, "a{at}: &a{at} [{inner}]").unwrap();
        }
        let error = documents("pods.yaml", &text).unwrap_err();
        assert!(error.message().contains("alias"), "{}", error.message());
    }
}
