//! One connection's life: TLS if configured, then HTTP/1.1 or HTTP/2, under the eyes of the registry.
//!
//! The protocol is chosen before hyper starts: by ALPN after a TLS handshake, by HTTP/2's preface on plain TCP.
//! hyper's own timers are off. Its header timeout is one timer reset per request and its automatic protocol builder
//! watches neither silent nor half-sent prefaces; the registry's sweep bounds every phase alike.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::registry::{Life, Phase, Slot};
use super::{Limits, Metrics};
use watched::Watched;

mod watched;

/// What answers requests: the public site or the admin pages.
pub(super) trait Responder: Clone + Send + Sync + 'static {
    /// A response, at once or after work elsewhere.
    type Answer: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static;

    /// Answers one request; the `last` one of a connection says so to an HTTP/1.1 client.
    fn respond(&self, request: &Request<Incoming>, last: bool) -> Self::Answer;
}

/// What all connections of one listener share.
#[derive(Clone)]
pub(super) struct Settings<R> {
    pub(super) responder: R,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
}

/// Serves one connection until it ends, errs, or is ordered to end.
pub(super) async fn serve<R: Responder>(stream: TcpStream, slot: Slot, settings: Arc<Settings<R>>) {
    let life = Arc::clone(slot.life());
    if settings.tls.is_some() {
        life.enter(Phase::Handshake);
    }
    life.run(converse(stream, Arc::clone(&life), settings))
        .await;
    drop(slot);
}

async fn converse<R: Responder>(stream: TcpStream, life: Arc<Life>, settings: Arc<Settings<R>>) {
    let Some(acceptor) = settings.tls.clone() else {
        return plain(stream, life, settings).await;
    };
    match acceptor.accept(stream).await {
        Ok(stream) => {
            life.enter(Phase::Opening);
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            if h2 {
                speak_h2(
                    Watched::frames(stream, Bytes::new(), Arc::clone(&life)),
                    life,
                    &settings,
                )
                .await;
            } else {
                speak_h1(
                    Watched::requests(stream, Bytes::new(), Arc::clone(&life)),
                    life,
                    &settings,
                )
                .await;
            }
        }
        Err(error) => {
            settings.metrics.handshake_failed();
            tracing::debug!(%error, "TLS handshake failed");
        }
    }
}

async fn plain<R: Responder>(mut stream: TcpStream, life: Arc<Life>, settings: Arc<Settings<R>>) {
    match sniff(&mut stream, &life).await {
        Ok((Protocol::Http2, seen)) => {
            speak_h2(
                Watched::frames(stream, seen, Arc::clone(&life)),
                life,
                &settings,
            )
            .await;
        }
        Ok((Protocol::Http1, seen)) => {
            speak_h1(
                Watched::requests(stream, seen, Arc::clone(&life)),
                life,
                &settings,
            )
            .await;
        }
        Err(error) => tracing::trace!(%error, "connection ended before a request"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Reads until the bytes are HTTP/2's preface or cannot become it. They stay in front of the connection; a whole
/// small request fits, so that HTTP/1.1 pays no second read for the question.
async fn sniff(stream: &mut TcpStream, life: &Life) -> std::io::Result<(Protocol, Bytes)> {
    let mut seen = Vec::with_capacity(SNIFF_BYTES);
    loop {
        let read = (&mut *stream)
            .take(SNIFF_BYTES as u64)
            .read_buf(&mut seen)
            .await?;
        if seen.starts_with(PREFACE) {
            return Ok((Protocol::Http2, seen.into()));
        }
        if read > 0 && !PREFACE.starts_with(&seen) {
            life.bytes_read();
        }
        if read == 0 || !PREFACE.starts_with(&seen) {
            return Ok((Protocol::Http1, seen.into()));
        }
    }
}

async fn speak_h1<T, R>(io: Watched<T>, life: Arc<Life>, settings: &Settings<R>)
where
    T: AsyncRead + AsyncWrite + Unpin,
    R: Responder,
{
    let service = Watch {
        responder: settings.responder.clone(),
        life: Arc::clone(&life),
    };
    let connection = http1::Builder::new()
        // one copy into one buffer beats a gathering write for documents of this size
        .writev(false)
        .max_buf_size(settings.limits.max_header_bytes.max(MIN_HEADER_BYTES))
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(io), service);
    drive(connection, http1::Connection::graceful_shutdown, &life).await;
}

async fn speak_h2<T, R>(io: Watched<T>, life: Arc<Life>, settings: &Settings<R>)
where
    T: AsyncRead + AsyncWrite + Unpin,
    R: Responder,
{
    let service = Watch {
        responder: settings.responder.clone(),
        life: Arc::clone(&life),
    };
    let header_bytes = settings.limits.max_header_bytes.max(MIN_HEADER_BYTES);
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(settings.limits.max_h2_streams)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(H2_SEND_BUFFER)
        .serve_connection(TokioIo::new(io), service);
    drive(connection, http2::Connection::graceful_shutdown, &life).await;
}

/// Polls a connection and tells it once to finish when that is ordered.
async fn drive<C>(connection: C, finish: impl Fn(Pin<&mut C>), life: &Life)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let mut told = false;
    let ended = poll_fn(|cx| {
        if !told && life.should_finish() {
            told = true;
            finish(connection.as_mut());
        }
        connection.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = ended {
        // clients that vanish or send nonsense are the internet's weather
        tracing::debug!(%error, "connection ended");
    }
}

/// Notes in the connection's life that a request has begun.
#[derive(Clone)]
struct Watch<R> {
    responder: R,
    life: Arc<Life>,
}

impl<R: Responder> Service<Request<Incoming>> for Watch<R> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = R::Answer;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.life.request_began();
        self.responder.respond(&request, !self.life.may_go_on())
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SNIFF_BYTES: usize = 1_024;
/// hyper's minimum for its HTTP/1.1 buffer.
const MIN_HEADER_BYTES: usize = 8_192;
/// Per stream; documents are smaller.
const H2_SEND_BUFFER: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::super::registry::Registry;
    use super::*;

    #[derive(Clone)]
    struct Panics;

    impl Responder for Panics {
        type Answer = Ready<Result<Response<Full<Bytes>>, Infallible>>;

        fn respond(&self, request: &Request<Incoming>, _last: bool) -> Self::Answer {
            assert!(request.uri().path() != "/panic", "as asked");
            ready(Ok(Response::new(Full::default())))
        }
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_connection_and_leaves_the_registry() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (limits, metrics) = (Limits::default(), Metrics::new());
        let registry = Registry::new(limits, metrics.clone());
        let settings = Arc::new(Settings {
            responder: Panics,
            tls: None,
            limits,
            metrics,
        });
        for (path, answered) in [("/panic", false), ("/", true)] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let (slot, _) = registry.admit();
            let task = tokio::spawn(serve(stream, slot, Arc::clone(&settings)));
            let request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // a reset is an end too
            client.read_to_end(&mut answer).await.ok();
            assert_eq!(answer.starts_with(b"HTTP/1.1 200 OK"), answered, "{path}");
            assert_eq!(task.await.is_ok(), answered, "{path}");
            let empty = tokio::time::timeout(Duration::from_secs(1), registry.empty());
            assert!(empty.await.is_ok(), "{path}");
        }
    }
}
