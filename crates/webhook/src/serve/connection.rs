//! One connection: TLS, then HTTP/2 or HTTP/1.1, bounded in time at every step.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::routes::Webhook;

/// What answers.
#[derive(Clone, Debug)]
pub(super) enum Page {
    /// The API server's side.
    Webhook(Webhook),
    /// Prometheus's side.
    Metrics(Webhook),
}

impl Page {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match self {
            Self::Webhook(webhook) => webhook.answer(request).await,
            Self::Metrics(webhook) => webhook.answer_admin(&request),
        }
    }

    fn count(&self, change: i64) {
        if let Self::Webhook(webhook) = self {
            webhook.metrics.connection(change);
        }
    }
}

/// Serves one connection until it ends, is silent for too long, or everything is to end.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    page: Page,
    finishing: watch::Receiver<bool>,
) {
    let _counted = Counted::new(page.clone());
    let Some(acceptor) = tls else {
        return speak_h1(stream, page, finishing).await;
    };
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            speak_h2(stream, page, finishing).await;
        }
        Ok(Ok(stream)) => speak_h1(stream, page, finishing).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// Also when the connection's task panics or is dropped.
struct Counted(Page);

impl Counted {
    fn new(page: Page) -> Self {
        page.count(1);
        Self(page)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count(-1);
    }
}

async fn speak_h1<T>(io: T, page: Page, finishing: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    let requests = Arc::new(AtomicU64::new(0));
    let service = service(page, &requests);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also the time between two requests: API servers keep connections for 90 s and make new ones at will.
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(io), service_fn(service));
    drive(
        connection,
        http1::Connection::graceful_shutdown,
        finishing,
        &requests,
    )
    .await;
}

async fn speak_h2<T>(io: T, page: Page, finishing: watch::Receiver<bool>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    let requests = Arc::new(AtomicU64::new(0));
    let service = service(page, &requests);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN)
        .serve_connection(TokioIo::new(io), service_fn(service));
    drive(
        connection,
        http2::Connection::graceful_shutdown,
        finishing,
        &requests,
    )
    .await;
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// A request under way; also when the client takes it back.
struct Flight(Arc<AtomicU64>);

impl Flight {
    fn new(requests: Arc<AtomicU64>) -> Self {
        requests.fetch_add(BEGUN, Ordering::Relaxed);
        Self(requests)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.fetch_sub(BEGUN - 1, Ordering::Relaxed);
    }
}

/// Counts what is under way and what has ended, so that silence can be told from work.
fn service(
    page: Page,
    requests: &Arc<AtomicU64>,
) -> impl Fn(Request<Incoming>) -> Answering + use<> {
    let requests = Arc::clone(requests);
    move |request| {
        let (page, requests) = (page.clone(), Arc::clone(&requests));
        Box::pin(async move {
            let _flight = Flight::new(requests);
            Ok(page.answer(request).await)
        })
    }
}

/// Polls a connection; tells it to finish when everything is to end, or when it was silent between two looks.
async fn drive<C>(
    connection: C,
    finish: impl Fn(Pin<&mut C>),
    mut finishing: watch::Receiver<bool>,
    requests: &AtomicU64,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let mut seen = None;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = told(&mut finishing) => {
                finish(connection.as_mut());
                break connection.as_mut().await;
            }
            () = sleep(IDLE) => {
                let now = requests.load(Ordering::Relaxed);
                let idle = now < BEGUN && seen == Some(now);
                seen = Some(now);
                if idle {
                    finish(connection.as_mut());
                    drop(timeout(HANDSHAKE, connection.as_mut()).await);
                    return;
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Waits until everything is to end.
pub(super) async fn told(finishing: &mut watch::Receiver<bool>) {
    drop(finishing.wait_for(|finish| *finish).await);
}

/// Above it the requests under way, below it those that have ended: enough for millennia.
const BEGUN: u64 = 1 << 48;
const HANDSHAKE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_mins(2);
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(20);
/// Go's default.
const MAX_STREAMS: u32 = 250;
