//! The webhook as a server, before a cluster that is late, silent or unwilling when the test says so.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, also in its helpers"
)]

mod attack;
mod client_ca;
mod cluster;
mod running;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tempfile::TempDir;

use cluster::Cluster;
use irsa_webhook::identities::Identities;
use running::{Running, certificate, eventually, post};

const ROLE: &str = "arn:aws:iam::111122223333:role/reader";
const GRACE: Duration = Duration::from_secs(2);

async fn started(grace: Duration) -> (Cluster, Running, TempDir) {
    let cluster = Cluster::start().await;
    cluster.put("ns/reader", Some(ROLE));
    cluster.put("ns/bare", None);
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let running = Running::start(&cluster, folder.path(), grace).await;
    eventually("the first list", async || running.identities.is_synced()).await;
    (cluster, running, folder)
}

#[tokio::test]
async fn a_metrics_port_on_loopback_answers_to_the_names_of_loopback_alone() {
    let (_cluster, running, _folder) = started(GRACE).await;
    for host in ["localhost", "127.0.0.1:9443", "[::1]"] {
        assert_eq!(running.page_of(host, "/metrics").await.0, 200, "{host}");
    }
    for path in ["/metrics", "/debug/alpha/cache", "/debug/alpha/cache/clear"] {
        let (status, text) = running.page_of("evil.example:9443", path).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{path}");
        assert!(text.contains("ask localhost"), "{text}");
    }
    assert_eq!(running.role("ns/reader").await.as_deref(), Some(ROLE));
}

#[tokio::test]
async fn h3_d18_the_protocol_of_requests() {
    let (_cluster, running, _folder) = started(GRACE).await;
    let review = r#"{"request":{"uid":"u","namespace":"ns","object":{"spec":{}}}}"#;
    for (request, status, text) in [
        (
            post("/mutate?timeout=10s", "application/json", review),
            200,
            "\"allowed\":true",
        ),
        (
            post("/mutate", "Application/JSON; charset=utf-8", review),
            200,
            "\"allowed\":true",
        ),
        (
            post("/mutate", "application/xml", review),
            415,
            "Invalid Content-Type, expected `application/json`\n",
        ),
        (post("/mutate", "application/json", ""), 400, "bad content"),
        (
            post("/mutate", "application/json", "{\"requ"),
            400,
            "\"allowed\":false",
        ),
        (
            post("/mutate", "application/json", vec![b' '; (8 << 20) + 1]),
            413,
            "larger than",
        ),
        (post("/other", "application/json", review), 404, "not found"),
        (
            post("/debug/alpha/deny", "text/plain", ""),
            200,
            "Test deny message",
        ),
        (
            post("/debug/alpha/500", "text/plain", ""),
            500,
            "test error",
        ),
        (get("/mutate"), 405, "only POST"),
        (get("/healthz"), 200, "ok"),
        (get("/readyz"), 200, "ok"),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let (found, body) = running.send(request).await;
        assert_eq!(found.as_u16(), status, "{what}: {body}");
        assert!(body.contains(text), "{what}: {body}");
    }
    let (_, metrics) = running.page("/metrics").await;
    let line = "http_request_count{verb=\"POST\",path=\"/mutate\",code=\"400\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    let (_, dump) = running.page("/debug/alpha/cache").await;
    let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
    assert_eq!(dump["ns/reader"]["RoleARN"], ROLE);
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "x")
        .body(Full::default())
        .unwrap()
}

/// K1: what the watch has seen is answered without asking; what changes is answered anew.
#[tokio::test]
async fn k1_the_watch_is_followed() {
    let (cluster, running, _folder) = started(GRACE).await;
    assert_eq!(running.role("ns/reader").await.as_deref(), Some(ROLE));
    assert_eq!(cluster.reads(), 0);
    cluster.put("ns/reader", Some("arn:aws:iam::111122223333:role/other"));
    eventually("the watch", async || {
        cluster.tell("MODIFIED", "ns/reader");
        running.role("ns/reader").await.unwrap().ends_with("/other")
    })
    .await;
    assert_eq!(cluster.reads(), 0);
    cluster.tell("DELETED", "ns/reader");
    eventually("the deletion", async || {
        running.identities.accounts.count().0 == 1
    })
    .await;
}

/// K4, D22: an account that the watch has not seen, or has seen bare, is read before its pod goes without.
#[tokio::test]
async fn k4_d22_a_pod_does_not_overtake_its_service_account() {
    let (cluster, running, _folder) = started(GRACE).await;
    cluster.put("ns/new", Some(ROLE));
    cluster.put("ns/bare", Some(ROLE));
    assert_eq!(running.role("ns/new").await.as_deref(), Some(ROLE));
    assert_eq!(running.role("ns/bare").await.as_deref(), Some(ROLE));
    assert_eq!(cluster.reads(), 2);
    let (status, patch, warnings) = running.review("/mutate", "ns/nobody").await;
    assert_eq!((status, patch), (StatusCode::OK, serde_json::Value::Null));
    assert!(warnings[0].contains("does not exist"), "{warnings:?}");
}

/// K2, K3: whoever waits for an account is released when the watch brings it, however long the API server is silent about it.
#[tokio::test]
async fn k2_k3_the_watch_releases_whoever_waits() {
    let (cluster, running, _folder) = started(GRACE).await;
    cluster.put("ns/stuck-late", Some(ROLE));
    let start = Instant::now();
    let waiting = futures_util::future::join_all((0..10).map(|_| running.role("ns/stuck-late")));
    let telling = async {
        eventually("the reads", async || cluster.reads() >= 10).await;
        cluster.tell("ADDED", "ns/stuck-late");
    };
    let (roles, ()) = tokio::join!(waiting, telling);
    assert!(
        roles.iter().all(|role| role.as_deref() == Some(ROLE)),
        "{roles:?}"
    );
    assert!(start.elapsed() < GRACE, "{:?}", start.elapsed());
}

/// While the API server is silent about an account, what else is known of it counts: its role in the ConfigMap, and that
/// the watch has brought it without one.
#[tokio::test]
async fn a_silent_api_server_hides_nothing_that_is_known() {
    let (cluster, running, _folder) = started(Duration::from_millis(300)).await;
    let config = format!(r#"{{"ns/*":{{"RoleARN":"{ROLE}"}}}}"#);
    let mappings = irsa_webhook::mapping::Mappings::parse(&config).unwrap();
    running.identities.mappings.store(mappings.into());
    assert_eq!(running.role("ns/stuck-mapped").await.as_deref(), Some(ROLE));
    assert_eq!(cluster.reads(), 1);
    assert_eq!(running.role("ns/bare").await.as_deref(), Some(ROLE));
    assert_eq!(
        cluster.reads(),
        1,
        "the ConfigMap's role needs no confirmation"
    );
    running.identities.mappings.store(Arc::default());
    cluster.put("ns/stuck-bare", None);
    let telling = async {
        eventually("the read", async || cluster.reads() >= 2).await;
        cluster.tell("ADDED", "ns/stuck-bare");
    };
    let (answer, ()) = tokio::join!(running.review("/mutate", "ns/stuck-bare"), telling);
    assert_eq!(answer, (StatusCode::OK, serde_json::Value::Null, vec![]));
    let (_, _, warnings) = running.review("/mutate", "ns/stuck-unknown").await;
    assert!(warnings[0].contains("cannot be read"), "{warnings:?}");
}

/// F3: the container credentials file as it comes, changes, breaks and goes.
#[tokio::test]
async fn f3_the_container_credentials_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities.json");
    let metrics = irsa_webhook::metrics::Metrics::default();
    let new = Identities::new(None, String::new(), Duration::ZERO, metrics.clone());
    let identities = Arc::new(new);
    identities.sources.file.expect();
    let every = Duration::from_millis(5);
    let following =
        irsa_webhook::watch::associations(path.clone(), every, Arc::clone(&identities), metrics);
    tokio::spawn(following);
    let has = |names: &'static [&'static str]| {
        let identities = &identities;
        async move || {
            let all = identities.associations.load();
            all.len() == names.len() && names.iter().all(|name| all.contains("ns", name))
        }
    };
    let file = |names: &[&str]| {
        let all: Vec<_> = names
            .iter()
            .map(|name| serde_json::json!({"namespace": "ns", "serviceAccount": name}))
            .collect();
        serde_json::json!({ "identities": all }).to_string()
    };
    eventually("a missing file to be read", async || identities.is_synced()).await;
    std::fs::write(&path, file(&["a"])).unwrap();
    eventually("a file that comes later", has(&["a"])).await;
    std::fs::write(&path, file(&["a", "b"])).unwrap();
    std::fs::write(&path, file(&["a", "b", "c"])).unwrap();
    eventually("two changes at once", has(&["a", "b", "c"])).await;
    std::fs::write(&path, "bad json").unwrap();
    eventually("the refusal", async || !identities.problems().is_empty()).await;
    assert!(has(&["a", "b", "c"])().await, "the last good one stays");
    std::fs::write(&path, file(&["d"])).unwrap();
    eventually("a good one after a bad one", has(&["d"])).await;
    assert_eq!(identities.problems(), Vec::<String>::new());
    std::fs::write(&path, "").unwrap();
    eventually("an empty file", has(&[])).await;
    std::fs::write(&path, file(&["e"])).unwrap();
    eventually("the file again", has(&["e"])).await;
    std::fs::remove_file(&path).unwrap();
    eventually("its end", has(&[])).await;
}

/// Upstream's default of no grace period: only the watch is asked, and the reason is said.
#[tokio::test]
async fn without_grace_only_the_watch_is_asked() {
    let (cluster, running, _folder) = started(Duration::ZERO).await;
    cluster.put("ns/new", Some(ROLE));
    let (_, patch, warnings) = running.review("/mutate", "ns/new").await;
    assert_eq!(patch, serde_json::Value::Null);
    assert!(warnings[0].contains("grace period"), "{warnings:?}");
    assert_eq!(cluster.reads(), 0);
}

/// D23: not ready before the first list, and yet no pod that asks goes without.
#[tokio::test]
async fn d23_a_replica_that_has_just_started() {
    let cluster = Cluster::start().await;
    cluster.put("ns/reader", Some(ROLE));
    cluster.answer_lists_with(0);
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let running = Running::start(&cluster, folder.path(), GRACE).await;
    let (status, text) = running.page("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("service accounts: not read yet"), "{text}");
    assert_eq!(running.page("/livez").await.0, StatusCode::OK);
    assert_eq!(running.role("ns/reader").await.as_deref(), Some(ROLE));
}

#[tokio::test]
async fn an_api_server_that_refuses_is_said_in_readiness() {
    let cluster = Cluster::start().await;
    cluster.answer_lists_with(403);
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let running = Running::start(&cluster, folder.path(), GRACE).await;
    eventually("the reason", async || {
        running.page("/readyz").await.1.contains("403")
    })
    .await;
    let (status, text) = running.page("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("grant get, list and watch"), "{text}");
}

/// A pod that requires its role is not let through when nobody can say, and whoever made it may try again.
#[tokio::test]
async fn a_required_role_that_nobody_knows_is_a_failure_of_ours() {
    let (_cluster, running, _folder) = started(Duration::ZERO).await;
    let (status, _, text) = running.review("/mutate/required", "ns/new").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text:?}");
    let (status, _, _) = running.review("/mutate", "ns/new").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(running.role("ns/reader").await.as_deref(), Some(ROLE));
}

/// G1: what is in flight is answered, and nobody is waited for who is silent.
#[tokio::test]
async fn g1_a_stop_answers_what_is_in_flight() {
    let (cluster, mut running, _folder) = started(GRACE).await;
    let _silent = running.handshake().await;
    cluster.put("ns/new", Some(ROLE));
    let start = Instant::now();
    assert_eq!(running.role("ns/new").await.as_deref(), Some(ROLE));
    assert!(running.stop().await);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

/// A renewal by files: a half-written pair changes nothing, a good one is served on the next connection.
#[tokio::test]
async fn certificate_files_are_followed() {
    let (_cluster, running, folder) = started(GRACE).await;
    let (_, first) = running.handshake().await;
    let first_pem = std::fs::read_to_string(folder.path().join("tls.crt")).unwrap();
    std::fs::write(folder.path().join("tls.crt"), "half").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(running.handshake().await.1, first);
    // Put right and broken again: it is said again.
    let (half, whole) = ("half", first_pem);
    eventually("another refusal", async || {
        for text in [whole.as_str(), half] {
            std::fs::write(folder.path().join("tls.crt"), text).unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        let (_, metrics) = running.page("/metrics").await;
        metrics.contains("irsa_webhook_certificates_total{result=\"refused\"} 2")
    })
    .await;
    let second = certificate(folder.path());
    eventually("the new certificate", async || {
        running.handshake().await.1 == second
    })
    .await;
    // What is far too large for a chain is not read, whatever it begins with.
    let next = tempfile::tempdir().unwrap();
    let third = certificate(next.path());
    let text = |name: &str| std::fs::read_to_string(next.path().join(name)).unwrap();
    let padded = text("tls.crt") + &"# more\n".repeat(200_000);
    std::fs::write(folder.path().join("tls.crt"), padded).unwrap();
    std::fs::write(folder.path().join("tls.key"), text("tls.key")).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(running.handshake().await.1, second);
    std::fs::write(folder.path().join("tls.crt"), text("tls.crt")).unwrap();
    eventually("its first part alone", async || {
        running.handshake().await.1 == third
    })
    .await;
}
