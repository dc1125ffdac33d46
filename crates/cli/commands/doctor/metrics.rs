//! What `--watch` tells Prometheus, on a small listener of its own.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use irsa_core::diagnosis::{Check, Verdict};
use irsa_core::issuer::IssuerUrl;
use irsa_endpoint::{Asker, Hosts, Limits, Responder, Side, listen_one};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::watch::LONGEST_LOOK;
use crate::report::Failure;

/// Scrapers are few.
const CONNECTIONS: usize = 16;
/// For the header of a request.
const HEADER: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCheck {
    issuer: String,
    check: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVerdict {
    issuer: String,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfIssuer {
    issuer: String,
}

/// The metrics of one watch. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Metrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    issuer: String,
    every: Duration,
    registry: Registry,
    states: Family<OfCheck, Gauge>,
    counts: Family<OfVerdict, Gauge>,
    last: Family<OfIssuer, Gauge>,
    age: Family<OfIssuer, Gauge>,
    millis: Family<OfIssuer, Gauge>,
    runs: Family<OfIssuer, Counter>,
    failed: Family<OfIssuer, Counter>,
    /// When the last look that came to an end began to be known.
    at: Mutex<Times>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    started: Timestamp,
    last: Option<Timestamp>,
}

impl Metrics {
    pub(super) fn new(issuer: &IssuerUrl, every: Duration) -> Self {
        let mut registry = Registry::with_prefix("irsa_doctor");
        let states = Family::default();
        let counts = Family::default();
        let (last, age, millis) = (Family::default(), Family::default(), Family::default());
        let (runs, failed) = (Family::default(), Family::default());
        let help = "Worst answer of a check: 0 ok, 1 not seen, 2 warning, 3 failure";
        registry.register("check_state", help, Family::clone(&states));
        let help = "Checks by their answer";
        registry.register("checks", help, Family::clone(&counts));
        let help = "When the last look ended, in seconds since 1970";
        registry.register("last_run_timestamp_seconds", help, Family::clone(&last));
        let help = "Seconds since the last look ended";
        registry.register("last_run_age_seconds", help, Family::clone(&age));
        let help = "How long the last look took, in milliseconds";
        registry.register("last_run_milliseconds", help, Family::clone(&millis));
        let help = "Looks that came to an end";
        registry.register("runs", help, Family::clone(&runs));
        let help = "Looks that did not";
        registry.register("failed_runs", help, Family::clone(&failed));
        let times = Times {
            started: Timestamp::now(),
            last: None,
        };
        let metrics = Self(Arc::new(Shared {
            issuer: issuer.to_string(),
            every,
            registry,
            states,
            counts,
            last,
            age,
            millis,
            runs,
            failed,
            at: Mutex::new(times),
        }));
        // A counter that was never counted is shown all the same.
        drop(metrics.0.failed.get_or_create(&metrics.of_issuer()));
        metrics
    }

    fn of_issuer(&self) -> OfIssuer {
        OfIssuer {
            issuer: self.0.issuer.clone(),
        }
    }

    /// A look came to an end.
    pub(super) fn ran(&self, checks: &[Check], now: Timestamp, took: Duration) {
        let shared = &self.0;
        // A check that is not there any more must not stay as it was.
        shared.states.clear();
        for check in checks {
            let label = OfCheck {
                issuer: shared.issuer.clone(),
                check: check.id,
            };
            let worst = checks
                .iter()
                .filter(|other| other.id == check.id)
                .map(|other| state(other.verdict))
                .max();
            shared
                .states
                .get_or_create(&label)
                .set(worst.unwrap_or_default());
        }
        for verdict in [
            Verdict::Ok,
            Verdict::Unseen,
            Verdict::Warning,
            Verdict::Failure,
        ] {
            let label = OfVerdict {
                issuer: shared.issuer.clone(),
                verdict: name(verdict),
            };
            let count = checks.iter().filter(|check| check.verdict == verdict);
            let count = i64::try_from(count.count()).unwrap_or(i64::MAX);
            shared.counts.get_or_create(&label).set(count);
        }
        let label = self.of_issuer();
        let millis = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        shared.last.get_or_create(&label).set(now.as_second());
        shared.millis.get_or_create(&label).set(millis);
        shared.runs.get_or_create(&label).inc();
        lock(&shared.at).last = Some(now);
    }

    /// A look did not come to an end.
    pub(super) fn failed(&self) {
        let label = self.of_issuer();
        self.0.failed.get_or_create(&label).inc();
    }

    /// Seconds since the last look, or since the start.
    fn age(&self, now: Timestamp) -> i64 {
        let Times { started, last } = *lock(&self.0.at);
        now.as_second() - last.unwrap_or(started).as_second()
    }

    fn is_ready(&self) -> bool {
        lock(&self.0.at).last.is_some()
    }

    /// Whether looks still come: three of them missing is too many.
    fn is_alive(&self, now: Timestamp) -> bool {
        let limit = self.0.every.saturating_add(LONGEST_LOOK).saturating_mul(3);
        self.age(now) <= i64::try_from(limit.as_secs()).unwrap_or(i64::MAX)
    }

    fn page(&self, now: Timestamp) -> String {
        if self.is_ready() {
            let age = self.0.age.get_or_create(&self.of_issuer());
            age.set(self.age(now));
        }
        let mut text = String::new();
        match encode(&mut text, &self.0.registry) {
            Ok(()) => text,
            // A String takes everything.
            Err(std::fmt::Error) => String::new(),
        }
    }
}

const fn state(verdict: Verdict) -> i64 {
    match verdict {
        Verdict::Ok => 0,
        Verdict::Unseen => 1,
        Verdict::Warning => 2,
        Verdict::Failure => 3,
    }
}

const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Unseen => "unseen",
        Verdict::Warning => "warning",
        Verdict::Failure => "failure",
    }
}

fn lock(times: &Mutex<Times>) -> MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves the pages until the process ends.
pub(super) fn listen(address: SocketAddr, metrics: Metrics) -> Result<(), Failure> {
    let cannot = format!("{address} cannot be listened on");
    let (listener, bound) =
        listen_one(address, false).map_err(|error| Failure::system(&cannot, &error))?;
    tracing::info!("metrics on http://{bound}/metrics");
    let side = Side {
        listeners: vec![listener],
        tls: None,
        responder: Pages(metrics),
        limits: Limits {
            max_connections: CONNECTIONS,
            header_timeout: HEADER,
            ..Limits::default()
        },
        observer: Arc::new(()),
        hosts: Hosts::LoopbackOnLoopback,
    };
    tokio::spawn(side.run(pending::<()>()));
    Ok(())
}

#[derive(Debug, Clone)]
struct Pages(Metrics);

impl Responder for Pages {
    type Answer = Ready<Result<Response<Full<Bytes>>, Infallible>>;

    fn respond(&self, request: Request<Incoming>, _asker: Asker) -> Self::Answer {
        let mut answer = answer(&request, &self.0);
        // HTTP/1.1 has the length of what it leaves away.
        if request.method() == Method::HEAD && request.version() == Version::HTTP_2 {
            *answer.body_mut() = Full::default();
        }
        ready(Ok(answer))
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let now = Timestamp::now();
    let plain = "text/plain; charset=utf-8";
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            (StatusCode::OK, openmetrics, metrics.page(now))
        }
        (&Method::GET | &Method::HEAD, "/livez") => {
            let good = metrics.is_alive(now);
            (health(good), plain, said(good, "looks have stopped"))
        }
        (&Method::GET | &Method::HEAD, "/readyz") => {
            let good = metrics.is_ready();
            (health(good), plain, said(good, "no look has ended yet"))
        }
        (_, "/metrics" | "/livez" | "/readyz") => {
            (StatusCode::METHOD_NOT_ALLOWED, plain, String::new())
        }
        _ => (StatusCode::NOT_FOUND, plain, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
    response
}

const fn health(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn said(good: bool, otherwise: &str) -> String {
    if good {
        "ok\n".to_owned()
    } else {
        format!("{otherwise}\n")
    }
}

#[cfg(test)]
mod tests {
    use irsa_core::issuer::TrailingSlash;

    use super::*;

    #[test]
    fn a_watch_that_stops_looking_is_not_alive() {
        let issuer = IssuerUrl::parse("https://h/a", TrailingSlash::Allow).unwrap();
        let metrics = Metrics::new(&issuer, Duration::from_mins(1));
        let now = Timestamp::now();
        let at = |seconds| Timestamp::from_second(now.as_second() + seconds).unwrap();
        assert!(metrics.is_alive(now) && !metrics.is_ready());
        metrics.ran(&[], at(100), Duration::from_millis(5));
        assert!(metrics.is_ready() && metrics.is_alive(at(600)));
        assert!(!metrics.is_alive(at(100 + 3 * 180 + 1)));
        metrics.failed();
        let page = metrics.page(at(107));
        for line in [
            r#"irsa_doctor_last_run_age_seconds{issuer="https://h/a"} 7"#,
            r#"irsa_doctor_runs_total{issuer="https://h/a"} 1"#,
            r#"irsa_doctor_failed_runs_total{issuer="https://h/a"} 1"#,
            r#"irsa_doctor_checks{issuer="https://h/a",verdict="failure"} 0"#,
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }
}
