//! The admin listener: probes and metrics.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use irsa_issuer::serve::{Limits, Metrics, Server, ServerConfig, Site, SiteHandle};
use tokio::net::TcpStream;

use super::protocols::h2;
use super::running::{GET, ISSUER, Reply, Running, ask, certified, down, up};

async fn page(server: &Running, path: &str) -> Reply {
    let mut io = TcpStream::connect(server.admin).await.unwrap();
    ask(
        &mut io,
        &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    )
    .await
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
        ask(&mut io, "POST /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .status,
        405
    );
    let public = server.ask("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(public.status, 404, "metrics are not public");
}

/// Its admin listener is at this address.
async fn with_admin_at(address: &str) -> Running {
    let config = ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        admin_listen: Some(address.parse().unwrap()),
        ..ServerConfig::default()
    };
    let site = SiteHandle::new(Site::new(vec![up("{}")]).unwrap());
    let bound = Server::bind(config, site.clone(), Metrics::new()).await;
    Running::run(bound.unwrap(), site, Metrics::new())
}

async fn page_of(server: &Running, host: &str) -> Reply {
    let mut io = TcpStream::connect(("127.0.0.1", server.admin.port()))
        .await
        .unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\n\r\n");
    ask(&mut io, &request).await
}

#[tokio::test]
async fn on_loopback_no_other_name_leads_to_the_admin_pages() {
    let server = Running::start(Limits::default(), None).await;
    let port = server.admin.port();
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        assert_eq!(page_of(&server, host).await.status, 200, "{host}");
        let with_port = format!("{host}:{port}");
        assert_eq!(page_of(&server, &with_port).await.status, 200, "{host}");
    }
    for host in ["evil.example", &format!("evil.example:{port}"), ""] {
        let refused = page_of(&server, host).await;
        assert_eq!(refused.status, 421, "{host}");
        assert!(refused.body.contains("bound to loopback"), "{host}");
        assert!(!refused.body.contains("irsa_"), "{host}");
    }
    for (host, status) in [
        ("localhost", StatusCode::OK),
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let mut send = h2(TcpStream::connect(server.admin).await.unwrap()).await;
        let request = Request::get(format!("http://{host}:{port}/metrics"));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let answer = send.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{host}");
    }
}

#[tokio::test]
async fn elsewhere_the_admin_pages_have_whatever_name_leads_there() {
    let server = with_admin_at("0.0.0.0:0").await;
    for host in ["10.1.2.3:9090", "metrics.example", "localhost"] {
        assert_eq!(page_of(&server, host).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let directory = certified();
    let server = Running::start(Limits::default(), Some(directory.path())).await;
    let mut io = super::running::tls(server.addr, directory.path(), super::running::ANY_TLS, &[])
        .await
        .unwrap();
    let etag = ask(&mut io, GET).await.header("etag").unwrap().to_owned();
    let known = GET.replace("host: a", &format!("host: a\r\nif-none-match: {etag}"));
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
