//! One review: the request's body, the service account, the answer, and who is told of it.

use std::time::Instant;

use aws_lc_rs::rand;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use irsa_endpoint::Peer;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::timeout;

use super::body::{self, BodyFault, MAX_BODY, READ_WITHIN};
use super::room::{Seat, Size};
use super::routes::{Answered, Webhook, json, text};
use crate::decision::Mode;
use crate::event::Notice;
use crate::identities::Found;
use crate::note::Note;
use crate::pod::Pod;
use crate::review::{Answer, Demand, Finding, Review, Verdict};

impl Webhook {
    /// `read` becomes the time when the body was there.
    pub(super) async fn mutate(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        demand: Demand,
        read: &mut Instant,
    ) -> Answered {
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
        let Ok(mut seat) = timeout(READ_WITHIN, self.state.room.enter(peer)).await else {
            return self.refused(BodyFault::GaveWay, Size::Small);
        };
        let told = seat.told();
        let reviewed = async {
            match body::read(request.into_body(), &mut seat).await {
                Ok(body) => {
                    *read = Instant::now();
                    Ok(self.review(&body, &seat, demand).await)
                }
                Err(fault) => Err(fault),
            }
        };
        let reviewed = tokio::select! {
            reviewed = reviewed => reviewed,
            () = told.notified() => Err(BodyFault::GaveWay),
        };
        reviewed.unwrap_or_else(|fault| self.refused(fault, seat.size()))
    }

    fn refused(&self, fault: BodyFault, size: Size) -> Answered {
        match fault {
            BodyFault::TooLarge => {
                let message = format!("the body is larger than {MAX_BODY} bytes\n");
                text(StatusCode::PAYLOAD_TOO_LARGE, message)
            }
            BodyFault::Broken => text(
                StatusCode::BAD_REQUEST,
                "the body could not be read\n".into(),
            ),
            BodyFault::TooSlow => text(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long\n".into(),
            ),
            BodyFault::GaveWay => {
                self.metrics.gave_way(match size {
                    Size::Small => "small",
                    Size::Large => "large",
                });
                text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many requests at once\n".into(),
                )
            }
        }
    }

    async fn review(&self, body: &[u8], seat: &Seat, demand: Demand) -> Answered {
        let parsed = match seat.size() {
            Size::Small => Review::parse(body),
            Size::Large => {
                let _turn = self.state.turns.acquire().await;
                beside(|| Review::parse(body))
            }
        };
        let review = match parsed {
            Ok(review) => review,
            Err(error) => {
                if let Some(untold) = self.state.complaints.may_speak() {
                    let why = std::error::Error::source(&error).map(tracing::field::display);
                    let bytes = body.len();
                    tracing::warn!(%error, why, bytes, untold, "a request cannot be reviewed");
                }
                self.metrics.note("Malformed");
                return json(StatusCode::BAD_REQUEST, error.body());
            }
        };
        let (namespace, name) = review.service_account().unwrap_or_default();
        let found = if name.is_empty() {
            None
        } else {
            Some(self.identities.find(namespace, name, seat.peer()).await)
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
        let pod = short(review.pod().map_or("", |pod| pod.name()));
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
            let (owner, sentence) = (short(&owner), short(&note.sentence()));
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
                notices.tell(Notice {
                    namespace: namespace.to_owned(),
                    account: account.to_owned(),
                    reason,
                    sentence: if owner.is_empty() {
                        format!("pod \"{pod}\": {sentence}")
                    } else {
                        format!("a pod of {owner}: {sentence}")
                    },
                });
            }
        }
    }
}

/// The API server looks at the lengths of names only after it has asked us.
fn short(text: &str) -> String {
    text.chars().take(MAX_LOGGED).collect()
}

/// Does long work without holding up what else this thread would do.
fn beside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
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

/// Characters of a name or a sentence that are logged and reported.
const MAX_LOGGED: usize = 512;
