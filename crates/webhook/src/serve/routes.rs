//! What is answered.
//!
//! | HTTPS | |
//! |---|---|
//! | `/mutate` | reviews; whoever cannot be helped is let through |
//! | `/mutate/required` | reviews of pods that require their role; whoever cannot be helped is denied |
//! | `/healthz`, `/livez` | 200 while the process answers |
//! | `/readyz` | 200 once everything was read and there is a certificate that the API server trusts |
//!
//! With a client CA the reviews are for clients with a certificate of it.
//!
//! Plain HTTP on the metrics port: `/metrics`, `/healthz`, `/readyz`. With debugging on also upstream's pages.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use irsa_endpoint::{Asker, Peer, Responder};
use tokio::sync::Semaphore;

use super::pace::Pace;
use super::room::Room;
use crate::event::Notices;
use crate::identities::Identities;
use crate::metrics::Metrics;
use crate::review::Demand;
use crate::settings::Settings;

pub(super) type Answered = Response<Full<Bytes>>;

/// Everything that answers a request. Clones share it.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What is injected.
    pub settings: Arc<Settings>,
    /// What is known about service accounts.
    pub identities: Arc<Identities>,
    /// Counters.
    pub metrics: Metrics,
    /// Where Events go, if anywhere.
    pub notices: Option<Notices>,
    /// Whether it may be asked.
    pub state: Arc<State>,
    /// Upstream's debugging pages.
    pub debugging: bool,
}

/// Whether the webhook may be asked.
#[derive(Debug)]
pub struct State {
    draining: AtomicBool,
    certificate: ArcSwapOption<String>,
    pub(super) room: Arc<Room>,
    /// Large bodies that are parsed at once: the others wait, and the small ones do not wait for them.
    pub(super) turns: Semaphore,
    /// What is said of requests that cannot be reviewed: anybody who reaches the port may send them.
    pub(super) complaints: Pace,
}

impl Default for State {
    fn default() -> Self {
        Self {
            draining: AtomicBool::new(false),
            certificate: ArcSwapOption::default(),
            room: Arc::default(),
            turns: Semaphore::new(TURNS),
            complaints: Pace::default(),
        }
    }
}

impl State {
    /// What keeps the API server from trusting us; none when it does.
    pub fn certificate_problem(&self, problem: Option<String>) {
        self.certificate.store(problem.map(Arc::new));
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// Answers the API server.
#[derive(Clone, Debug)]
pub(super) struct Public {
    pub(super) webhook: Webhook,
    /// Reviews are only for clients whose certificate was verified.
    pub(super) only_verified: bool,
}

/// Answers whoever watches us.
#[derive(Clone, Debug)]
pub(super) struct Admin(pub(super) Webhook);

type Answering = Pin<Box<dyn Future<Output = Result<Answered, Infallible>> + Send>>;

impl Responder for Public {
    type Answer = Answering;

    fn respond(&self, request: Request<Incoming>, asker: Asker) -> Answering {
        let (webhook, ends) = (self.webhook.clone(), asker.last);
        let refused = self.only_verified && !asker.verified;
        let closes = ends && request.version() < Version::HTTP_2;
        Box::pin(async move {
            let mut answered = if refused && request.uri().path().starts_with("/mutate") {
                let message = "reviews are for clients with a certificate of --client-ca\n";
                text(StatusCode::FORBIDDEN, message.into())
            } else {
                webhook.answer(request, asker.peer).await
            };
            if closes {
                let close = HeaderValue::from_static("close");
                answered.headers_mut().insert(CONNECTION, close);
            }
            Ok(answered)
        })
    }
}

impl Responder for Admin {
    type Answer = Answering;

    fn respond(&self, request: Request<Incoming>, _asker: Asker) -> Answering {
        let webhook = self.0.clone();
        Box::pin(async move { Ok(webhook.answer_admin(&request)) })
    }
}

impl Webhook {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Answered {
        let mut start = Instant::now();
        let verb = verb(request.method());
        let (path, answered) = match request.uri().path() {
            "/mutate" => {
                let answered = self.mutate(request, peer, Demand::Optional, &mut start);
                ("/mutate", answered.await)
            }
            "/mutate/required" => {
                let answered = self.mutate(request, peer, Demand::Required, &mut start);
                ("/mutate/required", answered.await)
            }
            "/healthz" | "/livez" => return text(StatusCode::OK, "ok".into()),
            "/readyz" => return self.ready(),
            "/debug/alpha/deny" if self.debugging => {
                ("/debug/alpha/deny", json(StatusCode::OK, DENIAL.into()))
            }
            "/debug/alpha/500" if self.debugging => (
                "/debug/alpha/500",
                text(StatusCode::INTERNAL_SERVER_ERROR, "test error".into()),
            ),
            _ => return text(StatusCode::NOT_FOUND, "404 page not found\n".into()),
        };
        let status = answered.status().as_u16();
        self.metrics.request(verb, path, status, start.elapsed());
        answered
    }

    fn answer_admin(&self, request: &Request<Incoming>) -> Answered {
        match request.uri().path() {
            "/metrics" => {
                let mut page = text(StatusCode::OK, self.metrics.render(&self.identities));
                let kind = HeaderValue::from_static(OPEN_METRICS);
                page.headers_mut().insert(CONTENT_TYPE, kind);
                page
            }
            "/healthz" | "/livez" => text(StatusCode::OK, "ok".into()),
            "/readyz" => self.ready(),
            "/debug/alpha/cache" if self.debugging => json(StatusCode::OK, self.dump()),
            "/debug/alpha/cache/clear" if self.debugging => {
                self.identities
                    .accounts
                    .replace(crate::accounts::Listing::default());
                text(StatusCode::OK, "cleared".into())
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n".into()),
        }
    }

    fn ready(&self) -> Answered {
        let mut problems = self.identities.problems();
        let certificate = self.state.certificate.load_full();
        problems.extend(certificate.as_deref().cloned());
        let draining = self.state.draining.load(Ordering::Relaxed);
        let (status, word) = if draining {
            (StatusCode::SERVICE_UNAVAILABLE, "shutting down")
        } else if certificate.is_some() || !self.identities.is_synced() {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        } else {
            (StatusCode::OK, "ok")
        };
        let lines = std::iter::once(word.to_owned()).chain(problems);
        text(status, lines.collect::<Vec<_>>().join("\n") + "\n")
    }

    /// As upstream: annotations by service account, in the cache's own words.
    fn dump(&self) -> Vec<u8> {
        let accounts = self.identities.accounts.dump().into_iter();
        let entries = accounts.map(|(key, identity)| {
            let identity = identity.unwrap_or_default();
            let settings = &self.settings;
            let expiration = identity.token_expiration;
            let entry = serde_json::json!({
                "RoleARN": identity.role.as_deref().unwrap_or_default(),
                "Audience": identity.audience.as_deref().unwrap_or(&settings.audience),
                "UseRegionalSTS": identity.regional_sts.unwrap_or(settings.regional_sts),
                "TokenExpiration": expiration.unwrap_or(settings.token_expiration()),
            });
            (key, entry)
        });
        let map: serde_json::Map<_, _> = entries.collect();
        serde_json::to_vec_pretty(&map).unwrap_or_default()
    }
}

/// Of the few that exist, so that nobody can fill the metrics with words.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => "OTHER",
    }
}

pub(super) fn json(status: StatusCode, body: Vec<u8>) -> Answered {
    answered(status, body.into(), "application/json")
}

pub(super) fn text(status: StatusCode, body: String) -> Answered {
    answered(status, body.into(), "text/plain; charset=utf-8")
}

fn answered(status: StatusCode, body: Bytes, kind: &'static str) -> Answered {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Large bodies that are parsed at once.
const TURNS: usize = 1;
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upstream's, word for word.
const DENIAL: &str = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","response":{"uid":"","allowed":false,"status":{"metadata":{},"message":"Test deny message"}}}"#;
