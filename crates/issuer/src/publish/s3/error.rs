//! What S3 answers when it does not do what was asked, in terms of what a person can do about it.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use irsa_aws::{Cause, Refusal};
use irsa_core::aws_answer::{Answer, AwsFault};
use irsa_core::explain::Explain;

/// Why a call to S3 did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {fault}")]
pub struct S3Error {
    /// What was tried, like `s3://b/k cannot be read`.
    what: String,
    fault: Fault,
    /// What S3 said, or why it said nothing.
    source: Option<Cause>,
}

/// The kinds of failure that a person meets differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bucket does not exist.
    #[error("there is no such bucket")]
    NoBucket,
    /// The object does not exist.
    #[error("there is no such object")]
    NoObject,
    /// The bucket lacks what was asked for: a policy, tags, a setting.
    #[error("it has none")]
    NotSet,
    /// The version that was seen is still there (304).
    #[error("it has not changed")]
    NotModified,
    /// The same, and the answer broke the connection: not to be asked again in this way.
    #[error("it has not changed")]
    NotModifiedBroken,
    /// Somebody else's bucket has this name.
    #[error("the name belongs to a bucket of another account")]
    Taken,
    /// The bucket was made before, by this account.
    #[error("it exists and is yours")]
    AlreadyYours,
    /// It cannot be deleted while something is in it.
    #[error("it is not empty")]
    NotEmpty,
    /// Wrong or expired credentials, or a wrong clock.
    #[error("S3 refuses the credentials")]
    Credentials,
    /// The bucket is in another Region, in this one if S3 said so.
    #[error("the bucket is in {}", .0.as_deref().unwrap_or("another Region"))]
    OtherRegion(Option<String>),
    /// The caller's permissions, or the bucket's policy.
    #[error("access is denied")]
    Denied,
    /// The bucket belongs to another account, or the object does not exist and the caller may not list.
    #[error("access is denied, or it does not exist and may not be listed")]
    Hidden,
    /// Block Public Access of the account or organisation: that of the bucket was opened before.
    #[error("Block Public Access of the account or organisation forbids a public bucket policy")]
    PublicAccessBlock,
    /// A service control policy of the organisation.
    #[error("a service control policy of the organisation forbids it")]
    ServiceControlPolicy,
    /// A bucket policy is refused without a reason.
    #[error("access is denied, by your permissions or by Block Public Access of the account")]
    PolicyDenied,
    /// Changed by somebody else in between (412, 409).
    #[error("it was changed by somebody else")]
    LostRace,
    /// Too many requests, or S3 is not well.
    #[error("S3 asks to come back later")]
    Busy,
    /// A compatible store that lacks the call.
    #[error("the store does not know this call")]
    NotImplemented,
    /// Any other answer.
    #[error("S3 refuses")]
    Other,
    /// No answer, or half of one.
    #[error("no whole answer came")]
    Broken,
    /// No credentials, or a request that cannot be made.
    #[error("the request could not be made")]
    Request,
}

impl S3Error {
    /// Sorts an error of the SDK. `what` is the sentence for it, like `s3://b/k cannot be read`.
    pub(super) fn of<E>(what: String, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let (fault, source) = match Refusal::of("S3", error) {
            Refusal::Answered { answer, region } => return Self::answered(what, answer, region),
            Refusal::Unsent(source) => (Fault::Request, source),
            // Over HTTP/2 some stores announce a body with a 304 and send none, which breaks the stream.
            Refusal::Broken {
                status: Some(304),
                source,
            } => (Fault::NotModifiedBroken, source),
            Refusal::Broken { source, .. } => (Fault::Broken, source),
        };
        Self {
            what,
            fault,
            source: Some(source),
        }
    }

    /// An answer that broke off.
    pub(super) fn broken(what: String, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            what,
            fault: Fault::Broken,
            source: Some(Box::new(source)),
        }
    }

    /// A request that cannot be made.
    pub(super) fn request(what: String, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            what,
            fault: Fault::Request,
            source: Some(Box::new(source)),
        }
    }

    /// Something else stands there than was seen.
    pub(super) fn lost_race(what: String) -> Self {
        Self {
            what,
            fault: Fault::LostRace,
            source: None,
        }
    }

    fn answered(what: String, answer: Answer, region: Option<String>) -> Self {
        Self {
            what,
            fault: fault(&answer, region),
            source: Some(Box::new(answer)),
        }
    }

    /// The same of a call that sets a bucket policy, which S3 may refuse without a reason.
    pub(super) fn of_policy<E>(what: String, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let mut error = Self::of(what, error);
        if error.fault == Fault::Hidden {
            error.fault = Fault::PolicyDenied;
        }
        error
    }

    /// The same of HEAD of a bucket, whose 404 has no body that says what was not found.
    pub(super) fn of_head<E>(what: String, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let mut error = Self::of(what, error);
        if error.fault == Fault::NoObject {
            error.fault = Fault::NoBucket;
        }
        error
    }

    /// What kind of failure it is.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Whether somebody else wrote in between. An object to be updated that is gone counts too.
    pub(super) fn is_lost_race(&self) -> bool {
        matches!(self.fault, Fault::LostRace | Fault::NoObject)
    }
}

fn fault(answer: &Answer, region: Option<String>) -> Fault {
    match (answer.status, answer.code.as_str()) {
        (_, "NoSuchBucket") => Fault::NoBucket,
        (_, "NoSuchKey") => Fault::NoObject,
        (
            _,
            "NoSuchBucketPolicy"
            | "NoSuchTagSet"
            | "OwnershipControlsNotFoundError"
            | "NoSuchPublicAccessBlockConfiguration",
        ) => Fault::NotSet,
        (304, _) => Fault::NotModified,
        (_, "BucketAlreadyExists") => Fault::Taken,
        (_, "BucketAlreadyOwnedByYou") => Fault::AlreadyYours,
        (_, "BucketNotEmpty") => Fault::NotEmpty,
        (301 | 307, _)
        | (
            _,
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
        ) => Fault::OtherRegion(region),
        (409 | 412, _) => Fault::LostRace,
        (403, _) if names_access_block(&answer.message) => Fault::PublicAccessBlock,
        _ => match answer.fault() {
            AwsFault::Denied => Fault::Denied,
            // S3 also answers so for what does not exist.
            AwsFault::Forbidden => Fault::Hidden,
            AwsFault::ServiceControlPolicy => Fault::ServiceControlPolicy,
            AwsFault::Credentials => Fault::Credentials,
            AwsFault::Busy => Fault::Busy,
            AwsFault::NotImplemented => Fault::NotImplemented,
            AwsFault::Missing => Fault::NoObject,
            AwsFault::Other => Fault::Other,
        },
    }
}

/// S3 says in the text of an `AccessDenied` when Block Public Access forbids the call.
fn names_access_block(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("blockpublicpolicy") || message.contains("block public access")
}

impl Explain for S3Error {
    fn help(&self) -> Option<String> {
        Some(match &self.fault {
            Fault::NoBucket => "check the name and --region; or add --create-bucket to have it made".into(),
            Fault::NoObject
            | Fault::NotSet
            | Fault::NotModified
            | Fault::NotModifiedBroken
            | Fault::AlreadyYours => {
                "run it again; if it stays so, report it as a bug in irsa with this message".into()
            }
            Fault::Taken => "bucket names are shared by all accounts: choose another".into(),
            Fault::NotEmpty => "something was written to it in between: look what it is, then run it again".into(),
            Fault::Credentials => "log in again, and check the machine's clock: aws sts get-caller-identity".into(),
            Fault::OtherRegion(Some(region)) => format!("add --region {region}"),
            Fault::OtherRegion(None) => "add --region with the Region of the bucket".into(),
            Fault::Denied => "irsa iam permissions publish prints what is needed".into(),
            Fault::Hidden => "check that the bucket is in this account (--bucket-owner); without s3:ListBucket S3 answers \
                403 for what does not exist: irsa iam permissions publish prints what is needed"
                .into(),
            Fault::PublicAccessBlock | Fault::PolicyDenied => "ask for an exception (aws s3control get-public-access-block --account-id ACCOUNT \
                shows what the account has on), or publish without a public bucket: --access none with a server or CDN of yours in front"
                .into(),
            Fault::ServiceControlPolicy => "ask the organisation's administrator for an exception, or publish without a \
                public bucket: --access none with a server or CDN of yours in front"
                .into(),
            Fault::LostRace => "nothing of theirs was overwritten; run it again".into(),
            Fault::Busy => "run it again in a minute".into(),
            Fault::NotImplemented => "leave --create-bucket and --access out, and set the bucket up with the store's own tools".into(),
            Fault::Other => "look the code up in the S3 API reference".into(),
            Fault::Broken => "check that the endpoint is reachable from here; add --ca-file FILE if its CA is private".into(),
            Fault::Request => "check --region, --endpoint-url, and that the AWS SDK finds credentials: aws sts get-caller-identity".into(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(self.fault, Fault::LostRace | Fault::Busy | Fault::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, code: &str, message: &str) -> S3Error {
        let answer = Answer {
            service: "S3",
            status,
            code: code.into(),
            message: message.into(),
            request_id: Some("R1".into()),
        };
        S3Error::answered(
            "s3://b/k cannot be written".into(),
            answer,
            Some("eu-west-1".into()),
        )
    }

    #[test]
    fn answers_become_what_a_person_can_do() {
        for (status, code, message, retry, text, help) in [
            (
                412,
                "PreconditionFailed",
                "",
                true,
                "changed by somebody else",
                "nothing of theirs",
            ),
            (
                409,
                "ConditionalRequestConflict",
                "",
                true,
                "changed by somebody else",
                "run it again",
            ),
            (503, "SlowDown", "", true, "come back later", "in a minute"),
            (
                404,
                "NoSuchBucket",
                "",
                false,
                "no such bucket",
                "--create-bucket",
            ),
            (301, "", "", false, "is in eu-west-1", "--region eu-west-1"),
            (
                409,
                "BucketAlreadyExists",
                "",
                false,
                "another account",
                "choose another",
            ),
            (
                501,
                "NotImplemented",
                "",
                false,
                "does not know this call",
                "own tools",
            ),
            (
                403,
                "AccessDenied",
                "Access Denied",
                false,
                "may not be listed",
                "s3:ListBucket",
            ),
            (
                403,
                "AccessDenied",
                "User: u is not authorized to perform: s3:PutObject",
                false,
                "access is denied",
                "irsa iam permissions",
            ),
            (
                403,
                "AccessDenied",
                "because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
                false,
                "Block Public Access of the account",
                "--access",
            ),
            (
                403,
                "AccessDenied",
                "u is not authorized to perform: s3:PutBucketPolicy with an explicit deny in a service control policy",
                false,
                "service control policy",
                "administrator",
            ),
            (400, "Odd", "", false, "S3 refuses", "S3 API reference"),
        ] {
            let error = sorted(status, code, message);
            assert_eq!(error.retryable(), retry, "{code}");
            assert!(error.to_string().contains(text), "{code}: {error}");
            assert!(
                error.help().unwrap().contains(help),
                "{code}: {:?}",
                error.help()
            );
            assert!(
                error.source().unwrap().to_string().contains("request R1"),
                "{code}"
            );
        }
    }
}
