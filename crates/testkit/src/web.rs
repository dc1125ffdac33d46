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
use tokio::net::TcpListener;
use tokio::sync::oneshot;

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

/// A running server; it stops when this is dropped.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Web {
    /// Starts one. Answers come from `answer`, one request after the other.
    ///
    /// # Panics
    ///
    /// When no port of loopback can be had.
    #[expect(clippy::expect_used, reason = "a test may panic")]
    pub fn start(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
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
                    () = serve(listener, Arc::new(answer)) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: told.recv().expect("the server starts"),
            _stop: stop,
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve<F>(listener: TcpListener, answer: Arc<F>)
where
    F: Fn(Request) -> Answer + Send + Sync + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let answer = Arc::clone(&answer);
        let service = service_fn(move |request| respond(Arc::clone(&answer), request));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
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
