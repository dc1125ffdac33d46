//! The caBundle of a `MutatingWebhookConfiguration`, edited as JSON so that no field of a newer API is lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

/// Our Service, as a webhook configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// The entries of a configuration that call us: those of our Service, and those with a URL.
fn ours<'v>(
    configuration: &'v mut Value,
    service: &Service,
) -> impl Iterator<Item = &'v mut Value> {
    let entries = configuration
        .get_mut("webhooks")
        .and_then(Value::as_array_mut);
    let service = service.clone();
    entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get_mut("clientConfig"))
        .filter(move |client| {
            let text = |pointer| client.pointer(pointer).and_then(Value::as_str);
            text("/url").is_some()
                || (text("/service/name") == Some(&service.name)
                    && text("/service/namespace") == Some(&service.namespace))
        })
}

/// Puts the bundle into every entry of ours. Says whether that changed anything, and none when no entry is ours.
pub(super) fn put(configuration: &mut Value, service: &Service, bundle: &str) -> Option<bool> {
    let encoded = Value::String(STANDARD.encode(bundle));
    let mut changed = None;
    for client in ours(configuration, service) {
        let differs = client.get("caBundle") != Some(&encoded);
        changed = Some(changed.unwrap_or(false) || differs);
        if let Some(client) = client.as_object_mut().filter(|_| differs) {
            client.insert("caBundle".into(), encoded.clone());
        }
    }
    changed
}

/// Whether every entry of ours trusts this certificate.
pub(super) fn trusts(configuration: &mut Value, service: &Service, certificate: &str) -> bool {
    let Ok(wanted) = CertificateDer::from_pem_slice(certificate.as_bytes()) else {
        return false;
    };
    ours(configuration, service).all(|client| certificates(client).contains(&wanted))
}

/// The certificates that some entry of ours trusts now, in PEM.
pub(super) fn trusted(configuration: &mut Value, service: &Service) -> Vec<String> {
    let mut all = Vec::new();
    for client in ours(configuration, service) {
        for der in certificates(client) {
            let block = pem::Pem::new("CERTIFICATE", der.to_vec());
            let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
            let pem = pem::encode_config(&block, config);
            if !all.contains(&pem) {
                all.push(pem);
            }
        }
    }
    all
}

/// The annotation by which somebody else writes the caBundle, if there is one: two who write it undo each other.
pub(crate) fn injector(metadata: &ObjectMeta) -> Option<&str> {
    let annotations = metadata.annotations.as_ref()?;
    let known = |key: &&String| INJECTORS.contains(&key.as_str());
    annotations.keys().find(known).map(String::as_str)
}

/// cert-manager's, its older ones, and the service CA of `OpenShift`.
const INJECTORS: [&str; 5] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
    "certmanager.k8s.io/inject-ca-from",
    "service.beta.openshift.io/inject-cabundle",
];

fn certificates(client: &Value) -> Vec<CertificateDer<'static>> {
    let text = client.get("caBundle").and_then(Value::as_str);
    let bundle = text.and_then(|text| STANDARD.decode(text).ok());
    let bundle = bundle.unwrap_or_default();
    CertificateDer::pem_slice_iter(&bundle)
        .filter_map(Result::ok)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::make;
    use super::super::plan::Policy;
    use super::*;

    #[test]
    fn only_our_entries_change_and_nothing_is_lost() {
        let ca = make::authority(&Policy::default(), 1_800_000_000).unwrap();
        let service = Service {
            namespace: "ns".into(),
            name: "hook".into(),
        };
        let mut configuration = json!({"metadata": {"name": "x"}, "newField": [1], "webhooks": [
            {"name": "a", "clientConfig": {"service": {"name": "hook", "namespace": "ns", "path": "/mutate"}}, "odd": 1},
            {"name": "b", "clientConfig": {"service": {"name": "hook", "namespace": "other"}}},
            {"name": "c", "clientConfig": {"url": "https://127.0.0.1:1/mutate", "caBundle": "AAAA"}},
        ]});
        let before = configuration.clone();
        assert!(!trusts(&mut configuration, &service, &ca.certificate));
        assert_eq!(
            put(&mut configuration, &service, &ca.certificate),
            Some(true)
        );
        assert!(trusts(&mut configuration, &service, &ca.certificate));
        assert_eq!(
            put(&mut configuration, &service, &ca.certificate),
            Some(false)
        );
        assert_eq!(configuration["webhooks"][1], before["webhooks"][1]);
        let held = trusted(&mut configuration, &service);
        assert_eq!(held.len(), 1);
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(der(&held[0]), der(&ca.certificate));
        let mut restored = configuration.clone();
        restored["webhooks"][0]["clientConfig"]
            .as_object_mut()
            .unwrap()
            .remove("caBundle");
        restored["webhooks"][2]["clientConfig"]["caBundle"] = json!("AAAA");
        assert_eq!(restored, before);
        assert_eq!(put(&mut json!({}), &service, ""), None);
    }

    #[test]
    fn whoever_else_writes_the_bundle_is_seen() {
        let metadata = |key: &str| ObjectMeta {
            annotations: Some([("a".into(), "b".into()), (key.into(), "ns/x".into())].into()),
            ..ObjectMeta::default()
        };
        assert_eq!(injector(&ObjectMeta::default()), None);
        assert_eq!(injector(&metadata("example.com/other")), None);
        for key in INJECTORS {
            assert_eq!(injector(&metadata(key)), Some(key));
        }
    }
}
