//! File descriptors run out. A program of its own, because the limit is the whole process's.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs::File;
use std::time::Duration;

use irsa_core::documents::DocumentName;
use irsa_issuer::serve::{Document, Metrics, ServedIssuer, Server, ServerConfig, Site, SiteHandle};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn an_exhausted_process_ends_silent_connections_and_serves_the_next() {
    let limit = Rlimit {
        current: Some(200),
        maximum: Some(400),
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let metrics = Metrics::new();
    let config = ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..ServerConfig::default()
    };
    let bound = Server::bind(config, SiteHandle::new(site()), metrics.clone())
        .await
        .unwrap();
    let address = bound.local_addrs().first().copied().unwrap();
    let server = tokio::spawn(bound.run(Box::pin(std::future::pending())));

    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let honest = TcpSocket::new_v4().unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    assert!(
        hoard.len() > 200,
        "the soft limit was raised to the hard one"
    );
    // the connection needs no new descriptor here, but one at the server
    let mut honest = honest.connect(address).await.unwrap();
    honest
        .write_all(b"GET /keys.json HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 15];
    tokio::time::timeout(Duration::from_secs(5), honest.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    drop(hoard);
    let text = metrics.render();
    assert!(
        !text.contains("irsa_connections_refused_total 0\n"),
        "{text}"
    );
    assert!(
        !text.contains("irsa_connections_ended_total{reason=\"evicted\"} 0\n"),
        "{text}"
    );
    assert!(!server.is_finished());
}

fn site() -> Site {
    let path = "/keys.json".to_owned();
    let age = Duration::from_mins(5);
    let document = Document::new(DocumentName::Jwks, path.clone(), b"{}".to_vec(), age).unwrap();
    let issuer = ServedIssuer {
        issuer: "https://a".into(),
        documents: Ok(vec![document]),
        paths: vec![path],
        keys: Vec::new(),
    };
    Site::new(vec![issuer]).unwrap()
}
