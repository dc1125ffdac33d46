//! With a client CA only whoever shows a certificate of it is answered, and probes need none.

use std::sync::Arc;

use http::{Request, StatusCode};
use http_body_util::Full;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::GRACE;
use crate::cluster::Cluster;
use crate::running::{Running, certificate, client_config, exchange, post};

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
        let stream = TcpStream::connect(running.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await;
        let review = r#"{"request":{"uid":"u","namespace":"ns","object":{"spec":{}}}}"#;
        let request = post(path, "application/json", review);
        match exchange(stream.unwrap(), request).await {
            Some((status, _)) => status,
            // TLS 1.3 refuses a client's certificate after the client believes that it is connected.
            None => StatusCode::UNAUTHORIZED,
        }
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
