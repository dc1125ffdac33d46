//! An admission review, from the bytes of the request to those of the answer. Pure: who looks up the service account
//! stands between [`Review::parse`] and [`Review::answer`].

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use irsa_core::token::claims::ServiceAccount;
use serde_json::value::RawValue;

use crate::decision::{self, Injection, Known};
use crate::identity;
use crate::injection::{self, Patch};
use crate::note::Note;
use crate::pod::{Object, Pod, Text};
use crate::settings::Settings;
use crate::unquoted;
use reply::{Empty, Reply, Response, Status, encode, plain};
use wire::Wire;

mod reply;
mod wire;

/// A request to review, of `admission.k8s.io/v1` or `v1beta1`; they share this form.
#[derive(Debug, Clone)]
pub struct Review<'a> {
    api_version: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    uid: Text<'a>,
    namespace: Text<'a>,
    dry_run: bool,
    /// None when the request is not about the creation of a pod.
    pod: Option<Pod<'a>>,
}

/// A review that cannot be answered. It is answered with HTTP 400, so that the API server applies its failure
/// policy: a denial would stand whatever the policy says.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or not of the form of a review.
    #[error("the body is not an AdmissionReview")]
    Body(#[source] serde_json::Error),
    /// A review without request.
    #[error("bad content")]
    NoRequest,
    /// A `uid` that no API server makes.
    #[error(
        "the uid of the request is none: expected at most {MAX_UID} printable ASCII characters"
    )]
    Uid,
    /// The object is not a pod.
    #[error("the object of request \"{uid}\" is not a pod")]
    Pod {
        /// Which request.
        uid: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// Whether the pod may start without its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It may: the webhook helps where it can.
    Optional,
    /// It may not: whatever keeps the role away is a denial.
    Required,
}

/// What the answer does.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The request is not about the creation of a pod.
    NotApplicable,
    /// The pod's service account has no role.
    NoRole,
    /// The pod is changed, or has everything already.
    Injection(Box<Injection>, Patch),
    /// The pod may not be created without its role.
    Denied(Note),
}

/// The answer to a review.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What it does.
    pub verdict: Verdict,
    /// What a person should know.
    pub notes: Vec<Note>,
    /// The response, an `AdmissionReview` in JSON.
    pub body: Vec<u8>,
}

/// What somebody found out about the pod's service account.
#[derive(Debug, Clone, Copy)]
pub enum Finding<'a> {
    /// What is known.
    Known(Known<'a>),
    /// It could not be read, for this reason.
    Unknown(&'a str),
}

impl<'a> Review<'a> {
    /// Reads a request.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        if body.is_empty() {
            return Err(Malformed::NoRequest);
        }
        let wire: Option<Wire<'a>> =
            serde_json::from_slice(body).map_err(|error| Malformed::Body(unquoted::json(error)))?;
        let Some((request, wire)) = wire.and_then(|mut wire| Some((wire.request.take()?, wire)))
        else {
            return Err(Malformed::NoRequest);
        };
        let none = || Text(Cow::Borrowed(""));
        let creates = request.creates_a_pod();
        let uid = request.uid.unwrap_or_else(none);
        // It comes back in the answer, and in the log where the object is no pod.
        if uid.0.len() > MAX_UID || !uid.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Malformed::Uid);
        }
        let read = |object: &'a RawValue| {
            serde_json::from_str::<Option<Object<Pod<'a>>>>(object.get()).map_err(|source| {
                Malformed::Pod {
                    uid: uid.0.clone().into_owned(),
                    source: unquoted::json(source),
                }
            })
        };
        let pod = match request.object.filter(|_| creates) {
            Some(object) => read(object)?.map(|Object(pod)| pod),
            None => None,
        };
        Ok(Self {
            pod,
            api_version: wire.api_version,
            kind: wire.kind,
            uid,
            namespace: request.namespace.unwrap_or_else(none),
            dry_run: request.dry_run == Some(true),
        })
    }

    /// A review of the creation of this pod, for whoever has a manifest and no request.
    pub fn of_pod(namespace: &'a str, pod: Pod<'a>) -> Self {
        Self {
            api_version: None,
            kind: None,
            uid: Text(Cow::Borrowed("")),
            namespace: Text(Cow::Borrowed(namespace)),
            dry_run: true,
            pod: Some(pod),
        }
    }

    /// The service account to look up, as namespace and name. None when the answer does not depend on any.
    ///
    /// The namespace is that of the request: what the object says was written by whoever made it.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let name = self.pod.as_ref()?.service_account();
        let namespace = self.namespace.0.as_ref();
        // Both go into the path of a request: what Kubernetes would not accept as a name is looked up nowhere.
        let named = ServiceAccount::parse(&format!("{namespace}/{name}")).is_ok();
        named.then_some((namespace, name))
    }

    /// The pod, if the request creates one.
    pub fn pod(&self) -> Option<&Pod<'a>> {
        self.pod.as_ref()
    }

    /// The namespace of the request.
    pub fn namespace(&self) -> &str {
        &self.namespace.0
    }

    /// Whether nothing of this will be stored: then nothing else may change either.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Answers. `entropy` is for [`decision::decide`].
    pub fn answer(
        &self,
        settings: &Settings,
        finding: Finding<'_>,
        demand: Demand,
        entropy: u64,
    ) -> Answer {
        let mut notes = Vec::new();
        let mut verdict = self.judge(settings, finding, entropy, &mut notes);
        if demand == Demand::Required
            && let Some(note) = lost(&verdict, &notes)
        {
            verdict = Verdict::Denied(note);
        }
        let body = self.encode(&verdict, &notes);
        Answer {
            verdict,
            notes,
            body,
        }
    }

    fn judge(
        &self,
        settings: &Settings,
        finding: Finding<'_>,
        entropy: u64,
        notes: &mut Vec<Note>,
    ) -> Verdict {
        let Some(pod) = &self.pod else {
            return Verdict::NotApplicable;
        };
        if self.service_account().is_none() {
            return Verdict::NoRole;
        }
        let known = match finding {
            Finding::Known(known) => known,
            Finding::Unknown(why) => {
                notes.push(Note::AccountUnknown {
                    why: why.to_owned(),
                });
                return Verdict::NoRole;
            }
        };
        let key = settings.annotation("token-expiration");
        let wish = pod.annotation(&key).map(identity::parse_expiration);
        let Some(injection) = decision::decide(settings, known, wish.flatten(), entropy) else {
            if known.identity.is_none() {
                notes.push(Note::NoSuchAccount);
            }
            return Verdict::NoRole;
        };
        if wish == Some(None) {
            notes.push(Note::IgnoredAnnotation {
                key,
                expected: "a whole number of seconds",
            });
        }
        let ignored = known.identity.map_or(0, |identity| identity.ignored);
        if ignored > 0 {
            notes.push(Note::IgnoredOnAccount { count: ignored });
        }
        let patch = injection::build(settings, pod, &injection);
        notes.extend(patch.notes.iter().cloned());
        Verdict::Injection(Box::new(injection), patch)
    }

    fn encode(&self, verdict: &Verdict, notes: &[Note]) -> Vec<u8> {
        let patch = match verdict {
            Verdict::Injection(_, patch) if !patch.operations.is_empty() => {
                serde_json::to_vec(&patch.operations)
                    .ok()
                    .map(|json| STANDARD.encode(json))
            }
            _ => None,
        };
        let denial = match verdict {
            Verdict::Denied(note) => Some(Status {
                metadata: Empty {},
                message: plain(&note.sentence()),
                reason: Some("Forbidden"),
                code: Some(403),
            }),
            _ => None,
        };
        encode(&Reply {
            api_version: self.api_version.as_ref().map(|text| text.0.as_ref()),
            kind: self.kind.as_ref().map(|text| text.0.as_ref()),
            response: Response {
                uid: &self.uid.0,
                allowed: denial.is_none(),
                status: denial,
                patch_type: patch.as_ref().map(|_| "JSONPatch"),
                patch,
                warnings: notes.iter().map(|note| plain(&note.sentence())).collect(),
            },
        })
    }
}

/// Kubernetes writes 36 characters.
const MAX_UID: usize = 64;

/// Why a pod that requires its role would be without it.
fn lost(verdict: &Verdict, notes: &[Note]) -> Option<Note> {
    match verdict {
        Verdict::NotApplicable | Verdict::Denied(_) => None,
        Verdict::NoRole => Some(notes.first().cloned().unwrap_or(Note::RoleRequired)),
        Verdict::Injection(..) => notes.iter().find(|note| note.is_loss()).cloned(),
    }
}

impl Malformed {
    /// The body of the answer, in the form of upstream's.
    pub fn body(&self) -> Vec<u8> {
        let uid = match self {
            Self::Pod { uid, .. } => uid,
            _ => "",
        };
        let message = match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        };
        encode(&Reply {
            api_version: None,
            kind: None,
            response: Response {
                uid,
                allowed: false,
                status: Some(Status {
                    metadata: Empty {},
                    message: plain(&message),
                    reason: None,
                    code: None,
                }),
                patch: None,
                patch_type: None,
                warnings: Vec::new(),
            },
        })
    }
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
