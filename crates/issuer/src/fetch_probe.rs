//! A document as STS fetches it, with everything about the answer: status, headers, time, and the certificate of the
//! connection that brought it, whoever signed that: it is judged as [`crate::chain_probe`] judges.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderName, LOCATION};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use irsa_core::diagnosis::facts::{Answer, Look, NoAnswer, NoAnswerKind};
use irsa_core::explain::on_one_line;
use irsa_core::jwks::MAX_DOCUMENT_BYTES;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use crate::chain_probe::{self, Probe, ProbeError, any_chain, host_and_port};
use crate::relying_party::{FetchError, connect, exchange, server_name};

/// What one connection showed.
#[derive(Debug)]
pub struct Fetched {
    /// The answer, or why there is none.
    pub look: Look,
    /// The server.
    pub server: Option<Server>,
}

/// A server that was asked over TLS.
#[derive(Debug)]
pub struct Server {
    /// Host and port.
    pub name: String,
    /// The chain of the connection that brought the answer, or why none was seen. Another connection may meet another
    /// certificate, where there are several servers behind one name.
    pub tls: Result<Probe, ProbeError>,
}

/// Fetches a URL once, without credentials, and without following redirects. Never fails: what went wrong is the
/// answer.
pub async fn look(url: &str, limit: Duration) -> Fetched {
    let start = Instant::now();
    let parsed = Url::parse(url);
    let mut tls = None;
    let fetch = async {
        match &parsed {
            Ok(parsed) => fetch(parsed, url, &mut tls).await,
            Err(error) => Err(no_answer(NoAnswerKind::Name, error)),
        }
    };
    let outcome = tokio::time::timeout(limit, fetch)
        .await
        .unwrap_or_else(|_| {
            Err(NoAnswer {
                kind: NoAnswerKind::Timeout,
                reason: format!("nothing within {} s", limit.as_secs_f64()),
            })
        });
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let asked = parsed.ok().filter(|parsed| parsed.scheme() == "https");
    let server = asked.map(|asked| {
        let name = host_and_port(&asked);
        let target = name.clone();
        let tls = tls.unwrap_or(Err(ProbeError::Timeout { target, limit }));
        Server { name, tls }
    });
    Fetched {
        look: Look {
            url: url.to_owned(),
            millis,
            outcome,
        },
        server,
    }
}

/// `tls` becomes what is known of the server's certificate as soon as that is known.
async fn fetch(
    url: &Url,
    text: &str,
    tls: &mut Option<Result<Probe, ProbeError>>,
) -> Result<Answer, NoAnswer> {
    let mut fail = |kind, source: io::Error| {
        let answer = no_answer(kind, &source);
        let target = host_and_port(url);
        *tls = Some(Err(ProbeError::Handshake { target, source }));
        answer
    };
    if let Err(error) = resolve(url).await {
        return Err(fail(NoAnswerKind::Name, error));
    }
    let stream = match connect(url).await {
        Ok(stream) => stream,
        Err(error) => return Err(fail(NoAnswerKind::Connection, error)),
    };
    let response = if url.scheme() == "https" {
        let (stream, name) = match secure(stream, url).await {
            Ok(secured) => secured,
            Err(error) => return Err(fail(NoAnswerKind::Tls, error)),
        };
        *tls = Some(chain_probe::sent(stream.get_ref().1, url, &name));
        exchange(stream, url, text).await.map_err(broken)?
    } else {
        let loopback = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if !loopback {
            let error = io::Error::other("plain http is for loopback, and this host is elsewhere");
            return Err(no_answer(NoAnswerKind::Connection, &error));
        }
        exchange(stream, url, text).await.map_err(broken)?
    };
    read(response).await
}

/// That a name has no address is told from a host that does not answer.
async fn resolve(url: &Url) -> io::Result<()> {
    let Some(Host::Domain(name)) = url.host() else {
        return Ok(());
    };
    let port = url.port_or_known_default().unwrap_or(443);
    match lookup_host((name, port)).await?.next() {
        Some(_) => Ok(()),
        None => Err(io::Error::other("no address")),
    }
}

async fn secure(
    stream: TcpStream,
    url: &Url,
) -> io::Result<(TlsStream<TcpStream>, ServerName<'static>)> {
    let name = server_name(url)?;
    let connector = TlsConnector::from(Arc::new(any_chain()?));
    let stream = connector.connect(name.clone(), stream).await?;
    Ok((stream, name))
}

async fn read(response: Response<Incoming>) -> Result<Answer, NoAnswer> {
    let headers = response.headers();
    let mut answer = Answer {
        status: response.status().as_u16(),
        location: text(headers, &LOCATION),
        content_type: text(headers, &CONTENT_TYPE),
        cache_control: lines(headers, &CACHE_CONTROL),
        date: text(headers, &DATE).and_then(|date| instant(&date)),
        body: Vec::new(),
    };
    let mut body = response.into_body();
    while answer.body.len() <= MAX_DOCUMENT_BYTES {
        match body.frame().await {
            Some(Ok(frame)) => answer
                .body
                .extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes)),
            Some(Err(error)) => return Err(no_answer(NoAnswerKind::Broken, &error)),
            None => break,
        }
    }
    answer.body.truncate(MAX_DOCUMENT_BYTES + 1);
    Ok(answer)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.chars().take(300).collect())
}

/// All lines of a field that is a list (RFC 9110, section 5.3).
fn lines(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    let whole = lines.join(", ");
    (!lines.is_empty()).then(|| whole.chars().take(300).collect())
}

/// An HTTP date (RFC 9110, section 5.6.7), in seconds since 1970.
fn instant(date: &str) -> Option<i64> {
    let at = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(at.timestamp().as_second())
}

fn no_answer(kind: NoAnswerKind, error: &dyn std::error::Error) -> NoAnswer {
    NoAnswer {
        kind,
        reason: on_one_line(error),
    }
}

/// The URL is told beside it: only the cause counts.
fn broken(error: FetchError) -> NoAnswer {
    match &error {
        FetchError::Http { source, .. } => no_answer(NoAnswerKind::Broken, &**source),
        other => no_answer(NoAnswerKind::Broken, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read() {
        assert_eq!(instant("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(instant("yesterday"), None);
    }
}
