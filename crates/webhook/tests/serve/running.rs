//! A webhook that runs in the test, and a client of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use irsa_webhook::identities::Identities;
use irsa_webhook::metrics::Metrics;
use irsa_webhook::serve::{
    ListenConfig, PairFiles, Served, Server, State, TlsPolicy, Webhook, follow_files, limits,
};
use irsa_webhook::settings::Settings;
use irsa_webhook::watch;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::cluster::Cluster;

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) identities: Arc<Identities>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<bool>,
}

/// Writes a new self-signed pair into the folder, and gives its certificate.
pub(crate) fn certificate(folder: &Path) -> rustls::pki_types::CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), pair.cert.pem()).unwrap();
    pair.cert.der().clone()
}

impl Running {
    pub(crate) async fn start(cluster: &Cluster, folder: &Path, grace: Duration) -> Self {
        Self::start_for(cluster, folder, grace, None).await
    }

    /// Reviews only for clients with a certificate of this CA, if there is one.
    pub(crate) async fn start_for(
        cluster: &Cluster,
        folder: &Path,
        grace: Duration,
        client_ca: Option<PathBuf>,
    ) -> Self {
        let metrics = Metrics::default();
        let settings = Settings::default();
        let prefix = settings.annotation_prefix.clone();
        let identities = Identities::new(
            Some(cluster.client()),
            prefix.clone(),
            grace,
            metrics.clone(),
        );
        let identities = Arc::new(identities);
        identities.sources.accounts.expect();
        let watching = watch::accounts(
            cluster.client(),
            Arc::clone(&identities),
            prefix,
            metrics.clone(),
        );
        tokio::spawn(watching);
        let files = PairFiles {
            cert: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        let chain = Arc::new(Served::default());
        let every = Duration::from_millis(20);
        let following = follow_files(files, every, Arc::clone(&chain), metrics.clone());
        tokio::spawn(following.await.unwrap());
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(ListenConfig {
            address: local,
            metrics: Some(local),
            policy: TlsPolicy::default(),
            shutdown_delay: Duration::ZERO,
            client_ca,
            limits: limits(every),
        })
        .unwrap();
        let (address, admin) = (server.address().unwrap(), server.metrics_address().unwrap());
        let webhook = Webhook {
            settings: Arc::new(settings),
            identities: Arc::clone(&identities),
            metrics,
            notices: None,
            state: Arc::new(State::default()),
            debugging: true,
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            server
                .run(webhook, &chain, Box::pin(stopped))
                .await
                .unwrap()
        });
        Self {
            address,
            admin,
            identities,
            stop: Some(stop),
            task,
        }
    }

    /// Tells it to stop; whether everything was answered.
    pub(crate) async fn stop(&mut self) -> bool {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.task).await.unwrap()
    }

    /// One request over TLS; any certificate will do.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, String) {
        let (stream, _) = self.handshake().await;
        exchange(stream, request).await.unwrap()
    }

    /// A TLS connection, and the certificate that it was greeted with.
    pub(crate) async fn handshake(
        &self,
    ) -> (
        tokio_rustls::client::TlsStream<TcpStream>,
        rustls::pki_types::CertificateDer<'static>,
    ) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let stream = tls_to(stream, &[]).await.unwrap();
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0]
            .clone()
            .into_owned();
        (stream, certificate)
    }

    pub(crate) async fn page(&self, path: &str) -> (StatusCode, String) {
        self.page_of("localhost", path).await
    }

    /// A page of the metrics port, asked for under a name.
    pub(crate) async fn page_of(&self, host: &str, path: &str) -> (StatusCode, String) {
        let stream = TcpStream::connect(self.admin).await.unwrap();
        let request = Request::get(path)
            .header("host", host)
            .body(Full::default());
        exchange(stream, request.unwrap()).await.unwrap()
    }

    /// Status, operations and warnings for a pod of this service account.
    pub(crate) async fn review(
        &self,
        path: &str,
        account: &str,
    ) -> (StatusCode, Value, Vec<String>) {
        let (namespace, name) = account.split_once('/').unwrap();
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "namespace": namespace, "operation": "CREATE",
            "object": {"spec": {"serviceAccountName": name, "containers": [{"name": "c"}]}}}});
        let (status, text) = self
            .send(post(path, "application/json", review.to_string()))
            .await;
        let Ok(answer) = serde_json::from_str::<Value>(&text) else {
            return (status, Value::Null, vec![text]);
        };
        let response = &answer["response"];
        let operations = response["patch"].as_str().map_or(Value::Null, |text| {
            serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
        });
        let warnings = response["warnings"].as_array().cloned().unwrap_or_default();
        let warnings = warnings.iter().map(|one| one.as_str().unwrap().to_owned());
        (status, operations, warnings.collect())
    }

    /// The role that a pod of this service account gets.
    pub(crate) async fn role(&self, account: &str) -> Option<String> {
        let (_, patch, _) = self.review("/mutate", account).await;
        patch
            .pointer("/1/value/0/value")?
            .as_str()
            .map(str::to_owned)
    }
}

/// TLS with anybody over a connection that is there.
pub(crate) async fn tls_to(
    stream: TcpStream,
    protocols: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut config = client_config().with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

pub(crate) fn client_config()
-> rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anyone::Anyone))
}

pub(crate) fn post(path: &str, kind: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "x")
        .header("content-type", kind)
        .body(Full::new(body.into()))
        .unwrap()
}

/// Status and body of the answer; none when the connection ends instead.
pub(crate) async fn exchange<T>(
    stream: T,
    request: Request<Full<Bytes>>,
) -> Option<(StatusCode, String)>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.ok()?;
    let status = response.status();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8(body.to_vec()).unwrap()))
}

pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let start = Instant::now();
    while !ask().await {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A client that trusts anybody: these tests look at who answers, the ones of the certificates at whom to trust.
mod anyone {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub(super) struct Anyone;

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _name: &ServerName<'_>,
            _ocsp: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![
                SignatureScheme::ECDSA_NISTP256_SHA256,
                SignatureScheme::ED25519,
                SignatureScheme::RSA_PSS_SHA256,
            ]
        }
    }
}
