//! What an AWS service answers when it does not do what was asked, sorted by what a person can do about it.
//!
//! Every service has codes of its own, which its adapter sorts first; those that all of them share are sorted here. Pure:
//! an adapter takes status, code and message out of the SDK's error.

use std::fmt;

/// The answer, as it is shown as a cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who answered: `AWS`, `S3`.
    pub service: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The error code; empty when there is none.
    pub code: String,
    /// What it says.
    pub message: String,
    /// What AWS support asks for.
    pub request_id: Option<String>,
}

/// Kinds of failure that every service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AwsFault {
    /// By the caller's permissions, as the message says.
    #[error("access is denied")]
    Denied,
    /// A 403 without a reason.
    #[error("access is denied")]
    Forbidden,
    /// By a service control policy of the organisation.
    #[error("a service control policy of the organisation forbids it")]
    ServiceControlPolicy,
    /// Credentials that are wrong, expired, or made with a wrong clock.
    #[error("AWS refuses the credentials")]
    Credentials,
    /// Throttled, or the service is not well.
    #[error("AWS asks to come back later")]
    Busy,
    /// A compatible service that lacks the call.
    #[error("the service does not know this call")]
    NotImplemented,
    /// It does not exist (404).
    #[error("it does not exist")]
    Missing,
    /// Anything else.
    #[error("AWS refuses")]
    Other,
}

impl AwsFault {
    /// What helps whichever service it is; none where that is for each service to say.
    pub const fn help(self) -> Option<&'static str> {
        match self {
            Self::ServiceControlPolicy => {
                Some("ask the organisation's administrator for an exception")
            }
            Self::Credentials => {
                Some("log in again, and check the machine's clock: aws sts get-caller-identity")
            }
            Self::Busy => Some("run it again in a minute"),
            Self::NotImplemented => Some("this service is not AWS, and lacks the call"),
            Self::Denied | Self::Forbidden | Self::Missing | Self::Other => None,
        }
    }
}

impl Answer {
    /// The code without the "Exception" that some protocols append.
    pub fn plain_code(&self) -> &str {
        self.code.trim_end_matches("Exception")
    }

    /// What kind of failure it is, by what all services share.
    pub fn fault(&self) -> AwsFault {
        match self.plain_code() {
            "AccessDenied" | "UnauthorizedOperation" => self.denial(),
            "ExpiredToken"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "SignatureDoesNotMatch"
            | "RequestTimeTooSkewed"
            | "RequestExpired"
            | "IncompleteSignature"
            | "UnrecognizedClient" => AwsFault::Credentials,
            "Throttling"
            | "Throttled"
            | "RequestThrottled"
            | "TooManyRequests"
            | "RequestLimitExceeded"
            | "RequestTimeout"
            | "ServiceFailure"
            | "ServiceUnavailable"
            | "InternalFailure"
            | "InternalError"
            | "SlowDown" => AwsFault::Busy,
            "NotImplemented" | "InvalidAction" | "UnknownOperation" => AwsFault::NotImplemented,
            _ => match self.status {
                403 => self.denial(),
                404 => AwsFault::Missing,
                429 | 500 | 502..=504 => AwsFault::Busy,
                501 => AwsFault::NotImplemented,
                _ => AwsFault::Other,
            },
        }
    }

    /// The message of a denial says what forbids the call, if the service tells.
    fn denial(&self) -> AwsFault {
        let message = self.message.to_ascii_lowercase();
        if message.contains("service control policy") {
            AwsFault::ServiceControlPolicy
        } else if message.contains("not authorized to perform") {
            AwsFault::Denied
        } else {
            AwsFault::Forbidden
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = if self.code.is_empty() {
            "without an error code"
        } else {
            &self.code
        };
        write!(f, "{} answered {} {code}", self.service, self.status)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Answer {}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str, message: &str) -> Answer {
        Answer {
            service: "AWS",
            status,
            code: code.into(),
            message: message.into(),
            request_id: Some("R1".into()),
        }
    }

    #[test]
    fn codes_before_statuses() {
        let said = "u is not authorized to perform: s3:PutObject";
        let scp =
            "u is not authorized to perform: x with an explicit deny in a service control policy";
        for (status, code, message, expected) in [
            (403, "AccessDenied", "", AwsFault::Forbidden),
            (403, "AccessDenied", said, AwsFault::Denied),
            (
                403,
                "AccessDeniedException",
                scp,
                AwsFault::ServiceControlPolicy,
            ),
            (403, "InvalidClientTokenId", "", AwsFault::Credentials),
            (403, "RequestTimeTooSkewed", "", AwsFault::Credentials),
            (400, "ThrottlingException", "", AwsFault::Busy),
            (400, "ThrottledException", "", AwsFault::Busy),
            (503, "", "", AwsFault::Busy),
            (404, "NoSuchThing", "", AwsFault::Missing),
            (501, "", "", AwsFault::NotImplemented),
            (418, "Odd", "", AwsFault::Other),
        ] {
            assert_eq!(
                answer(status, code, message).fault(),
                expected,
                "{code} {message}"
            );
        }
    }

    #[test]
    fn it_reads_as_a_cause() {
        assert_eq!(
            answer(404, "NoSuchEntity", "no role r").to_string(),
            "AWS answered 404 NoSuchEntity: no role r (request R1)"
        );
        let bare = Answer {
            request_id: None,
            ..answer(403, "", "")
        };
        assert_eq!(bare.to_string(), "AWS answered 403 without an error code");
    }
}
