//! What a person wants to know about the webhook's certificates, from the Secret and the registration.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::bundle::{self, Service};
use super::record::Record;

/// How the certificates stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateState {
    /// When the CA that signs expires, in Unix seconds; none with a certificate from elsewhere.
    pub ca_expires: Option<i64>,
    /// Whether another CA is on its way in.
    pub changing: bool,
    /// How many CAs the API server trusts for the webhook.
    pub trusted: usize,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// Compares the Secret with the registration. The error says why there is nothing to compare.
pub fn examine(
    secret: Option<Secret>,
    configuration: Option<Value>,
    namespace: &str,
    name: &str,
    now: i64,
) -> Result<CertificateState, String> {
    let Some(mut configuration) = configuration else {
        return Err(format!(
            "MutatingWebhookConfiguration {name} does not exist: the API server asks nobody"
        ));
    };
    let service = Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let trusted = bundle::trusted(&mut configuration, &service).len();
    let mut state = CertificateState {
        ca_expires: None,
        changing: false,
        trusted,
        problems: Vec::new(),
    };
    let Some(secret) = secret else {
        // A certificate from files, whose CA somebody else puts into the registration.
        if trusted == 0 {
            state.problems.push(format!(
                "there is neither a Secret {namespace}/{name} with a CA nor a caBundle: no replica ever ran"
            ));
        }
        return Ok(state);
    };
    let entries: BTreeMap<_, _> = secret
        .data
        .unwrap_or_default()
        .into_iter()
        .map(|(key, ByteString(bytes))| (key, bytes))
        .collect();
    let record = Record::parse(&entries)
        .map_err(|error| format!("Secret {namespace}/{name} does not hold a CA: {error}"))?;
    if !bundle::trusts(&mut configuration, &service, &record.current.certificate) {
        state.problems.push(
            "the API server does not trust the CA of the Secret: no replica wrote the caBundle"
                .to_owned(),
        );
    }
    if record.current.expires <= now {
        state.problems.push("the CA has expired".to_owned());
    }
    let metadata = configuration.get_mut("metadata").map(Value::take);
    let metadata = metadata.and_then(|it| serde_json::from_value::<ObjectMeta>(it).ok());
    if let Some(annotation) = metadata.as_ref().and_then(bundle::injector) {
        state.problems.push(format!(
            "the registration has the annotation {annotation}: whoever reads it takes our CA out of the caBundle again"
        ));
    }
    state.ca_expires = Some(record.current.expires);
    state.changing = record.next.is_some() || !record.previous.is_empty();
    Ok(state)
}
