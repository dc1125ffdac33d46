//! What runs the webhook in a cluster, as the text that people read and as the objects that are applied.

mod network;

use serde_json::{Value, json};

pub use self::network::{policy, render_policy};

/// What differs between clusters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestOptions {
    /// Where it runs.
    pub namespace: String,
    /// The image of irsa.
    pub image: String,
    /// How many replicas.
    pub replicas: u32,
    /// Flags of `irsa webhook serve` besides those that the manifest needs itself.
    pub flags: Vec<String>,
}

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a name that Kubernetes takes.
    #[error("namespace \"{0}\" is not of lower-case letters, digits and hyphens")]
    Namespace(String),
    /// Not an image.
    #[error("image \"{0}\" is empty or has blanks in it")]
    Image(String),
    /// Nobody who answers.
    #[error("0 replicas are asked for, expected at least 1")]
    Replicas,
    /// A flag that would break the manifest's own.
    #[error("flag \"{0}\" is set by the manifest itself")]
    Flag(String),
    /// A flag whose file no volume brings.
    #[error("flag \"{0}\" names a file, and the Deployment mounts none")]
    File(String),
    /// Not an address or a range of them.
    #[error("\"{0}\" is no CIDR and no IP address")]
    Address(String),
    /// The template is not YAML.
    #[error("the manifest is not YAML, which is a bug of irsa")]
    Yaml(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl irsa_core::explain::Explain for ManifestError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Namespace(_) => "kubectl get namespaces lists those that exist".into(),
            Self::Image(_) => "write it like registry.example.com/irsa:1.0".into(),
            Self::Replicas => "give --replicas 2; irsa webhook uninstall takes the webhook away".into(),
            Self::Flag(_) => "leave it out; only flags about what pods get are yours here".into(),
            Self::File(_) => {
                "leave it out, and add it with a volume of yours to what irsa webhook manifest prints".into()
            }
            Self::Address(_) => "write it like 10.0.0.0/28 or 10.0.0.11; kubectl get endpointslices -n default -l kubernetes.io/service-name=kubernetes lists \
                                 the API servers"
                .into(),
            Self::Yaml(_) => "report it with the command line".into(),
        })
    }
}

/// The manifest as YAML, with the reasons as comments.
pub fn render(options: &ManifestOptions) -> Result<String, ManifestError> {
    check(options)?;
    let own = [
        "webhook".to_owned(),
        "serve".to_owned(),
        "--port=8443".to_owned(),
        "--metrics-port=9999".to_owned(),
        format!("--namespace={}", options.namespace),
        // Endpoints take a moment to forget a replica that was told to stop.
        "--shutdown-delay=5s".to_owned(),
    ];
    let args: Vec<_> = own.iter().chain(&options.flags).collect();
    // JSON is YAML: whatever stands in a name cannot break out of its place.
    Ok(TEMPLATE
        .replace("{{labels}}", &labels().to_string())
        .replace("{{namespace}}", &json!(options.namespace).to_string())
        .replace("{{image}}", &json!(options.image).to_string())
        .replace("{{replicas}}", &options.replicas.to_string())
        .replace("{{args}}", &json!(args).to_string()))
}

/// Whether a flag of `irsa webhook serve`, without its value, may be among [`ManifestOptions::flags`].
pub fn takes(flag: &str) -> bool {
    !OWN_FLAGS.contains(&flag) && !FILE_FLAGS.contains(&flag)
}

/// The objects of the manifest, in the order of application.
pub fn objects(options: &ManifestOptions) -> Result<Vec<Value>, ManifestError> {
    serde_saphyr::from_multiple(&render(options)?)
        .map_err(|error| ManifestError::Yaml(error.to_string().into()))
}

/// Of every object.
fn labels() -> Value {
    json!({
        "app": NAME,
        "app.kubernetes.io/name": NAME,
        "app.kubernetes.io/managed-by": MANAGED_BY,
    })
}

fn check(options: &ManifestOptions) -> Result<(), ManifestError> {
    let ManifestOptions {
        namespace,
        image,
        replicas,
        flags,
    } = options;
    if *replicas == 0 {
        return Err(ManifestError::Replicas);
    }
    let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let bad = namespace.is_empty()
        || namespace.len() > 63
        || !namespace.bytes().all(label)
        || namespace.starts_with('-')
        || namespace.ends_with('-');
    if bad {
        return Err(ManifestError::Namespace(namespace.clone()));
    }
    if image.is_empty() || image.chars().any(char::is_whitespace) {
        return Err(ManifestError::Image(image.clone()));
    }
    for flag in flags {
        let name = flag.split('=').next().unwrap_or_default();
        if OWN_FLAGS.contains(&name) {
            return Err(ManifestError::Flag(flag.clone()));
        }
        if FILE_FLAGS.contains(&name) {
            return Err(ManifestError::File(flag.clone()));
        }
    }
    Ok(())
}

/// The name of every object.
pub const NAME: &str = "pod-identity-webhook";
/// The value of `app.kubernetes.io/managed-by` on every object.
pub const MANAGED_BY: &str = "irsa";
const TEMPLATE: &str = include_str!("manifest.yaml");
/// The ports, names and certificate that the rest of the manifest relies on.
const OWN_FLAGS: [&str; 10] = [
    "--port",
    "--metrics-port",
    "--listen",
    "--metrics-listen",
    "--namespace",
    "--service-name",
    "--tls-secret",
    "--webhook-configuration",
    "--in-cluster",
    "--shutdown-delay",
];

const FILE_FLAGS: [&str; 6] = [
    "--client-ca",
    "--config",
    "--kubeconfig",
    "--tls-cert",
    "--tls-key",
    "--watch-container-credentials-config",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ManifestOptions {
        ManifestOptions {
            namespace: "kube-system".into(),
            image: "registry.example.com/irsa:1".into(),
            replicas: 2,
            flags: vec!["--aws-default-region=eu-central-1".into()],
        }
    }

    #[test]
    fn every_placeholder_is_filled_and_every_object_has_a_name() {
        let text = render(&options()).unwrap();
        assert!(!text.contains("{{"), "{text}");
        let objects = objects(&options()).unwrap();
        assert_eq!(objects.len(), 9);
        for object in &objects {
            assert_eq!(object["metadata"]["name"], NAME);
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/managed-by"], MANAGED_BY);
        }
        assert_eq!(objects[8]["kind"], "MutatingWebhookConfiguration");
    }

    #[test]
    fn what_would_break_the_manifest_is_refused() {
        for (change, text) in [
            (
                ManifestOptions {
                    namespace: "a: b".into(),
                    ..options()
                },
                "namespace",
            ),
            (
                ManifestOptions {
                    namespace: String::new(),
                    ..options()
                },
                "namespace",
            ),
            (
                ManifestOptions {
                    image: "a b".into(),
                    ..options()
                },
                "image",
            ),
            (
                ManifestOptions {
                    flags: vec!["--port=1".into()],
                    ..options()
                },
                "--port=1",
            ),
            (
                ManifestOptions {
                    flags: vec!["--client-ca=/ca.crt".into()],
                    ..options()
                },
                "mounts none",
            ),
        ] {
            let error = render(&change).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        let odd = ManifestOptions {
            image: "a\"}#\\".into(),
            flags: vec!["--token-audience={{image}}\n---\nkind: X".into()],
            ..options()
        };
        let objects = objects(&odd).unwrap();
        assert_eq!(objects.len(), 9);
        let container = &objects[7]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "a\"}#\\");
    }

    #[test]
    fn a_webhook_that_nobody_runs_is_refused() {
        let none = ManifestOptions {
            replicas: 0,
            ..options()
        };
        assert!(matches!(render(&none), Err(ManifestError::Replicas)));
    }

    #[test]
    fn no_number_of_replicas_keeps_a_node_from_being_drained() {
        for replicas in [1, 2, 3] {
            let objects = objects(&ManifestOptions {
                replicas,
                ..options()
            });
            let budget = objects.unwrap().remove(6);
            assert_eq!(budget["kind"], "PodDisruptionBudget");
            // minAvailable 1 of one replica would never let it go.
            assert_eq!(budget["spec"]["maxUnavailable"], 1);
            assert_eq!(budget["spec"]["minAvailable"], Value::Null);
        }
    }

    #[test]
    fn the_cluster_can_start_without_it() {
        let objects = objects(&options()).unwrap();
        for webhook in objects[8]["webhooks"].as_array().unwrap() {
            let selector = webhook["objectSelector"]["matchExpressions"].to_string();
            assert!(selector.contains("app.kubernetes.io/name"), "{webhook}");
            if webhook["failurePolicy"] == "Fail" {
                assert!(
                    selector.contains("irsa/require-role"),
                    "only who asked for it"
                );
                assert!(
                    webhook["namespaceSelector"]
                        .to_string()
                        .contains("kube-system")
                );
            } else {
                assert_eq!(webhook["failurePolicy"], "Ignore");
            }
        }
    }

    /// Whether a selector of ours matches: `In`, `NotIn` and `DoesNotExist`, as the API server reads them.
    fn matches(selector: &Value, labels: &[(&str, &str)]) -> bool {
        let expressions = selector["matchExpressions"].as_array();
        expressions.into_iter().flatten().all(|expression| {
            let key = expression["key"].as_str().unwrap();
            let found = labels.iter().find(|(name, _)| *name == key);
            let listed = found.is_some_and(|(_, value)| {
                let values = expression["values"].as_array();
                values.is_some_and(|values| values.iter().any(|one| one == value))
            });
            match expression["operator"].as_str().unwrap() {
                "In" => listed,
                "NotIn" => !listed,
                "DoesNotExist" => found.is_none(),
                other => panic!("{other}"),
            }
        })
    }

    #[test]
    fn every_pod_is_reviewed_once_whatever_its_labels_and_namespace() {
        let objects = objects(&options()).unwrap();
        let asked = |namespace: &str, labels: &[(&str, &str)]| {
            let webhooks = objects[8]["webhooks"].as_array().unwrap().iter();
            let of_namespace = [("kubernetes.io/metadata.name", namespace)];
            let asked = webhooks.filter(|webhook| {
                matches(&webhook["namespaceSelector"], &of_namespace)
                    && matches(&webhook["objectSelector"], labels)
            });
            asked
                .map(|webhook| {
                    let path = webhook["clientConfig"]["service"]["path"].clone();
                    (webhook["failurePolicy"].clone(), path)
                })
                .collect::<Vec<_>>()
        };
        let (ignore, fail) = (
            vec![("Ignore".into(), "/mutate".into())],
            vec![("Fail".into(), "/mutate/required".into())],
        );
        let (require, skip) = (
            (crate::settings::REQUIRE_LABEL, "true"),
            (crate::settings::SKIP_LABEL, ""),
        );
        let own = ("app.kubernetes.io/name", NAME);
        for system in crate::settings::SYSTEM_NAMESPACES {
            assert_eq!(asked(system, &[]), ignore);
            assert_eq!(asked(system, &[require]), ignore, "{system}");
            assert_eq!(asked(system, &[require, skip]), []);
            assert_eq!(asked(system, &[require, own]), []);
        }
        assert_eq!(asked("demo", &[]), ignore);
        assert_eq!(asked("demo", &[("irsa/require-role", "false")]), ignore);
        assert_eq!(asked("demo", &[require]), fail);
        assert_eq!(asked("demo", &[skip]), []);
        assert_eq!(asked("demo", &[require, skip]), []);
        assert_eq!(asked("demo", &[require, own]), []);
    }
}
