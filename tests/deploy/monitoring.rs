use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use irsa_issuer::serve::status::{Agreement, RotatingKey, Rotation, SinkLook};
use irsa_issuer::serve::{ServedIssuer, Server, ServerConfig, Site, SiteHandle};
use irsa_webhook::identities::Identities;
use jiff::Timestamp;
use serde_json::Value;

use super::{same_as_kept, text, yaml};
use crate::util::{Home, eventually, get};

/// Those of others that the rules read, with the program that has them.
const FOREIGN: [&str; 1] = ["kube_job_status_failed"];

/// Everything that the endpoint can say.
fn of_the_endpoint() -> String {
    let metrics = irsa_issuer::serve::Metrics::new();
    let now = Timestamp::now();
    metrics.source_seen(vec![("https://h".into(), SystemTime::now())]);
    metrics.board().sinks_seen(vec![SinkLook {
        issuer: "https://h".into(),
        sink: "public".into(),
        found: Agreement::Agrees,
        at: now,
    }]);
    metrics.board().rotations_seen(vec![Rotation {
        issuer: "https://h".into(),
        written: now,
        keys: vec![RotatingKey {
            kid: "kid".into(),
            state: "current".into(),
            since: Some(now),
            next: "is replaced".into(),
            opens: Some(now),
            compromised: true,
        }],
    }]);
    let issuer = ServedIssuer {
        issuer: "https://h".into(),
        documents: Ok(Vec::new()),
        paths: Vec::new(),
        keys: vec![irsa_issuer::serve::ServedKey {
            kid: "kid".into(),
            since: SystemTime::now(),
        }],
    };
    let site = SiteHandle::new(Site::new(vec![issuer]).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = irsa_issuer::serve::PairFiles {
        cert: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
    };
    std::fs::write(&tls.cert, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    let config = ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        tls: Some(tls),
        ..ServerConfig::default()
    };
    // Binding reads the certificate, whose expiry is a metric.
    drop(
        runtime
            .block_on(Server::bind(config, site, metrics.clone()))
            .unwrap(),
    );
    metrics.render()
}

/// Everything that the webhook can say.
fn of_the_webhook() -> String {
    let metrics = irsa_webhook::metrics::Metrics::default();
    metrics.request("POST", "/mutate", 200, Duration::from_millis(1));
    // One of each label, so that the list has its name.
    metrics.pod("web-identity");
    metrics.note("reason");
    metrics.live_read("result");
    metrics.source_failed("source");
    metrics.event("result");
    metrics.certificate("result");
    let identities = Identities::new(
        None,
        "eks.amazonaws.com".into(),
        Duration::ZERO,
        metrics.clone(),
    );
    metrics.render(&Arc::new(identities))
}

/// Everything that the doctor can say, after one look at an issuer that is not there.
fn of_the_doctor() -> String {
    let home = Home::new();
    let watch = [
        "doctor",
        "--issuer",
        "http://127.0.0.1:1/prod",
        "--watch",
        "--metrics-listen",
        "127.0.0.1:0",
    ];
    let doctor = home.irsa(&watch).start();
    let log = doctor.wait_for("metrics on http://");
    let after = log.split("metrics on http://").nth(1).unwrap();
    let address = after.split('/').next().unwrap();
    eventually("a look", || {
        let (_, metrics) = get(address, "/metrics");
        metrics
            .contains("irsa_doctor_runs_total{")
            .then_some(metrics)
    })
}

/// Name, type and help of each family, in the order in which they are exposed.
fn families(exposed: &str) -> Vec<(String, String, String)> {
    let mut kinds = BTreeMap::new();
    let mut found = Vec::new();
    for line in exposed.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                found.push((name.to_owned(), help.to_owned()));
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                kinds.insert(name.to_owned(), kind.to_owned());
            }
            _ => {}
        }
    }
    let kind = |name: &str| kinds[name].clone();
    found
        .into_iter()
        .map(|(name, help)| (name.clone(), kind(&name), help))
        .collect()
}

/// The names that a query may use.
fn series(exposed: &str) -> BTreeSet<String> {
    families(exposed)
        .into_iter()
        .flat_map(|(name, kind, _)| match kind.as_str() {
            "counter" => vec![format!("{name}_total")],
            "histogram" => ["_bucket", "_count", "_sum"]
                .map(|end| format!("{name}{end}"))
                .to_vec(),
            "info" => vec![format!("{name}_info")],
            _ => vec![name],
        })
        .collect()
}

/// The metrics that a query reads: names before a brace or bracket, or that begin as ours do.
fn names(query: &str) -> BTreeSet<String> {
    let starts = ["irsa_", "pod_identity_webhook_", "http_request", "kube_"];
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = query.split(|c| !is_name(c));
    words
        .filter(|word| starts.iter().any(|start| word.starts_with(start)))
        .map(str::to_owned)
        .collect()
}

fn rules() -> Vec<Value> {
    let groups = yaml(&text("deploy/monitoring/alerts.yaml")).remove(0);
    let groups = groups["groups"].as_array().unwrap().clone();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

#[test]
fn rules_and_dashboard_read_metrics_that_exist() {
    let mut known = series(&of_the_endpoint());
    known.extend(series(&of_the_webhook()));
    known.extend(series(&of_the_doctor()));
    known.extend(FOREIGN.map(str::to_owned));
    let rules = rules();
    assert!(rules.len() > 15);
    let dashboard: Value = serde_json::from_str(&text("deploy/monitoring/dashboard.json")).unwrap();
    let mut queries: Vec<String> = rules
        .iter()
        .map(|rule| rule["expr"].as_str().unwrap().to_owned())
        .collect();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    queries.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
    queries.push(
        dashboard["templating"]["list"][1]["definition"]
            .as_str()
            .unwrap()
            .to_owned(),
    );
    assert!(queries.len() > 40, "{}", queries.len());
    for query in queries {
        let used = names(&query);
        assert!(!used.is_empty(), "{query} reads nothing");
        for name in used {
            assert!(
                known.contains(&name),
                "{name} is exposed by nothing: {query}"
            );
        }
    }
}

#[test]
fn every_alert_is_tested_and_explained() {
    let tests = text("deploy/monitoring/alerts_test.yaml");
    let explained = text("docs/troubleshooting.md");
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        assert!(
            tests.contains(&format!("alertname: {name}")),
            "alerts_test.yaml does not test {name}"
        );
        assert!(
            explained.contains(&format!("\n### {name}\n")),
            "docs/troubleshooting.md does not explain {name}"
        );
        assert!(
            rule["annotations"]["summary"].is_string(),
            "{name} has no summary"
        );
        assert!(
            matches!(
                rule["labels"]["severity"].as_str(),
                Some("warning" | "critical")
            ),
            "{name}"
        );
    }
}

#[test]
fn the_list_of_metrics_is_what_is_exposed() {
    let table = |exposed: &str| {
        let rows = families(exposed).into_iter().map(|(name, kind, help)| {
            let labels = labels(exposed, &name);
            let name = match kind.as_str() {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name,
            };
            let help = help.trim_end_matches('.').replace('|', "\\|");
            format!("| `{name}` | {kind} | {labels} | {help} |\n")
        });
        let rows: String = rows.collect();
        format!("| metric | type | labels | meaning |\n|---|---|---|---|\n{rows}")
    };
    let page = format!(
        "# Metrics\n\n\
         In the text format of OpenMetrics. This page is made from what the program exposes (`tests/deploy/monitoring.rs`); [deploy/monitoring](../deploy/monitoring/README.md)\n\
         has the alerts and the dashboard. Labels are those of series that exist from the start; others come with the first event.\n\n\
         ## The endpoint: `irsa serve --admin-listen ADDR`, path `/metrics`\n\n{}\n\
         ## The webhook: `irsa webhook serve --metrics-port PORT`, path `/metrics`\n\n\
         Names without `irsa_` are those of amazon-eks-pod-identity-webhook, so that its dashboards go on.\n\n{}\n\
         ## The doctor: `irsa doctor --watch --metrics-listen ADDR`, path `/metrics`\n\n{}",
        table(&of_the_endpoint()),
        table(&of_the_webhook()),
        table(&of_the_doctor()),
    );
    same_as_kept("docs/metrics.md", &page);
}

/// The label names of a family's first sample.
fn labels(exposed: &str, family: &str) -> String {
    let sample = exposed.lines().find(|line| {
        let rest = line.strip_prefix(family);
        rest.is_some_and(|rest| {
            ["{", "_total{", "_info{", "_bucket{", "_count{"]
                .iter()
                .any(|start| rest.starts_with(start))
        })
    });
    let inside = sample.and_then(|line| {
        line.split_once('{')?
            .1
            .split_once('}')
            .map(|(inside, _)| inside)
    });
    let names = inside.into_iter().flat_map(|inside| inside.split("\","));
    let names: Vec<_> = names
        .filter_map(|one| one.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| *name != "le")
        .collect();
    names.join(", ")
}
