//! The least a hyper server can do with one document in memory: the baseline of the serving benchmark.
//!
//! `bare_hyper ADDR [FILE]` answers every request with the file (default: 1 KB of JSON) under the headers that
//! `irsa serve` sends, 304 when `If-None-Match` is the tag, on a `current_thread` runtime. No routes, limits,
//! timeouts, metrics or TLS: what `irsa serve` costs beyond this is our own.

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const TAG: &str = "\"00112233445566778899aabbccddeeff\"";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: bare_hyper ADDR [FILE]")?;
    let document = match arguments.next() {
        Some(file) => Bytes::from(std::fs::read(file)?),
        None => Bytes::from(format!("{{\"keys\":[\"{}\"]}}", "k".repeat(1_011))),
    };
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let document = document.clone();
        let service = service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(answer(&document, &request)))
        });
        tokio::spawn(async move {
            let mut connection = http1::Builder::new();
            connection.writev(false);
            // a client that goes away is no news here
            connection
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

fn answer(document: &Bytes, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let known = request
        .headers()
        .get(IF_NONE_MATCH)
        .is_some_and(|tag| tag == TAG);
    let body = if known {
        Bytes::new()
    } else {
        document.clone()
    };
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    headers.insert(ETAG, HeaderValue::from_static(TAG));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/jwk-set+json"),
        );
    }
    response
}
