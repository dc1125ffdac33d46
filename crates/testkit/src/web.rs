//! A small HTTP server on loopback, on a thread of its own, for doubles of outside services.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A request, read whole.
#[derive(Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What is answered.
#[derive(Debug, Default)]
pub struct Answer {
    /// The status; 0 closes the connection without an answer.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer without headers.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }
}

impl Request {
    /// A header as text; empty without.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A certificate for localhost and its CA.
#[derive(Debug)]
pub struct Certificate {
    /// The CA in PEM: what clients trust.
    pub ca: String,
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Certificate {
    /// Makes one; leaf and CA are sent.
    ///
    /// # Panics
    ///
    /// When there is no randomness.
    #[expect(clippy::unwrap_used, reason = "a test may panic")]
    pub fn make() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names).unwrap();
        let leaf = leaf.signed_by(&key, &ca).unwrap();
        Self {
            ca: ca.pem(),
            chain: vec![leaf.der().clone(), ca.der().clone()],
            key: key.serialize_der(),
        }
    }

    #[expect(clippy::unwrap_used, reason = "a test may panic")]
    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(self.key.clone().into());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    secure: bool,
    _stop: oneshot::Sender<()>,
}

impl Web {
    /// Starts one. Answers come from `answer`, one request after the other.
    ///
    /// # Panics
    ///
    /// When no port of loopback can be had.
    pub fn start(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(None, answer)
    }

    /// Starts one behind TLS, if there is a certificate.
    ///
    /// # Panics
    ///
    /// When no port of loopback can be had.
    #[expect(clippy::expect_used, reason = "a test may panic")]
    pub fn start_with(
        certificate: Option<&Certificate>,
        answer: impl Fn(Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let tls = certificate.map(Certificate::acceptor);
        let secure = tls.is_some();
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("an address");
                tell.send(address).expect("somebody waits");
                tokio::select! {
                    () = serve(listener, tls, Arc::new(answer)) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: told.recv().expect("the server starts"),
            secure,
            _stop: stop,
        }
    }

    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT` behind TLS.
    pub fn url(&self) -> String {
        if self.secure {
            format!("https://localhost:{}", self.address.port())
        } else {
            format!("http://{}", self.address)
        }
    }
}

async fn serve<F>(listener: TcpListener, tls: Option<TlsAcceptor>, answer: Arc<F>)
where
    F: Fn(Request) -> Answer + Send + Sync + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, tls) = (Arc::clone(&answer), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => speak(stream, answer).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        speak(stream, answer).await;
                    }
                }
            }
        });
    }
}

async fn speak<F>(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, answer: Arc<F>)
where
    F: Fn(Request) -> Answer,
{
    let service = service_fn(move |request| respond(Arc::clone(&answer), request));
    let connection = hyper::server::conn::http1::Builder::new();
    // A client that goes away is no matter of the double's.
    drop(
        connection
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// The connection was to be closed.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed by the double")
    }
}

impl std::error::Error for Closed {}

impl From<Infallible> for Closed {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn respond<F>(
    answer: Arc<F>,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Closed>
where
    F: Fn(Request) -> Answer,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let answered = answer(Request {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body,
    });
    if answered.status == 0 {
        return Err(Closed);
    }
    let mut response = Response::builder().status(answered.status);
    for (name, value) in answered.headers {
        response = response.header(name, value);
    }
    response
        .body(Full::new(answered.body.into()))
        .map_err(|_| Closed)
}
