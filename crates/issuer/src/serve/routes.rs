//! Request in, response out: the whole public surface, without a socket.
//!
//! - Exact path match; the query is ignored, as kube-apiserver does. Nothing comes from the `Host` header, nothing
//!   redirects, no request body is read: a request that brings one is answered and its connection closed.
//! - GET and HEAD serve; OPTIONS answers a browser's preflight with 204 so that `If-None-Match`, which is not a
//!   CORS-safelisted header, may be sent from a page; every other method is 405.
//! - Errors say `no-store`: RFC 9111 lets a cache keep a plain 404 for as long as it likes, and the 404 of a new
//!   issuer, fetched once too early, would outlive its cause. Documents never say so.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Body;

use super::site::{Site, Status, Target};
use super::{Document, Metrics, status};

/// The body type of every response: all of them are in memory.
pub(super) type Answer = Response<Full<Bytes>>;

/// Answers one request from this site and counts it.
pub(super) fn answer<B: Body>(
    site: &Site,
    metrics: &Metrics,
    request: &Request<B>,
    last: bool,
) -> Answer {
    let mut answer = choose(site, metrics, request);
    let ends = last || !request.body().is_end_stream();
    if ends && request.version() < Version::HTTP_2 {
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn choose<B>(site: &Site, metrics: &Metrics, request: &Request<B>) -> Answer {
    let Some(route) = site.route(request.uri().path()) else {
        if request.uri().path() == status::PUBLIC_PATH && metrics.board().has_public_summary() {
            return status::public_answer(site, metrics, request.method());
        }
        metrics.count_unknown_path();
        return error(StatusCode::NOT_FOUND, NOT_FOUND, request.method(), []);
    };
    let count = |status| route.counter(status).fetch_add(1, Ordering::Relaxed);
    let method = request.method();
    let reads = method == Method::GET || method == Method::HEAD;
    match &route.target {
        _ if method == Method::OPTIONS => {
            count(Status::NoContent);
            preflight()
        }
        _ if !reads => {
            count(Status::MethodNotAllowed);
            error(
                StatusCode::METHOD_NOT_ALLOWED,
                NOT_ALLOWED,
                method,
                [(ALLOW, METHODS)],
            )
        }
        Target::Unavailable => {
            count(Status::Unavailable);
            let retry = [(RETRY_AFTER, RETRY_SECONDS)];
            error(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, method, retry)
        }
        Target::Document(document) if is_known(document, request.headers()) => {
            count(Status::NotModified);
            not_modified(document)
        }
        Target::Document(document) => {
            count(Status::Ok);
            whole(document, method)
        }
    }
}

fn is_known(document: &Document, headers: &HeaderMap) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|value| document.matches(value.as_bytes()))
}

fn whole(document: &Document, method: &Method) -> Answer {
    let body = if method == Method::HEAD {
        Bytes::new()
    } else {
        document.body().clone()
    };
    let mut response = Response::new(Full::new(body));
    *response.headers_mut() = document.headers();
    if method == Method::HEAD {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, document.body().len().into());
    }
    response
}

fn not_modified(document: &Document) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = document.cache_headers();
    response
}

fn preflight() -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(METHODS),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("if-none-match"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn error<const N: usize>(
    status: StatusCode,
    body: &'static str,
    method: &Method,
    more: [(HeaderName, &'static str); N],
) -> Answer {
    let shown = if method == Method::HEAD { "" } else { body };
    let mut response = Response::new(Full::new(Bytes::from_static(shown.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if method == Method::HEAD {
        headers.insert(CONTENT_LENGTH, body.len().into());
    }
    for (name, value) in more {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const METHODS: &str = "GET, HEAD";
/// The reload interval of key files is of this order; asking sooner finds the same.
const RETRY_SECONDS: &str = "30";
// The bodies are fixed: an echoed path would be somebody else's text under our name.
const NOT_FOUND: &str = r#"{"error":"not_found","message":"no document has this path"}"#;
const NOT_ALLOWED: &str =
    r#"{"error":"method_not_allowed","message":"documents can only be read"}"#;
const UNAVAILABLE: &str =
    r#"{"error":"unavailable","message":"this issuer has no documents to serve right now"}"#;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use irsa_core::documents::DocumentName;

    use super::super::ServedIssuer;
    use super::*;

    const PATH: &str = "/prod/keys.json";
    const TAG: &str = "\"3ec66db0e7e7f3a2b2d3b1e5d1b3e1d0\"";

    fn site() -> Site {
        let body = b"{\"keys\":[]}".to_vec();
        let path = PATH.to_owned();
        let document = Document::new(
            DocumentName::Jwks,
            path.clone(),
            body,
            Duration::from_mins(5),
        )
        .unwrap();
        let up = ServedIssuer {
            issuer: "https://a/prod".into(),
            documents: Ok(vec![document]),
            paths: vec![path],
            keys: Vec::new(),
        };
        let down = ServedIssuer {
            issuer: "https://a/down".into(),
            documents: Err("keys/a.pub holds no usable key".into()),
            paths: vec!["/down/keys.json".into()],
            keys: Vec::new(),
        };
        Site::new(vec![up, down]).unwrap()
    }

    fn ask(method: &str, target: &str, headers: &[(&str, &str)]) -> (u16, Vec<String>, Bytes) {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let (parts, body) = answer(&site(), &Metrics::new(), &request, false).into_parts();
        let headers = parts.headers.iter();
        let mut headers: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let body = runtime.block_on(body.collect()).unwrap().to_bytes();
        (parts.status.as_u16(), headers, body)
    }

    #[test]
    fn a_document_is_served_with_its_headers_and_no_others() {
        let (status, headers, body) = ask("GET", PATH, &[("host", "evil.example")]);
        assert_eq!(status, 200);
        let etag = document_tag();
        assert_eq!(
            headers,
            [
                "access-control-allow-origin: *",
                "cache-control: public, max-age=300",
                "content-type: application/jwk-set+json",
                &format!("etag: {etag}"),
                "x-content-type-options: nosniff",
            ]
        );
        assert_eq!(body, "{\"keys\":[]}");
    }

    #[test]
    fn a_known_tag_is_answered_by_304_without_content_type() {
        let (status, headers, body) = ask("GET", PATH, &[("if-none-match", &document_tag())]);
        assert_eq!((status, body.len()), (304, 0));
        assert_eq!(
            headers,
            [
                "access-control-allow-origin: *",
                "cache-control: public, max-age=300",
                &format!("etag: {}", document_tag()),
                "x-content-type-options: nosniff",
            ]
        );
        let twice = [("if-none-match", TAG), ("if-none-match", "*")];
        assert_eq!(ask("HEAD", PATH, &twice).0, 304);
        assert_eq!(ask("GET", PATH, &[("if-none-match", TAG)]).0, 200);
    }

    #[test]
    fn head_has_the_length_and_no_body() {
        let (status, headers, body) = ask("HEAD", PATH, &[]);
        assert_eq!((status, body.len()), (200, 0));
        assert!(
            headers.contains(&"content-length: 11".to_owned()),
            "{headers:?}"
        );
        let (status, headers, body) = ask("HEAD", "/x", &[]);
        assert_eq!((status, body.len()), (404, 0));
        assert!(
            headers.contains(&format!("content-length: {}", NOT_FOUND.len())),
            "{headers:?}"
        );
    }

    #[test]
    fn paths_match_exactly_and_without_the_query() {
        for (target, status) in [
            ("/prod/keys.json?x=1", 200),
            ("http://other.example/prod/keys.json", 200),
            ("/prod/keys.json/", 404),
            ("/prod//keys.json", 404),
            ("/prod/../prod/keys.json", 404),
            ("/prod/%6beys.json", 404),
            ("/PROD/keys.json", 404),
            ("/", 404),
            ("*", 404),
        ] {
            assert_eq!(ask("GET", target, &[]).0, status, "{target}");
        }
    }

    #[test]
    fn errors_are_json_that_no_cache_keeps() {
        for (method, target, status, more) in [
            ("GET", "/x", 404, None),
            ("DELETE", PATH, 405, Some("allow: GET, HEAD")),
            ("POST", "/down/keys.json", 405, Some("allow: GET, HEAD")),
            ("GET", "/down/keys.json", 503, Some("retry-after: 30")),
        ] {
            let (got, headers, body) = ask(method, target, &[]);
            assert_eq!(got, status, "{method} {target}");
            assert!(
                headers.contains(&"cache-control: no-store".to_owned()),
                "{headers:?}"
            );
            assert!(
                headers.contains(&"content-type: application/json".to_owned()),
                "{headers:?}"
            );
            assert!(
                more.is_none_or(|more| headers.contains(&more.to_owned())),
                "{headers:?}"
            );
            assert!(body.starts_with(b"{\"error\":\""), "{body:?}");
            assert!(!body.windows(3).any(|part| part == b".pub"), "{body:?}");
        }
    }

    #[test]
    fn a_preflight_is_answered_on_known_paths_only() {
        let (status, headers, _) = ask("OPTIONS", PATH, &[]);
        assert_eq!(status, 204);
        assert!(headers.contains(&"access-control-allow-methods: GET, HEAD".to_owned()));
        assert_eq!(ask("OPTIONS", "/x", &[]).0, 404);
    }

    #[test]
    fn a_request_with_a_body_is_answered_and_its_connection_closed() {
        let request = Request::builder()
            .uri(PATH)
            .body(Full::new(Bytes::from("x")))
            .unwrap();
        let response = answer(&site(), &Metrics::new(), &request, false);
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().get(CONNECTION).unwrap(), "close");
    }

    fn document_tag() -> String {
        let site = site();
        let Target::Document(document) = &site.route(PATH).unwrap().target else {
            panic!("down")
        };
        String::from_utf8(document.etag().to_vec()).unwrap()
    }
}
