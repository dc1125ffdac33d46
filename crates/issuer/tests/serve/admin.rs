//! The admin listener: probes and metrics.

use irsa_issuer::serve::{Limits, Site};
use tokio::net::TcpStream;

use super::running::{GET, ISSUER, Reply, Running, ask, certified, down, up};

async fn page(server: &Running, path: &str) -> Reply {
    let mut io = TcpStream::connect(server.admin).await.unwrap();
    ask(&mut io, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await
}

#[tokio::test]
async fn probes_follow_the_site() {
    let server = Running::start(Limits::default(), None).await;
    assert_eq!(page(&server, "/livez").await.status, 200);
    let ready = page(&server, "/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.body,
        "ok: 1 of 2 issuers up\nhttps://oidc.example.com/down: keys/down.pub holds no usable key\n"
    );
    server.site.swap(Site::new(vec![down()]).unwrap());
    assert_eq!(page(&server, "/readyz").await.status, 503);
    assert_eq!(page(&server, "/livez").await.status, 200);
    assert_eq!(page(&server, "/prod/keys.json").await.status, 404);
    let mut io = TcpStream::connect(server.admin).await.unwrap();
    assert_eq!(
        ask(&mut io, "POST /livez HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .status,
        405
    );
    let public = server.ask("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(public.status, 404, "metrics are not public");
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let directory = certified();
    let server = Running::start(Limits::default(), Some(directory.path())).await;
    let mut io = super::running::tls(server.addr, directory.path(), super::running::ANY_TLS, &[])
        .await
        .unwrap();
    let etag = ask(&mut io, GET).await.header("etag").unwrap().to_owned();
    let known = GET.replace("host: a", &format!("if-none-match: {etag}"));
    for request in [&known, &known, "GET /x HTTP/1.1\r\nhost: a\r\n\r\n"] {
        ask(&mut io, request).await;
    }
    server.metrics.reload_failed();
    let metrics = page(&server, "/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let requests = "irsa_http_requests_total";
    for line in [
        format!("{requests}{{issuer=\"{ISSUER}\",document=\"jwks\",status=\"200\"}} 1"),
        format!("{requests}{{issuer=\"{ISSUER}\",document=\"jwks\",status=\"304\"}} 2"),
        format!("{requests}{{issuer=\"\",document=\"none\",status=\"404\"}} 1"),
        format!("irsa_issuer_keys{{issuer=\"{ISSUER}\"}} 1"),
        "irsa_http_request_duration_seconds_count 4".to_owned(),
        "irsa_reloads_total{what=\"documents\",result=\"failure\"} 1".to_owned(),
        "irsa_connections_open 1".to_owned(),
        "irsa_connections_accepted_total 1".to_owned(),
        "irsa_draining 0".to_owned(),
    ] {
        assert!(
            metrics.body.lines().any(|one| one == line),
            "{line} is not in {}",
            metrics.body
        );
    }
    let expiry = server.metric("irsa_tls_certificate_expiry_timestamp_seconds ");
    assert!(expiry > 1_700_000_000.0, "{expiry}");
}

#[tokio::test]
async fn thousands_of_issuers_are_scraped_and_served() {
    let server = Running::start(Limits::default(), None).await;
    let many = (0..2_000).map(|number| {
        let mut issuer = up("{}");
        issuer.issuer = format!("https://oidc.example.com/{number}");
        let path = format!("/{number}/keys.json");
        issuer.documents = issuer.documents.map(|_| {
            let kind = irsa_core::documents::DocumentName::Jwks;
            let age = std::time::Duration::from_mins(5);
            let body = number.to_string().into_bytes();
            vec![irsa_issuer::serve::Document::new(kind, path.clone(), body, age).unwrap()]
        });
        issuer
    });
    server.site.swap(Site::new(many.collect()).unwrap());
    let reply = server
        .ask("GET /1999/keys.json HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert_eq!(reply.body, "1999");
    let metrics = page(&server, "/metrics").await;
    assert_eq!(
        metrics
            .body
            .lines()
            .filter(|line| line.starts_with("irsa_key_age"))
            .count(),
        2_000
    );
}
