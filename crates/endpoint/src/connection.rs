//! One connection's life: TLS if configured, then HTTP/1.1 or HTTP/2, under the eyes of the registry.
//!
//! The protocol is chosen before hyper starts: by ALPN after a TLS handshake, by HTTP/2's preface on plain TCP.
//! hyper's own timers are off. Its header timeout is one timer reset per request and its automatic protocol builder
//! watches neither silent nor half-sent prefaces; the registry's sweep bounds every phase alike.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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

use crate::limits::Limits;
use crate::observer::Observer;
use crate::peer::Peer;
use crate::registry::{Flight, Life, Phase, Slot};
use watched::Watched;

pub use host::Hosts;

mod host;
mod watched;

/// Answers requests.
pub trait Responder: Clone + Send + Sync + 'static {
    /// A response, at once or after work elsewhere.
    type Answer: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + Unpin + 'static;

    /// Answers one request. What its body costs in time and memory is the responder's to bound.
    fn respond(&self, request: Request<Incoming>, asker: Asker) -> Self::Answer;
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Where from.
    pub peer: Peer,
    /// Whether TLS has verified a certificate of the client.
    pub verified: bool,
    /// Whether this is the last request of the connection: an HTTP/1.1 response says so.
    pub last: bool,
}

/// What all connections of one listener share.
pub(crate) struct Settings<R> {
    pub(crate) responder: R,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) limits: Limits,
    pub(crate) observer: Arc<dyn Observer>,
    /// Whether requests are answered only to the names of loopback.
    pub(crate) only_loopback: bool,
}

/// Serves one connection until it ends, errs, or is ordered to end.
pub(crate) async fn serve<R: Responder>(stream: TcpStream, slot: Slot, settings: Arc<Settings<R>>) {
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
            let session = stream.get_ref().1;
            let h2 = session.alpn_protocol() == Some(b"h2");
            let watch = Watch::new(&settings, &life, session.peer_certificates().is_some());
            if h2 {
                let io = Watched::frames(stream, Bytes::new(), life);
                speak_h2(io, watch, &settings).await;
            } else {
                let io = Watched::requests(stream, Bytes::new(), life);
                speak_h1(io, watch, &settings).await;
            }
        }
        Err(error) => {
            settings.observer.handshake_failed();
            tracing::debug!(%error, "TLS handshake failed");
        }
    }
}

async fn plain<R: Responder>(mut stream: TcpStream, life: Arc<Life>, settings: Arc<Settings<R>>) {
    let watch = Watch::new(&settings, &life, false);
    match sniff(&mut stream, &life).await {
        Ok((Protocol::Http2, seen)) => {
            let io = Watched::frames(stream, seen, life);
            speak_h2(io, watch, &settings).await;
        }
        Ok((Protocol::Http1, seen)) => {
            let io = Watched::requests(stream, seen, life);
            speak_h1(io, watch, &settings).await;
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

async fn speak_h1<T, R>(io: Watched<T>, watch: Watch<R>, settings: &Settings<R>)
where
    T: AsyncRead + AsyncWrite + Unpin,
    R: Responder,
{
    let life = Arc::clone(&watch.life);
    let connection = http1::Builder::new()
        // one copy into one buffer beats a gathering write for documents of this size
        .writev(false)
        .max_buf_size(settings.limits.max_header_bytes.max(MIN_HEADER_BYTES))
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(io), watch);
    drive(connection, http1::Connection::graceful_shutdown, &life).await;
}

async fn speak_h2<T, R>(io: Watched<T>, watch: Watch<R>, settings: &Settings<R>)
where
    T: AsyncRead + AsyncWrite + Unpin,
    R: Responder,
{
    let life = Arc::clone(&watch.life);
    let header_bytes = u32::try_from(settings.limits.max_header_bytes).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(settings.limits.max_h2_streams)
        .max_header_list_size(header_bytes)
        .initial_connection_window_size(H2_WINDOW)
        .initial_stream_window_size(H2_WINDOW)
        .max_send_buf_size(H2_SEND_BUFFER)
        .serve_connection(TokioIo::new(io), watch);
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

/// Notes in the connection's life when a request begins and ends.
struct Watch<R> {
    responder: R,
    life: Arc<Life>,
    verified: bool,
    only_loopback: bool,
}

impl<R: Responder> Watch<R> {
    fn new(settings: &Settings<R>, life: &Arc<Life>, verified: bool) -> Self {
        Self {
            responder: settings.responder.clone(),
            life: Arc::clone(life),
            verified,
            only_loopback: settings.only_loopback,
        }
    }
}

impl<R: Responder> Service<Request<Incoming>> for Watch<R> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering<R::Answer>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let flight = self.life.request_began();
        if let Err(refusal) = host::check(&request, self.only_loopback) {
            return Answering {
                answer: Work::Refused(Some(refusal.answer(&request))),
                flight: Some(flight),
            };
        }
        let asker = Asker {
            peer: self.life.peer(),
            verified: self.verified,
            last: !self.life.may_go_on(),
        };
        Answering {
            answer: Work::Answer(self.responder.respond(request, asker)),
            flight: Some(flight),
        }
    }
}

/// A response on its way. HTTP/2 runs each in a task of its own, and drops it when the client takes its request back.
struct Answering<A> {
    answer: Work<A>,
    flight: Option<Flight>,
}

enum Work<A> {
    Answer(A),
    /// What is answered without asking anybody; taken once.
    Refused(Option<Response<Full<Bytes>>>),
}

impl<A> Future for Answering<A>
where
    A: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Unpin,
{
    type Output = A::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        let answer = match &mut self.answer {
            Work::Answer(answer) => ready!(Pin::new(answer).poll(cx)),
            Work::Refused(refused) => Ok(refused.take().unwrap_or_default()),
        };
        if let Some(flight) = self.flight.take() {
            flight.answered();
        }
        Poll::Ready(answer)
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SNIFF_BYTES: usize = 1_024;
/// hyper's minimum for its HTTP/1.1 buffer.
const MIN_HEADER_BYTES: usize = 8_192;
/// Per stream; what is answered is smaller.
const H2_SEND_BUFFER: usize = 64 * 1_024;
/// What a connection, and each stream of it, may send before somebody reads: RFC 9113's least is enough next door,
/// and the default of hyper is a megabyte for everybody who connects.
const H2_WINDOW: u32 = 65_535;

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::registry::Registry;

    #[derive(Clone)]
    struct Panics;

    impl Responder for Panics {
        type Answer = Ready<Result<Response<Full<Bytes>>, Infallible>>;

        fn respond(&self, request: Request<Incoming>, _asker: Asker) -> Self::Answer {
            assert!(request.uri().path() != "/panic", "as asked");
            ready(Ok(Response::new(Full::default())))
        }
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_connection_and_leaves_the_registry() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let limits = Limits::default();
        let registry = Registry::new(limits, Arc::new(()));
        let settings = Arc::new(Settings {
            responder: Panics,
            tls: None,
            limits,
            observer: Arc::new(()),
            only_loopback: false,
        });
        for (path, answered) in [("/panic", false), ("/", true)] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let (slot, _) = registry.admit(IpAddr::from(Ipv4Addr::LOCALHOST).into());
            let task = tokio::spawn(serve(stream, slot, Arc::clone(&settings)));
            let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
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
