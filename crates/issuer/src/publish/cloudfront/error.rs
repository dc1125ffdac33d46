//! What `CloudFront` answers when it does not do what was asked, in terms of what a person can do about it.

use std::error::Error;

use aws_sdk_cloudfront::config::http::HttpResponse;
use aws_sdk_cloudfront::error::{ProvideErrorMetadata, SdkError};
use irsa_aws::{Cause, Refusal};
use irsa_core::aws_answer::{Answer, AwsFault};
use irsa_core::explain::Explain;

/// Why a call to `CloudFront` did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {fault}")]
pub struct CloudFrontError {
    /// What was tried, like `distribution E1 cannot be read`.
    what: String,
    fault: Fault,
    source: Option<Cause>,
}

/// The kinds of failure that a person meets differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `NoSuchDistribution`, `NoSuchOriginAccessControl`.
    #[error("it does not exist")]
    Missing,
    /// `DistributionAlreadyExists`, `OriginAccessControlAlreadyExists`.
    #[error("it exists already")]
    Exists,
    /// `CNAMEAlreadyExists`.
    #[error("another distribution answers for this host name")]
    AliasTaken,
    /// `InvalidViewerCertificate`.
    #[error("CloudFront cannot use the certificate for this host name")]
    Certificate,
    /// `TooManyDistributions` and its like.
    #[error("a quota of the account is used up")]
    Limit,
    /// `PreconditionFailed`, `InvalidIfMatchVersion`.
    #[error("it was changed by somebody else")]
    LostRace,
    /// `DistributionNotDisabled`, `OriginAccessControlInUse`.
    #[error("it is still in use")]
    InUse,
    /// Not deployed in time.
    #[error("it is not deployed everywhere yet")]
    NotDeployed,
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

impl CloudFrontError {
    /// Sorts an error of the SDK. `what` is the sentence for it.
    pub(super) fn of<E>(what: impl Into<String>, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let (fault, source) = match Refusal::of("AWS", error) {
            Refusal::Answered { answer, .. } => (fault(&answer), Box::new(answer) as Cause),
            Refusal::Unsent(source) => (Fault::Request, source),
            Refusal::Broken { source, .. } => (Fault::Broken, source),
        };
        Self {
            what: what.into(),
            fault,
            source: Some(source),
        }
    }

    /// A request that cannot be made, or an answer without what was asked for.
    pub(super) fn request(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self {
            what: what.into(),
            fault: Fault::Request,
            source: Some(source.into()),
        }
    }

    /// It took too long.
    pub(super) fn not_deployed(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fault: Fault::NotDeployed,
            source: None,
        }
    }

    /// What kind of failure it is.
    pub fn fault(&self) -> Fault {
        self.fault
    }
}

fn fault(answer: &Answer) -> Fault {
    match answer.plain_code() {
        "NoSuchDistribution" | "NoSuchOriginAccessControl" | "NoSuchResource" => Fault::Missing,
        "DistributionAlreadyExists" | "OriginAccessControlAlreadyExists" => Fault::Exists,
        "CNAMEAlreadyExists" => Fault::AliasTaken,
        "InvalidViewerCertificate" => Fault::Certificate,
        "PreconditionFailed" | "InvalidIfMatchVersion" => Fault::LostRace,
        "DistributionNotDisabled" | "OriginAccessControlInUse" | "ResourceInUse" => Fault::InUse,
        code if code.starts_with("TooMany") && code != "TooManyRequests" => Fault::Limit,
        _ if answer.status == 412 => Fault::LostRace,
        _ => match answer.fault() {
            AwsFault::Missing => Fault::Missing,
            fault => Fault::Aws(fault),
        },
    }
}

impl Explain for CloudFrontError {
    fn help(&self) -> Option<String> {
        Some(match self.fault {
            Fault::Missing => "somebody deleted it in between: run it again".into(),
            Fault::Exists => "somebody else made it in between; run it again, and it is looked at first".into(),
            Fault::AliasTaken => "a host name belongs to one distribution in all of AWS: take it from the other, or use another issuer".into(),
            Fault::Certificate => "the certificate must be issued, in us-east-1, and for this very host name: aws acm describe-certificate \
                --region us-east-1"
                .into(),
            Fault::Limit => "ask for more in Service Quotas, or delete what is not used".into(),
            Fault::LostRace => "nothing of theirs was overwritten; run it again".into(),
            Fault::InUse => "CloudFront deletes only what is disabled everywhere: run it again in some minutes".into(),
            Fault::NotDeployed => "CloudFront takes some minutes, seldom more than twenty; run it again, and it goes on waiting".into(),
            Fault::Aws(AwsFault::Denied | AwsFault::Forbidden) => {
                "irsa iam permissions bootstrap prints the policy that is needed".into()
            }
            Fault::Aws(fault) => fault.help().unwrap_or("look the code up in the CloudFront API reference").into(),
            Fault::Broken => "check that the endpoint is reachable from here; add --ca-file FILE if its CA is private".into(),
            Fault::Request => "check --endpoint-url, and that the AWS SDK finds credentials: aws sts get-caller-identity".into(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(
            self.fault,
            Fault::Missing
                | Fault::Exists
                | Fault::LostRace
                | Fault::InUse
                | Fault::Aws(AwsFault::Busy)
                | Fault::NotDeployed
                | Fault::Broken
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_own_next_step() {
        for (status, code, expected) in [
            (404, "NoSuchDistribution", Fault::Missing),
            (409, "DistributionAlreadyExists", Fault::Exists),
            (409, "CNAMEAlreadyExists", Fault::AliasTaken),
            (400, "InvalidViewerCertificate", Fault::Certificate),
            (400, "TooManyDistributions", Fault::Limit),
            (429, "TooManyRequestsException", Fault::Aws(AwsFault::Busy)),
            (412, "PreconditionFailed", Fault::LostRace),
            (409, "DistributionNotDisabled", Fault::InUse),
            (403, "AccessDenied", Fault::Aws(AwsFault::Forbidden)),
            (503, "ServiceUnavailable", Fault::Aws(AwsFault::Busy)),
            (400, "Odd", Fault::Aws(AwsFault::Other)),
        ] {
            let answer = Answer {
                service: "AWS",
                status,
                code: code.into(),
                message: String::new(),
                request_id: None,
            };
            assert_eq!(fault(&answer), expected, "{code}");
        }
    }
}
