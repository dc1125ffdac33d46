//! Calls to AWS that fail: one error for all, with what the retry rules need to know.

use std::error::Error;
use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_eks::config::http::HttpResponse;
use aws_sdk_eks::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_eks::operation::RequestId;
use irsa_core::explain::Explain;

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
    Refused {
        /// The error's code, like `ResourceInUseException`.
        code: String,
        /// The error's text.
        message: String,
        /// The HTTP status.
        status: u16,
    },
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
            CallKind::Refused { code, .. } if code.starts_with("AccessDenied") || code == "UnauthorizedOperation" => {
                format!("give yourself {}; irsa connector permissions prints the whole policy", self.call)
            }
            CallKind::Refused { code, .. } if code == "ResourceLimitExceededException" => {
                "an account has ten connected clusters in a Region; deregister one, or have the quota raised".into()
            }
            CallKind::Refused { code, .. } if is_logged_out(code) => {
                "log in to AWS again; aws sts get-caller-identity shows who you are".into()
            }
            CallKind::Refused { .. } if self.retryable() => "run the same command again".into(),
            CallKind::Refused { .. } => return None,
            CallKind::Unclear => "check the network and --region, and run the same command again: it goes on from here".into(),
            CallKind::NotSent => "give credentials in one of the ways of the AWS CLI, like --profile NAME or AWS_PROFILE".into(),
            CallKind::Incomplete(_) => "report this as a bug with the output of irsa version".into(),
        })
    }

    fn retryable(&self) -> bool {
        match &self.kind {
            CallKind::Unclear => true,
            CallKind::Refused { code, status, .. } => {
                *status >= 500
                    || is_throttling(code, *status)
                    || code == "ResourcePropagationDelayException"
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
        E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map_or(0, |r| r.status().as_u16());
        let (kind, cause) = match &error {
            // It worked, by its status, and cannot be read.
            SdkError::ServiceError(_) if status < 300 => (CallKind::Unclear, None),
            SdkError::ServiceError(context) => {
                let service = context.err();
                let code = service
                    .code()
                    .unwrap_or("an error without a code")
                    .to_owned();
                let message = service.message().unwrap_or_default().to_owned();
                let request = service.request_id().map(|id| format!("request ID {id}"));
                let text = [Some(message.clone()).filter(|m| !m.is_empty()), request];
                let text: Vec<_> = text.into_iter().flatten().collect();
                (
                    CallKind::Refused {
                        code,
                        message,
                        status,
                    },
                    (!text.is_empty()).then(|| Cause(text.join("; "))),
                )
            }
            // Any other may have broken after the request was on its way.
            SdkError::DispatchFailure(_) if lacks_credentials(&error) => {
                (CallKind::NotSent, Some(chain(&error)))
            }
            SdkError::ConstructionFailure(_) => (CallKind::NotSent, Some(chain(&error))),
            _ => (CallKind::Unclear, Some(chain(&error))),
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
        matches!(&self.kind, CallKind::Refused { code, .. } if code == wanted)
    }

    /// What to do about it when it is a `RegisterCluster`. The texts are those that EKS is known to send; their case
    /// is not relied on.
    pub fn verdict(&self) -> Verdict {
        let CallKind::Refused {
            code,
            message,
            status,
        } = &self.kind
        else {
            return Verdict::Unclear;
        };
        let message = message.to_ascii_lowercase();
        if message.contains("awsserviceroleforamazoneksconnector")
            && message.contains("not available")
        {
            return Verdict::MakeServiceLinkedRole;
        }
        let role_unknown =
            message.contains("nonexistent role") || message.contains("not existing role");
        let propagating = code == "ResourcePropagationDelayException" || *status == 428;
        if role_unknown || propagating || is_throttling(code, *status) {
            return Verdict::Wait;
        }
        match code.as_str() {
            "ResourceInUseException" => Verdict::InUse,
            code if is_logged_out(code) => Verdict::Unclear,
            _ if *status >= 500 => Verdict::Unclear,
            _ => Verdict::Permanent,
        }
    }
}

fn what(kind: &CallKind) -> String {
    match kind {
        CallKind::Refused { code, .. } => format!("was refused with {code}"),
        CallKind::Unclear => "got no answer that can be read".into(),
        CallKind::NotSent => "could not be sent".into(),
        CallKind::Incomplete(part) => format!("came back without {part}"),
    }
}

/// Whether the credentials are no longer good: a person logs in again, and the run goes on.
fn is_logged_out(code: &str) -> bool {
    code.contains("ExpiredToken")
        || [
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "RequestExpired",
        ]
        .contains(&code)
}

fn is_throttling(code: &str, status: u16) -> bool {
    status == 429
        || code.contains("Throttl")
        || code == "RequestLimitExceeded"
        || code == "TooManyRequestsException"
}

/// Whether a request was never signed, so that it certainly was not sent.
fn lacks_credentials(error: &dyn Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        let unsigned = cause
            .to_string()
            .contains("failed to select an auth scheme");
        if unsigned || cause.is::<CredentialsError>() {
            return true;
        }
        next = cause.source();
    }
    false
}

/// The texts of an error's causes. The SDK's own `Debug` would show bodies.
fn chain(error: &dyn Error) -> Cause {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    if texts.is_empty() {
        texts.push(error.to_string());
    }
    Cause(texts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, message: &str, status: u16) -> CallError {
        CallError {
            call: "eks:RegisterCluster",
            object: "\"prod\"".into(),
            kind: CallKind::Refused {
                code: code.into(),
                message: message.into(),
                status,
            },
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
