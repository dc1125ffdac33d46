//! The page without details, for everybody: whether the endpoint is well, and since when it is not. It names no issuer
//! (there may be others' beside yours), no key and no error, and costs the same however many issuers there are.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use jiff::Timestamp;
use maud::html;

use super::page::{POLICY, document};
use super::words::{date, time};
use crate::serve::Metrics;
use crate::serve::routes::Answer;
use crate::serve::site::Site;

/// Where it stands, unless an issuer's document has this path.
pub(in crate::serve) const PATH: &str = "/status";

/// Answers GET and HEAD. The status is 503 while no issuer is served.
pub(in crate::serve) fn answer(site: &Site, metrics: &Metrics, method: &Method) -> Answer {
    if method != Method::GET && method != Method::HEAD {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let (up, page) = rendered(site, metrics, Timestamp::now());
    let length = page.len();
    let body = if method == Method::HEAD {
        Bytes::new()
    } else {
        page
    };
    let mut answer = Response::new(Full::new(body));
    if !up {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=5"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    if method == Method::HEAD {
        headers.insert(http::header::CONTENT_LENGTH, length.into());
    }
    answer
}

/// The page of the last few seconds: counting ten thousand issuers for each request would be an invitation.
fn rendered(site: &Site, metrics: &Metrics, now: Timestamp) -> (bool, Bytes) {
    let kept = metrics.board().summary();
    let second = now.as_second();
    if now.as_second() < kept.until.load(Ordering::Relaxed) {
        return kept
            .page
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
    }
    let (up, all) = site.up();
    let expired = metrics.certificate_expiry().filter(|expiry| *expiry <= now);
    let well = up == all && expired.is_none() && !metrics.is_draining();
    let body = html! {
        h1 { "OIDC issuer endpoint" }
        @if well {
            div .verdict.good { "All is well." }
        } @else if up > 0 {
            div .verdict.warn { "Partly in trouble." }
        } @else {
            div .verdict.bad { "Not available." }
        }
        dl {
            dt { "issuers served" } dd { (up) " of " (all) }
            @if let Some(expiry) = metrics.certificate_expiry() {
                dt { "certificate expires" } dd { (date(expiry)) }
            }
            dt { "as of" } dd { (time(now)) }
        }
    };
    let page = (up > 0, Bytes::from(document("OIDC issuer endpoint", &body)));
    *kept.page.lock().unwrap_or_else(PoisonError::into_inner) = page.clone();
    kept.until
        .store(second.saturating_add(KEPT_SECONDS), Ordering::Relaxed);
    page
}

/// What was rendered last.
#[derive(Debug, Default)]
pub(super) struct Summary {
    until: AtomicI64,
    page: Mutex<(bool, Bytes)>,
}

const KEPT_SECONDS: i64 = 5;
