//! What was seen of the chain, and of what was not, why.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::bucket::PublicAccessBlock;
use crate::explain::{Explain, on_one_line};
use crate::issuer::IssuerUrl;
use crate::provider::{ProviderArn, ProviderState};
use crate::store_url::S3Location;
use crate::thumbprint::Chain;
use crate::token::claims::ServiceAccount;
use crate::token::{Token, TokenError};
use crate::trust::{TrustError, TrustPolicy};

/// Why something was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// In one sentence.
    pub why: String,
    /// How to have it seen.
    pub help: Option<String>,
    /// Whether it may be seen at the next look.
    pub retryable: bool,
}

impl Unseen {
    /// Nobody asked for it; `option` does.
    pub fn not_asked(why: impl Into<String>, option: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            help: Some(option.into()),
            retryable: false,
        }
    }
}

impl<E: Explain> From<&E> for Unseen {
    fn from(error: &E) -> Self {
        Self {
            why: on_one_line(error),
            help: error.help(),
            retryable: error.retryable(),
        }
    }
}

/// Something that was seen, or why not.
#[derive(Debug, Clone)]
pub enum Seen<T> {
    /// It was.
    Found(T),
    /// It was not.
    Unseen(Unseen),
}

impl<T> Seen<T> {
    /// What was seen.
    pub const fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Unseen(_) => None,
        }
    }
}

impl<T, E: Explain> From<Result<T, E>> for Seen<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(found) => Self::Found(found),
            Err(error) => Self::Unseen(Unseen::from(&error)),
        }
    }
}

/// Everything that is known of one issuer.
#[derive(Debug)]
pub struct Facts {
    /// The issuer that is meant.
    pub issuer: IssuerUrl,
    /// The time of this machine.
    pub now: Timestamp,
    /// Who exchanges tokens.
    pub relying_party: RelyingParty,
    /// The GET of the discovery document.
    pub discovery: Look,
    /// The GET of the `jwks_uri`, if the discovery document named one.
    pub jwks: Option<Look>,
    /// The TLS of the issuer's host, and of the `jwks_uri`'s host where that is another.
    pub hosts: Vec<HostSeen>,
    /// kube-apiserver's flags, of one or more files.
    pub flags: Seen<Vec<FlagsSeen>>,
    /// The API servers, each asked.
    pub servers: Seen<Vec<ServerSeen>>,
    /// Tokens.
    pub tokens: Seen<Vec<TokenSeen>>,
    /// The IAM OIDC provider.
    pub provider: Seen<ProviderSeen>,
    /// The IAM role.
    pub role: Seen<RoleSeen>,
    /// The bucket of the documents.
    pub bucket: Seen<BucketSeen>,
    /// The service account in the cluster.
    pub account: Seen<AccountSeen>,
    /// The pod identity webhook.
    pub webhook: Seen<WebhookSeen>,
    /// What STS itself answered.
    pub exchange: Seen<Exchange>,
}

/// Who exchanges tokens for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelyingParty {
    /// AWS: it reaches public addresses only, and its provider URLs have no port.
    Aws,
    /// A compatible service at an endpoint of its own.
    Other,
}

/// One GET, as STS makes it: without credentials, without following redirects.
#[derive(Debug, Clone)]
pub struct Look {
    /// What was fetched.
    pub url: String,
    /// How long it took, in milliseconds, name look-up and handshakes included.
    pub millis: u64,
    /// What came.
    pub outcome: Result<Answer, NoAnswer>,
}

/// An HTTP answer, whatever its status.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Where a redirect points to.
    pub location: Option<String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Date`, in seconds since 1970.
    pub date: Option<i64>,
    /// The body, one byte more than [`crate::jwks::MAX_DOCUMENT_BYTES`] at most.
    pub body: Vec<u8>,
}

/// No answer.
#[derive(Debug, Clone)]
pub struct NoAnswer {
    /// How far it came.
    pub kind: NoAnswerKind,
    /// Why.
    pub reason: String,
}

/// How far a request came that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswerKind {
    /// The host name has no address.
    Name,
    /// No connection.
    Connection,
    /// No TLS.
    Tls,
    /// Nothing in time.
    Timeout,
    /// HTTP broke off.
    Broken,
}

/// The TLS of a host.
#[derive(Debug)]
pub struct HostSeen {
    /// Host and port.
    pub host: String,
    /// Whether keys are fetched from it: this one AWS looks at.
    pub serves_keys: bool,
    /// The certificate chain, or why there is none.
    pub tls: Result<TlsSeen, Unseen>,
}

/// A certificate chain and what this machine makes of it.
#[derive(Debug)]
pub struct TlsSeen {
    /// The chain as it is sent.
    pub chain: Chain,
    /// Whether it ends in a public root, so that AWS trusts it by itself.
    pub public_root: bool,
    /// What every TLS client dislikes: it has expired, or is for another name.
    pub problem: Option<String>,
}

/// kube-apiserver's flags in one file.
#[derive(Debug)]
pub struct FlagsSeen {
    /// Which file.
    pub file: String,
    /// `--service-account-issuer`, in order.
    pub issuers: Vec<String>,
    /// `--api-audiences`, or what they default to.
    pub audiences: Vec<String>,
    /// What else is wrong with the token flags: the fault, and what to do.
    pub others: Vec<(String, String)>,
}

/// One API server.
#[derive(Debug)]
pub struct ServerSeen {
    /// Its address.
    pub url: String,
    /// The discovery document that it serves itself; none when it serves none.
    pub discovery: Option<String>,
    /// The JWKS that it serves itself; none when it serves none.
    pub jwks: Option<String>,
}

/// A token.
#[derive(Debug)]
pub struct TokenSeen {
    /// Where it is from: a file, or who made it for whom.
    pub from: String,
    /// The token.
    pub token: Result<Token, TokenError>,
}

/// The IAM OIDC provider of the issuer.
#[derive(Debug)]
pub struct ProviderSeen {
    /// Where it is, or would be.
    pub arn: ProviderArn,
    /// What it is like; none when there is none.
    pub state: Option<ProviderState>,
    /// All providers of the account, if they could be listed.
    pub others: Vec<ProviderArn>,
}

/// The IAM role.
#[derive(Debug)]
pub struct RoleSeen {
    /// Its ARN as it was given.
    pub arn: String,
    /// What it is like; none when there is none.
    pub found: Option<RoleFound>,
}

/// A role that exists.
#[derive(Debug)]
pub struct RoleFound {
    /// Its ARN as IAM has it, with the path.
    pub arn: String,
    /// Its trust policy.
    pub trust: Result<TrustPolicy, TrustError>,
}

/// The bucket of the documents.
#[derive(Debug)]
pub struct BucketSeen {
    /// Where the documents stand.
    pub location: S3Location,
    /// Whether it is there.
    pub existence: Seen<Existence>,
    /// Block Public Access of the bucket.
    pub block: Seen<PublicAccessBlock>,
    /// Block Public Access of the account.
    pub account_block: Seen<PublicAccessBlock>,
    /// The bucket policy; none when there is none.
    pub policy: Seen<Option<String>>,
}

/// Whether a bucket is there, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existence {
    /// It is, and belongs to the account that was expected, if one was.
    Ours,
    /// It belongs to another account than this one.
    Foreign(String),
    /// It is not: everybody can make it.
    Missing,
}

/// A service account in the cluster.
#[derive(Debug)]
pub struct AccountSeen {
    /// Which one.
    pub account: ServiceAccount,
    /// Its annotations; none when it does not exist.
    pub annotations: Option<BTreeMap<String, String>>,
    /// The annotations of its namespace.
    pub namespace: BTreeMap<String, String>,
    /// The prefix of the webhook's annotations: `eks.amazonaws.com`.
    pub prefix: String,
}

/// The pod identity webhook.
#[derive(Debug)]
pub struct WebhookSeen {
    /// The registrations that look like one, by name.
    pub registrations: Vec<String>,
    /// What is wrong with them.
    pub problems: Vec<String>,
    /// Pods without the role of their service account: which, what is wrong, what to do.
    pub pods: Seen<Vec<(String, String, String)>>,
}

/// What STS answered to the first token.
#[derive(Debug)]
pub struct Exchange {
    /// The ARN of the session, or the refusal: code and message.
    pub answer: Result<String, (String, String)>,
}
