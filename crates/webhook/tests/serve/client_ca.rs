//! With a client CA only whoever shows a certificate of it is answered, and probes need none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::GRACE;
use crate::cluster::Cluster;
use crate::running::{Running, certificate, client_config, eventually, exchange, post};

struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            params,
            key: KeyPair::generate().unwrap(),
        }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// The status of a review by a client with a certificate of this CA.
    async fn asks(&self, running: &Running, path: &str) -> StatusCode {
        asks(running, &self.client(), path).await
    }

    /// A client with a certificate of this CA, which resumes its sessions where it may.
    fn client(&self) -> TlsConnector {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["kube-apiserver".to_owned()]).unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let config = client_config()
            .with_client_auth_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(running: &Running, client: &TlsConnector) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(running.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    client.connect(name, stream).await.unwrap()
}

fn review(path: &str) -> Request<Full<Bytes>> {
    let review = r#"{"request":{"uid":"u","namespace":"ns","object":{"spec":{}}}}"#;
    post(path, "application/json", review)
}

async fn asks(running: &Running, client: &TlsConnector, path: &str) -> StatusCode {
    match exchange(connect(running, client).await, review(path)).await {
        Some((status, _)) => status,
        // TLS 1.3 refuses a client's certificate after the client believes that it is connected.
        None => StatusCode::UNAUTHORIZED,
    }
}

#[tokio::test]
async fn only_clients_of_the_ca_are_answered() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let (ours, other) = (Authority::new(), Authority::new());
    let place = folder.path().join("clients.crt");
    std::fs::write(&place, ours.pem()).unwrap();
    let running = Running::start_for(&cluster, folder.path(), GRACE, Some(place)).await;
    for path in ["/mutate", "/mutate/required"] {
        assert_eq!(ours.asks(&running, path).await, StatusCode::OK);
        assert_eq!(other.asks(&running, path).await, StatusCode::UNAUTHORIZED);
        let (status, text) = running.send(post(path, "application/json", "{}")).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(text.contains("--client-ca"), "{text}");
    }
    let probe = Request::get("/livez")
        .header("host", "x")
        .body(Full::default());
    assert_eq!(running.send(probe.unwrap()).await.0, StatusCode::OK);
}

/// A CA that is no longer in the file is nobody's: neither in new handshakes, nor in sessions of before, nor on a
/// connection that is open.
#[tokio::test]
async fn another_ca_in_the_file_is_taken_while_serving() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let (before, after) = (Authority::new(), Authority::new());
    let place = folder.path().join("clients.crt");
    std::fs::write(&place, before.pem()).unwrap();
    let running = Running::start_for(&cluster, folder.path(), GRACE, Some(place.clone())).await;
    let (client, path) = (before.client(), "/mutate");
    assert_eq!(asks(&running, &client, path).await, StatusCode::OK);
    let kept = connect(&running, &client).await;
    let (mut sender, connection) = http1::handshake(TokioIo::new(kept)).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(review(path)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    std::fs::write(&place, "half").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(asks(&running, &client, path).await, StatusCode::OK);
    std::fs::write(&place, after.pem()).unwrap();
    eventually("the new CA", async || {
        after.asks(&running, path).await == StatusCode::OK
    })
    .await;
    assert_eq!(
        asks(&running, &client, path).await,
        StatusCode::UNAUTHORIZED
    );
    let ended = timeout(Duration::from_secs(2), connection).await;
    assert!(ended.is_ok(), "the open connection ends: {ended:?}");
    assert!(sender.send_request(review(path)).await.is_err());
}
