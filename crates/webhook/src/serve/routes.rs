//! What is answered.
//!
//! | HTTPS | |
//! |---|---|
//! | `/mutate` | reviews; whoever cannot be helped is let through |
//! | `/mutate/required` | reviews of pods that require their role; whoever cannot be helped is denied |
//! | `/healthz`, `/livez` | 200 while the process answers |
//! | `/readyz` | 200 once everything was read and there is a certificate that the API server trusts |
//!
//! Plain HTTP on the metrics port: `/metrics`, `/healthz`, `/readyz`. With debugging on also upstream's pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use aws_lc_rs::rand;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::decision::Mode;
use crate::event::{Notice, Notices};
use crate::identities::{Found, Identities};
use crate::metrics::Metrics;
use crate::note::Note;
use crate::pod::Pod;
use crate::review::{Answer, Demand, Finding, Review, Verdict};
use crate::settings::Settings;

type Answered = Response<Full<Bytes>>;

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
    room: Semaphore,
}

impl Default for State {
    fn default() -> Self {
        Self {
            draining: AtomicBool::new(false),
            certificate: ArcSwapOption::default(),
            room: Semaphore::new(ROOM),
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

impl Webhook {
    /// Answers the API server.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answered {
        let start = Instant::now();
        let verb = verb(request.method());
        let (path, answered) = match request.uri().path() {
            "/mutate" => ("/mutate", self.mutate(request, Demand::Optional).await),
            "/mutate/required" => (
                "/mutate/required",
                self.mutate(request, Demand::Required).await,
            ),
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

    /// Answers whoever watches us.
    pub(super) fn answer_admin(&self, request: &Request<Incoming>) -> Answered {
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

    async fn mutate(&self, request: Request<Incoming>, demand: Demand) -> Answered {
        if request.method() != Method::POST {
            let mut answered = text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n".into());
            answered
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("POST"));
            return answered;
        }
        if !is_json(&request) {
            let message = "Invalid Content-Type, expected `application/json`\n";
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.into());
        }
        let expected = request
            .body()
            .size_hint()
            .upper()
            .unwrap_or(MAX_BODY as u64);
        let pages = u32::try_from(expected.min(MAX_BODY as u64) / PAGE + 1).unwrap_or(u32::MAX);
        // Many large bodies at once wait here instead of in memory.
        let Ok(Ok(_room)) = timeout(READ_WITHIN, self.state.room.acquire_many(pages)).await else {
            return text(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many large requests at once\n".into(),
            );
        };
        let body = Limited::new(request.into_body(), MAX_BODY).collect();
        match timeout(READ_WITHIN, body).await {
            Ok(Ok(body)) => self.review(&body.to_bytes(), demand).await,
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let message = format!("the body is larger than {MAX_BODY} bytes\n");
                text(StatusCode::PAYLOAD_TOO_LARGE, message)
            }
            Ok(Err(_)) => text(
                StatusCode::BAD_REQUEST,
                "the body could not be read\n".into(),
            ),
            Err(_) => text(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long\n".into(),
            ),
        }
    }

    async fn review(&self, body: &[u8], demand: Demand) -> Answered {
        let review = match Review::parse(body) {
            Ok(review) => review,
            Err(error) => {
                // Not the cause: it may quote the pod.
                tracing::warn!(%error, bytes = body.len(), "a request cannot be reviewed");
                self.metrics.note("Malformed");
                return json(StatusCode::BAD_REQUEST, error.body());
            }
        };
        let (namespace, name) = review.service_account().unwrap_or_default();
        let found = if name.is_empty() {
            None
        } else {
            Some(self.identities.find(namespace, name).await)
        };
        let finding = match found.as_ref().map(|found| found.known(namespace, name)) {
            None => Finding::Known(crate::decision::Known::default()),
            Some(Ok(known)) => Finding::Known(known),
            Some(Err(why)) => Finding::Unknown(why),
        };
        let answer = review.answer(&self.settings, finding, demand, entropy());
        self.tell(&review, &answer, name);
        if demand == Demand::Required
            && let Some(Found::Unknown(why)) = &found
        {
            // Our fault, not the pod's: whoever made it tries again.
            let message = format!("service account \"{namespace}/{name}\" cannot be read: {why}\n");
            return text(StatusCode::SERVICE_UNAVAILABLE, message);
        }
        json(StatusCode::OK, answer.body)
    }

    /// Logs, counts and reports what was decided. Names only: a pod's body holds secrets.
    fn tell(&self, review: &Review<'_>, answer: &Answer, account: &str) {
        let namespace = review.namespace();
        let pod = review.pod().map_or("", |pod| pod.name());
        match &answer.verdict {
            Verdict::Injection(injection, patch) => {
                let method = match injection.mode {
                    Mode::WebIdentity { .. } => "sts_web_identity",
                    Mode::ContainerCredentials { .. } => "container_credentials",
                };
                self.metrics.pod(method);
                let operations = patch.operations.len();
                tracing::debug!(namespace, ?pod, account, method, operations, "pod reviewed");
            }
            verdict => {
                let verdict = match verdict {
                    Verdict::Denied(_) => "denied",
                    Verdict::NoRole => "no role",
                    _ => "not the creation of a pod",
                };
                tracing::debug!(namespace, ?pod, account, verdict, "pod reviewed");
            }
        }
        let denial = match &answer.verdict {
            Verdict::Denied(note) if !answer.notes.contains(note) => Some(note),
            _ => None,
        };
        for note in answer.notes.iter().chain(denial) {
            self.metrics.note(note.reason());
            if matches!(note, Note::NoSuchAccount | Note::AccountUnknown { .. }) {
                self.metrics.missing_account();
            }
            if !note.is_loss() {
                continue;
            }
            let owner = review.pod().and_then(Pod::owner).unwrap_or_default();
            let sentence = note.sentence();
            let reason = note.reason();
            tracing::warn!(
                namespace,
                ?pod,
                ?owner,
                account,
                reason,
                ?sentence,
                "pod without credentials"
            );
            if let Some(notices) = self.notices.as_ref().filter(|_| !review.is_dry_run()) {
                let made_by = if owner.is_empty() {
                    format!("pod \"{pod}\"")
                } else {
                    format!("a pod of {owner}")
                };
                notices.tell(Notice {
                    namespace: namespace.to_owned(),
                    account: account.to_owned(),
                    reason,
                    sentence: format!("{made_by}: {sentence}"),
                });
            }
        }
    }
}

/// Upstream demands the bare type; RFC 9110 allows parameters behind it.
fn is_json(request: &Request<Incoming>) -> bool {
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn entropy() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the lives of tokens are not spread, and nothing else is lost.
    let _ = rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// Of the few that exist, so that nobody can fill the metrics with words.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        _ => "OTHER",
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Answered {
    answered(status, body.into(), "application/json")
}

fn text(status: StatusCode, body: String) -> Answered {
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

/// The API server takes objects of 1.5 MB from etcd and requests of 3 MB from clients.
const MAX_BODY: usize = 8 << 20;
/// Bytes in a unit of [`State`]'s room.
const PAGE: u64 = 1_024;
/// Units for all bodies at once: 64 MiB.
const ROOM: usize = 64 << 10;
const READ_WITHIN: Duration = Duration::from_secs(10);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upstream's, word for word.
const DENIAL: &str = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","response":{"uid":"","allowed":false,"status":{"metadata":{},"message":"Test deny message"}}}"#;
