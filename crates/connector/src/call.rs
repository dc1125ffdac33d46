//! Calls to AWS that fail: one error for all, with what the retry rules need to know.

use std::error::Error;
use std::fmt;

use aws_sdk_eks::config::http::HttpResponse;
use aws_sdk_eks::error::{ProvideErrorMetadata, SdkError};
use irsa_aws::Refusal;
use irsa_core::aws_answer::{Answer, AwsFault};
use irsa_core::explain::{Explain, on_one_line};

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{call} of {object} {}", what(kind))]
pub struct CallError {
    /// The action, as IAM policies name it: `eks:RegisterCluster`.
    pub call: &'static str,
    /// What it was about.
    pub object: String,
    /// How it ended.
    pub kind: CallKind,
    #[source]
    cause: Option<Cause>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallKind {
    /// The service refused.
    Refused(Box<Answer>),
    /// No answer, or none that can be read: whether the service acted is unknown.
    Unclear,
    /// Nothing was sent: no credentials, or a request that cannot be made.
    NotSent,
    /// The service says that it is done but leaves out what it promises.
    Incomplete(&'static str),
}

/// What to do about a failed `RegisterCluster`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A role or service-linked role is not known everywhere yet, or AWS asks to slow down: again in some seconds.
    Wait,
    /// The service-linked role is missing: make it, then again.
    MakeServiceLinkedRole,
    /// A cluster of this name exists by now.
    InUse,
    /// Whether the service acted is unknown.
    Unclear,
    /// It will not succeed.
    Permanent,
}

/// A cause with its causes on one line, without any of the response's body.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

impl Explain for CallError {
    fn help(&self) -> Option<String> {
        Some(match &self.kind {
            CallKind::Refused(answer) if answer.code == "ResourceLimitExceededException" => {
                "an account has ten connected clusters in a Region; deregister one, or have the quota raised".into()
            }
            CallKind::Refused(answer) => match answer.fault() {
                AwsFault::Denied | AwsFault::Forbidden => {
                    format!("give yourself {}; irsa connector permissions prints the whole policy", self.call)
                }
                _ if self.retryable() => "run the same command again".into(),
                fault => return fault.help().map(Into::into),
            },
            CallKind::Unclear => "check the network and --region, and run the same command again: it goes on from here".into(),
            CallKind::NotSent => "give credentials in one of the ways of the AWS CLI, like --profile NAME or AWS_PROFILE".into(),
            CallKind::Incomplete(_) => "report this as a bug with the output of irsa version".into(),
        })
    }

    fn retryable(&self) -> bool {
        match &self.kind {
            CallKind::Unclear => true,
            CallKind::Refused(answer) => {
                answer.status >= 500
                    || is_throttling(answer)
                    || answer.code == "ResourcePropagationDelayException"
            }
            CallKind::NotSent | CallKind::Incomplete(_) => false,
        }
    }
}

impl CallError {
    /// From what the SDK says.
    pub fn new<E>(
        call: &'static str,
        object: impl Into<String>,
        error: SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let (kind, cause) = match Refusal::of("AWS", error) {
            // It worked, by its status, and cannot be read.
            Refusal::Answered { answer, .. } if answer.status < 300 => (CallKind::Unclear, None),
            Refusal::Answered { answer, .. } => {
                let cause = Cause(answer.to_string());
                (CallKind::Refused(Box::new(answer)), Some(cause))
            }
            Refusal::Unsent(source) => (CallKind::NotSent, Some(causes(&*source))),
            Refusal::Broken { source, .. } => (CallKind::Unclear, Some(causes(&*source))),
        };
        Self {
            call,
            object: object.into(),
            kind,
            cause,
        }
    }

    /// An answer without a part that its model demands.
    pub fn incomplete(call: &'static str, object: impl Into<String>, part: &'static str) -> Self {
        Self {
            call,
            object: object.into(),
            kind: CallKind::Incomplete(part),
            cause: None,
        }
    }

    /// Whether the service refused with this code.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(&self.kind, CallKind::Refused(answer) if answer.code == wanted)
    }

    /// What to do about it when it is a `RegisterCluster`. The texts are those that EKS is known to send; their case
    /// is not relied on.
    pub fn verdict(&self) -> Verdict {
        let CallKind::Refused(answer) = &self.kind else {
            return Verdict::Unclear;
        };
        let (code, status) = (answer.code.as_str(), answer.status);
        let message = answer.message.to_ascii_lowercase();
        if message.contains("awsserviceroleforamazoneksconnector")
            && message.contains("not available")
        {
            return Verdict::MakeServiceLinkedRole;
        }
        let role_unknown =
            message.contains("nonexistent role") || message.contains("not existing role");
        let propagating = code == "ResourcePropagationDelayException" || status == 428;
        if role_unknown || propagating || is_throttling(answer) {
            return Verdict::Wait;
        }
        if code == "ResourceInUseException" {
            return Verdict::InUse;
        }
        // A person logs in again, and the run goes on.
        let logged_out = answer.fault() == AwsFault::Credentials;
        if logged_out || status >= 500 {
            Verdict::Unclear
        } else {
            Verdict::Permanent
        }
    }
}

fn what(kind: &CallKind) -> String {
    match kind {
        CallKind::Refused(answer) if answer.code.is_empty() => {
            "was refused without an error code".into()
        }
        CallKind::Refused(answer) => format!("was refused with {}", answer.code),
        CallKind::Unclear => "got no answer that can be read".into(),
        CallKind::NotSent => "could not be sent".into(),
        CallKind::Incomplete(part) => format!("came back without {part}"),
    }
}

/// Whether AWS asks to slow down: nothing was done. What else keeps a service busy leaves that open.
fn is_throttling(answer: &Answer) -> bool {
    let codes = ["RequestLimitExceeded", "TooManyRequests"];
    answer.status == 429 || answer.code.contains("Throttl") || codes.contains(&answer.plain_code())
}

/// The texts of an error's causes. The SDK's own `Debug` would show bodies.
fn causes(error: &dyn Error) -> Cause {
    Cause(on_one_line(error.source().map_or(error, |cause| cause)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, message: &str, status: u16) -> CallError {
        CallError {
            call: "eks:RegisterCluster",
            object: "\"prod\"".into(),
            kind: CallKind::Refused(Box::new(Answer {
                service: "AWS",
                status,
                code: code.into(),
                message: message.into(),
                request_id: None,
            })),
            cause: None,
        }
    }

    #[test]
    fn the_texts_that_eks_sends_are_known_in_any_case() {
        for (code, message, status, verdict) in [
            ("ResourcePropagationDelayException", "", 428, Verdict::Wait),
            ("Other", "", 428, Verdict::Wait),
            (
                "InvalidRequestException",
                "Nonexistent role or missing ssm service principal in trust policy",
                400,
                Verdict::Wait,
            ),
            (
                "InvalidRequestException",
                "Not existing role: arn",
                400,
                Verdict::Wait,
            ),
            (
                "InvalidRequestException",
                "NOT EXISTING ROLE",
                400,
                Verdict::Wait,
            ),
            (
                "InvalidParameterException",
                "Role AWSServiceRoleForAmazonEKSConnector is not available",
                400,
                Verdict::MakeServiceLinkedRole,
            ),
            ("ThrottlingException", "Rate exceeded", 400, Verdict::Wait),
            ("ResourceInUseException", "", 409, Verdict::InUse),
            ("ExpiredTokenException", "", 403, Verdict::Unclear),
            ("ServerException", "", 500, Verdict::Unclear),
            ("ServiceUnavailableException", "", 503, Verdict::Unclear),
            ("AccessDeniedException", "", 403, Verdict::Permanent),
            (
                "ResourceLimitExceededException",
                "",
                400,
                Verdict::Permanent,
            ),
            ("InvalidParameterException", "bad", 400, Verdict::Permanent),
        ] {
            assert_eq!(
                refused(code, message, status).verdict(),
                verdict,
                "{code} {message}"
            );
        }
    }

    #[test]
    fn the_message_names_call_object_and_code() {
        let error = refused("AccessDeniedException", "x", 403);
        assert_eq!(
            error.to_string(),
            "eks:RegisterCluster of \"prod\" was refused with AccessDeniedException"
        );
        assert!(error.help().unwrap().contains("irsa connector permissions"));
        assert!(!error.retryable());
        assert!(refused("ServerException", "", 500).retryable());
    }
}
