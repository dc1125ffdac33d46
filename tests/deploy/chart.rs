use irsa_webhook::manifest::{ManifestOptions, objects, render};
use serde_json::Value;

use super::{same_as_kept, text, yaml};

const WEBHOOK: &str = "deploy/helm/irsa/templates/webhook/webhook.yaml";

/// The chart's template is the manifest with Helm's words where its options stand: made from the very text that
/// `irsa webhook manifest` prints.
#[test]
fn the_webhook_s_template_is_the_manifest() {
    let manifest = render(&ManifestOptions {
        namespace: "the-namespace".into(),
        image: "THE-IMAGE".into(),
        replicas: 4242,
        flags: vec!["--the-flags".into()],
    })
    .unwrap();
    let mut template = manifest.trim_end().to_owned();
    for (from, to) in [
        (
            "\"--namespace=the-namespace\"",
            "{{ printf \"--namespace=%s\" .Release.Namespace | toJson }}",
        ),
        ("\"the-namespace\"", "{{ .Release.Namespace | toJson }}"),
        (
            "\"THE-IMAGE\"",
            "{{ include \"irsa.image\" . | toJson }}\n        imagePullPolicy: {{ .Values.image.pullPolicy }}",
        ),
        (
            "      priorityClassName:",
            "      {{- with .Values.imagePullSecrets }}\n      imagePullSecrets: {{ toJson . }}\n      {{- end }}\n      priorityClassName:",
        ),
        ("4242", "{{ .Values.webhook.replicas }}"),
        (
            ",\"--the-flags\"]",
            "{{ range .Values.webhook.flags }},{{ . | toJson }}{{ end }}]",
        ),
    ] {
        assert!(template.contains(from), "the manifest has no {from}");
        template = template.replace(from, to);
    }
    let head = "{{- /* Made from `irsa webhook manifest` by tests/deploy/chart.rs: change that, not this. */}}\n";
    let template =
        format!("{{{{- if .Values.webhook.enabled }}}}\n{head}{template}\n{{{{- end }}}}\n");
    same_as_kept(WEBHOOK, &template);
}

#[test]
fn what_helm_makes_of_it_is_what_irsa_webhook_manifest_makes() {
    let rendered = text("tests/golden/helm/endpoint.yaml");
    let mut ours = objects(&ManifestOptions {
        namespace: "irsa-system".into(),
        image: format!(
            "registry.example.com/irsa@sha256:{}",
            "0123456789abcdef".repeat(4)
        ),
        replicas: 3,
        flags: vec![
            "--aws-default-region=eu-central-1".into(),
            "--watch-config-map".into(),
        ],
    })
    .unwrap();
    // What only the chart knows: where the image is pulled from, and with which secret.
    let deployment = ours
        .iter_mut()
        .find(|object| object["kind"] == "Deployment")
        .unwrap();
    let pod = &mut deployment["spec"]["template"]["spec"];
    pod["imagePullSecrets"] = serde_json::json!([{"name": "registry"}]);
    pod["containers"][0]["imagePullPolicy"] = "IfNotPresent".into();
    let mut helms: Vec<Value> = yaml(&rendered)
        .into_iter()
        .filter(|object| object["metadata"]["name"] == "pod-identity-webhook")
        .collect();
    let by_kind = |object: &Value| object["kind"].to_string();
    ours.sort_by_key(by_kind);
    helms.sort_by_key(by_kind);
    assert_eq!(helms, ours);
}

/// Every value is in the schema, and every property of the schema is a value with a default.
#[test]
fn values_and_schema_have_the_same_keys() {
    fn compare(place: &str, values: &Value, schema: &Value) {
        let (Some(values), Some(properties)) =
            (values.as_object(), schema["properties"].as_object())
        else {
            return;
        };
        let known = |name: &String| properties.contains_key(name);
        let odd: Vec<_> = values.keys().filter(|name| !known(name)).collect();
        assert!(odd.is_empty(), "{place}: not in the schema: {odd:?}");
        assert_eq!(
            schema["additionalProperties"], false,
            "{place} takes anything"
        );
        for (name, property) in properties {
            let here = format!("{place}.{name}");
            match values.get(name) {
                Some(value) => compare(&here, value, property),
                // Empty by default, or Helm's own.
                None => assert!(
                    place == "values.issuer.serve" || here == "values.global",
                    "{here} has no default"
                ),
            }
        }
    }
    let values = yaml(&text("deploy/helm/irsa/values.yaml")).remove(0);
    let schema: Value = serde_json::from_str(&text("deploy/helm/irsa/values.schema.json")).unwrap();
    compare("values", &values, &schema);
}

#[test]
fn the_readme_of_the_chart_explains_every_value() {
    fn leaves(place: &str, value: &Value, found: &mut Vec<String>) {
        match value.as_object() {
            Some(map)
                if !map.is_empty()
                    && !place.ends_with("resources")
                    && !place.ends_with("labels") =>
            {
                for (name, value) in map {
                    leaves(
                        &if place.is_empty() {
                            name.clone()
                        } else {
                            format!("{place}.{name}")
                        },
                        value,
                        found,
                    );
                }
            }
            _ => found.push(place.to_owned()),
        }
    }
    let readme = text("deploy/helm/irsa/README.md");
    let mut found = Vec::new();
    leaves(
        "",
        &yaml(&text("deploy/helm/irsa/values.yaml")).remove(0),
        &mut found,
    );
    assert!(found.len() > 50, "{found:?}");
    for value in found {
        // In full, or as `.last` in the row of its siblings.
        let (parent, last) = value.rsplit_once('.').unwrap_or(("", &value));
        let row = readme.lines().any(|line| {
            line.contains(&format!("`{value}`"))
                || (line.contains(&format!("`{parent}.")) && line.contains(&format!("`.{last}`")))
                || line.contains(&format!(
                    "`{}.",
                    parent.split('.').next().unwrap_or_default()
                )) && line.contains(&format!(
                    "`.{}`",
                    value.split_once('.').map_or("", |(_, rest)| rest)
                ))
        });
        assert!(row, "README.md of the chart does not explain {value}");
    }
}

#[test]
fn the_chart_is_of_this_version_and_carries_the_monitoring_of_deploy() {
    let chart = yaml(&text("deploy/helm/irsa/Chart.yaml")).remove(0);
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    for file in ["alerts.yaml", "dashboard.json"] {
        same_as_kept(
            &format!("deploy/helm/irsa/files/{file}"),
            &text(&format!("deploy/monitoring/{file}")),
        );
    }
}
