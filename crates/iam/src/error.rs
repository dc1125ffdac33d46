//! What IAM and STS answer when they do not do what was asked, in terms of what a person can do about it.

use std::error::Error;

use aws_sdk_iam::config::http::HttpResponse;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use irsa_aws::{Cause, Refusal};
use irsa_core::aws_answer::{Answer, AwsFault};
use irsa_core::explain::Explain;

/// Why a call to IAM or STS did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {fault}")]
pub struct IamError {
    /// What was tried, like `role "r" cannot be read`.
    what: String,
    fault: Fault,
    source: Option<Cause>,
}

/// The kinds of failure that a person meets differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `NoSuchEntity`.
    #[error("it does not exist")]
    Missing,
    /// `EntityAlreadyExists`.
    #[error("it exists already")]
    Exists,
    /// `LimitExceeded`.
    #[error("a quota of the account is used up")]
    Limit,
    /// `LimitExceeded` of the trust policy (`ACLSizePerRole`).
    #[error("the trust policy is longer than the account's quota")]
    TrustTooLong,
    /// `OpenIdIdpCommunicationError`.
    #[error("AWS could not reach the issuer")]
    IssuerUnreachable,
    /// `ConcurrentModification`.
    #[error("it was changed by somebody else")]
    LostRace,
    /// `DeleteConflict`.
    #[error("something is still attached to it")]
    InUse,
    /// `MalformedPolicyDocument`.
    #[error("AWS refuses the policy document")]
    BadPolicy,
    /// `ValidationError`, `InvalidInput`.
    #[error("AWS refuses the input")]
    BadInput,
    /// What any service answers: denied, busy, expired credentials.
    #[error("{0}")]
    Aws(AwsFault),
    /// No answer, or half of one.
    #[error("no whole answer came")]
    Broken,
    /// No credentials, or a request that cannot be made.
    #[error("the request could not be made")]
    Request,
}

impl IamError {
    /// Sorts an error of the SDK. `what` is the sentence for it, like `role "r" cannot be read`.
    pub(crate) fn of<E>(what: impl Into<String>, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let what = what.into();
        let (fault, source) = match Refusal::of("AWS", error) {
            Refusal::Answered { answer, .. } => return Self::answered(what, answer),
            Refusal::Unsent(source) => (Fault::Request, source),
            Refusal::Broken { source, .. } => (Fault::Broken, source),
        };
        Self {
            what,
            fault,
            source: Some(source),
        }
    }

    /// A request that cannot be made, or an answer without what was asked for.
    pub(crate) fn request(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self {
            what: what.into(),
            fault: Fault::Request,
            source: Some(source.into()),
        }
    }

    /// Something else stands there than was seen.
    pub(crate) fn lost_race(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fault: Fault::LostRace,
            source: None,
        }
    }

    fn answered(what: String, answer: Answer) -> Self {
        Self {
            what,
            fault: fault(&answer),
            source: Some(Box::new(answer)),
        }
    }

    /// What kind of failure it is.
    pub fn fault(&self) -> Fault {
        self.fault
    }
}

fn fault(answer: &Answer) -> Fault {
    match answer.plain_code() {
        "NoSuchEntity" => Fault::Missing,
        "EntityAlreadyExists" => Fault::Exists,
        "LimitExceeded" if answer.message.contains("ACLSizePerRole") => Fault::TrustTooLong,
        "LimitExceeded" => Fault::Limit,
        "OpenIdIdpCommunicationError" => Fault::IssuerUnreachable,
        "ConcurrentModification" | "EntityTemporarilyUnmodifiable" => Fault::LostRace,
        "DeleteConflict" => Fault::InUse,
        "MalformedPolicyDocument" => Fault::BadPolicy,
        "ValidationError" | "InvalidInput" => Fault::BadInput,
        _ => match answer.fault() {
            AwsFault::Missing => Fault::Missing,
            fault => Fault::Aws(fault),
        },
    }
}

impl Explain for IamError {
    fn help(&self) -> Option<String> {
        Some(match self.fault {
            Fault::Missing => "check the name, the account and --profile".into(),
            Fault::Exists => "somebody else made it in between; run it again, and it is compared and mended".into(),
            Fault::Limit => "the defaults are 100 OIDC providers, 1000 roles and 10 managed policies for each role; ask for more in \
                Service Quotas, or delete what is not used"
                .into(),
            Fault::TrustTooLong => "use a pattern (--allow-wildcard) or more roles; or have the quota \"Role trust policy length\" of IAM \
                raised in Service Quotas: the default is 2048 characters, the most is 4096"
                .into(),
            Fault::IssuerUnreachable => "AWS fetches the issuer to find its CA: publish the documents first and check that they are \
                reachable from the internet, or give --thumbprint (irsa thumbprint HOST prints it)"
                .into(),
            Fault::LostRace => "nothing of theirs was overwritten; run it again".into(),
            Fault::InUse => "detach what other tools have attached, then run it again".into(),
            Fault::BadPolicy => "look at the document: irsa iam role trust-policy prints ours, --policy-file is yours".into(),
            Fault::BadInput => "the cause below names the value".into(),
            Fault::Aws(AwsFault::Denied | AwsFault::Forbidden) => {
                "irsa iam permissions COMMAND prints the policy that is needed".into()
            }
            Fault::Aws(fault) => fault.help().unwrap_or("look the code up in the IAM API reference").into(),
            Fault::Broken => "check that the endpoint is reachable from here; add --ca-file FILE if its CA is private".into(),
            Fault::Request => "check --region, --endpoint-url, and that the AWS SDK finds credentials: aws sts get-caller-identity".into(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(
            self.fault,
            Fault::Exists | Fault::LostRace | Fault::Broken | Fault::Aws(AwsFault::Busy)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, code, message; what it is, whether it is tried again, what the help says.
    const ANSWERS: &[(u16, &str, &str, Fault, bool, &str)] = &[
        (404, "NoSuchEntity", "", Fault::Missing, false, "--profile"),
        (
            409,
            "EntityAlreadyExists",
            "",
            Fault::Exists,
            true,
            "run it again",
        ),
        (
            409,
            "LimitExceeded",
            "",
            Fault::Limit,
            false,
            "Service Quotas",
        ),
        (
            409,
            "LimitExceeded",
            "Cannot exceed quota for ACLSizePerRole: 2048",
            Fault::TrustTooLong,
            false,
            "Role trust policy length",
        ),
        (
            400,
            "OpenIdIdpCommunicationError",
            "",
            Fault::IssuerUnreachable,
            false,
            "publish the documents first",
        ),
        (
            403,
            "AccessDenied",
            "",
            Fault::Aws(AwsFault::Forbidden),
            false,
            "irsa iam permissions",
        ),
        (
            403,
            "AccessDenied",
            "with an explicit deny in a service control policy",
            Fault::Aws(AwsFault::ServiceControlPolicy),
            false,
            "administrator",
        ),
        (
            409,
            "ConcurrentModification",
            "",
            Fault::LostRace,
            true,
            "run it again",
        ),
        (409, "DeleteConflict", "", Fault::InUse, false, "detach"),
        (
            400,
            "MalformedPolicyDocument",
            "",
            Fault::BadPolicy,
            false,
            "trust-policy",
        ),
        (
            403,
            "InvalidClientTokenId",
            "",
            Fault::Aws(AwsFault::Credentials),
            false,
            "log in again",
        ),
        (
            400,
            "Throttling",
            "",
            Fault::Aws(AwsFault::Busy),
            true,
            "in a minute",
        ),
        (
            500,
            "ServiceFailure",
            "",
            Fault::Aws(AwsFault::Busy),
            true,
            "in a minute",
        ),
        (
            418,
            "Odd",
            "",
            Fault::Aws(AwsFault::Other),
            false,
            "API reference",
        ),
    ];

    #[test]
    fn every_answer_has_its_own_next_step() {
        for &(status, code, message, expected, retry, help) in ANSWERS {
            let answer = Answer {
                service: "AWS",
                status,
                code: code.into(),
                message: message.into(),
                request_id: Some("R1".into()),
            };
            let error = IamError::answered("role \"r\" cannot be read".into(), answer);
            assert_eq!(
                (error.fault(), error.retryable()),
                (expected, retry),
                "{code}"
            );
            assert!(error.help().unwrap().contains(help), "{code}");
            assert!(
                error.source().unwrap().to_string().contains("request R1"),
                "{code}"
            );
        }
    }
}
