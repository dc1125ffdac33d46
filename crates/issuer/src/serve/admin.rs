//! The admin pages: plain HTTP on a listener of their own, so that a flood on the public port hides nothing and
//! metrics are not public.
//!
//! - `/`: the status page, for people.
//! - `/livez`: 200 while the process answers at all.
//! - `/readyz`: 200 when at least one issuer is served, 503 otherwise and during a drain; the body says which.
//! - `/metrics`: text in the format of `OpenMetrics`.

use std::convert::Infallible;
use std::pin::Pin;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use irsa_endpoint::{Asker, Responder};

use super::routes::Answer;
use super::status::{self, POLICY, View};
use super::{Metrics, SiteHandle};

/// Answers on the admin listener.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) site: SiteHandle,
    pub(super) metrics: Metrics,
}

impl Responder for Admin {
    type Answer = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn respond(&self, request: Request<Incoming>, _asker: Asker) -> Self::Answer {
        let admin = self.clone();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        Box::pin(async move {
            let mut answer = admin.page(&method, &path).await;
            if method == Method::HEAD {
                *answer.body_mut() = Full::default();
            }
            Ok(answer)
        })
    }
}

impl Admin {
    async fn page(&self, method: &Method, path: &str) -> Answer {
        let known = matches!(path, "/" | "/livez" | "/readyz" | "/metrics");
        if known && method != Method::GET && method != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            "/" => self.status().await,
            "/livez" => text(StatusCode::OK, "ok\n".into()),
            "/readyz" => self.ready(),
            "/metrics" => self.scrape().await,
            _ => text(
                StatusCode::NOT_FOUND,
                "try /, /livez, /readyz or /metrics\n".into(),
            ),
        }
    }

    fn ready(&self) -> Answer {
        let site = self.site.read();
        let (up, all) = site.up();
        let problems: String = site
            .issuers()
            .iter()
            .filter_map(|issuer| {
                issuer
                    .problem
                    .as_ref()
                    .map(|why| format!("{}: {why}\n", issuer.url))
            })
            .take(MAX_PROBLEMS)
            .collect();
        let (status, word) = if self.metrics.is_draining() {
            (StatusCode::SERVICE_UNAVAILABLE, "shutting down")
        } else if up == 0 {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        } else {
            (StatusCode::OK, "ok")
        };
        text(
            status,
            format!("{word}: {up} of {all} issuers up\n{problems}"),
        )
    }

    /// Beside the request tasks too: it reads every issuer once.
    async fn status(&self) -> Answer {
        let (site, metrics) = (self.site.current(), self.metrics.clone());
        let render = move || status::render(&View::of(&site, &metrics));
        let Ok(body) = tokio::task::spawn_blocking(render).await else {
            let body = "the status page cannot be rendered\n".into();
            return text(StatusCode::INTERNAL_SERVER_ERROR, body);
        };
        let mut answer = text(StatusCode::OK, body);
        let headers = answer.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Ok(policy) = HeaderValue::from_str(&POLICY) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    /// Thousands of issuers make megabytes: rendered beside the request tasks, not among them.
    async fn scrape(&self) -> Answer {
        let metrics = self.metrics.clone();
        let Ok(body) = tokio::task::spawn_blocking(move || metrics.render()).await else {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be rendered\n".into(),
            );
        };
        let mut answer = text(StatusCode::OK, body);
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
        answer
    }
}

fn text(status: StatusCode, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// A probe's log shows a few lines.
const MAX_PROBLEMS: usize = 20;
