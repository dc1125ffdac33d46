//! A document as STS fetches it, with everything about the answer: status, headers, time, whoever signed the
//! certificate. That is judged apart, by [`crate::chain_probe`].

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
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::chain_probe::any_chain;
use crate::relying_party::{FetchError, connect, exchange, server_name};

/// Fetches a URL once, without credentials, and without following redirects. Never fails: what went wrong is the
/// answer.
pub async fn look(url: &str, limit: Duration) -> Look {
    let start = Instant::now();
    let outcome = tokio::time::timeout(limit, fetch(url))
        .await
        .unwrap_or_else(|_| {
            Err(NoAnswer {
                kind: NoAnswerKind::Timeout,
                reason: format!("nothing within {} s", limit.as_secs_f64()),
            })
        });
    Look {
        url: url.to_owned(),
        millis: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        outcome,
    }
}

async fn fetch(text: &str) -> Result<Answer, NoAnswer> {
    let url = Url::parse(text).map_err(|error| no_answer(NoAnswerKind::Name, &error))?;
    resolve(&url).await?;
    let stream = connect(&url)
        .await
        .map_err(|error| no_answer(NoAnswerKind::Connection, &error))?;
    let response = if url.scheme() == "https" {
        secure(stream, &url, text).await?
    } else {
        let loopback = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        if !loopback {
            let error = io::Error::other("plain http is for loopback, and this host is elsewhere");
            return Err(no_answer(NoAnswerKind::Connection, &error));
        }
        exchange(stream, &url, text).await.map_err(broken)?
    };
    read(response).await
}

/// That a name has no address is told from a host that does not answer.
async fn resolve(url: &Url) -> Result<(), NoAnswer> {
    let Some(Host::Domain(name)) = url.host() else {
        return Ok(());
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let fail = |error: &dyn std::error::Error| no_answer(NoAnswerKind::Name, error);
    let mut found = lookup_host((name, port))
        .await
        .map_err(|error| fail(&error))?;
    match found.next() {
        Some(_) => Ok(()),
        None => Err(fail(&io::Error::other("no address"))),
    }
}

async fn secure(stream: TcpStream, url: &Url, text: &str) -> Result<Response<Incoming>, NoAnswer> {
    let fail = |error: io::Error| no_answer(NoAnswerKind::Tls, &error);
    let name = server_name(url).map_err(fail)?;
    let config = any_chain().map_err(fail)?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(fail)?;
    exchange(stream, url, text).await.map_err(broken)
}

async fn read(response: Response<Incoming>) -> Result<Answer, NoAnswer> {
    let headers = response.headers();
    let mut answer = Answer {
        status: response.status().as_u16(),
        location: text(headers, &LOCATION),
        content_type: text(headers, &CONTENT_TYPE),
        cache_control: text(headers, &CACHE_CONTROL),
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
