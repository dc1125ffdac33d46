//! An S3 bucket, or that of an S3-compatible store: every write says what it replaces.

pub mod bucket;
mod error;
mod look;
mod probe;
mod removal;
mod settling;

pub use error::{Fault, S3Error};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_types::SdkConfig;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use irsa_core::change::Expected;
use irsa_core::documents::DocumentName;
use irsa_core::issuer::DISCOVERY_PATH;
use irsa_core::jwks::MAX_DOCUMENT_BYTES;
use irsa_core::publication::Stored;
use irsa_core::store_url::S3Location;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use self::settling::Settling;
use crate::publish::{PublishError, Publisher};
use crate::store::{DocumentStore, Look};

/// One attempt of one call; documents have some kilobytes.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A client of S3.
///
/// `compatible` is for stores of others at an endpoint of their own: the bucket goes into the path, and checksums
/// that such stores do not know are left out where S3 does not demand them.
pub fn client(config: &SdkConfig, compatible: bool) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let mut builder = Builder::from(config).timeout_config(timeouts);
    if compatible {
        if config.region().is_none() {
            // Such stores do not look at it, but a request cannot be signed without one.
            builder = builder.region(Region::from_static("us-east-1"));
        }
        builder = builder
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    Client::from_conf(builder.build())
}

/// Whether the store compares before it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// `If-Match` and `If-None-Match` are honoured, as by S3.
    Honoured,
    /// They are not: we look again just before a write, and a race in between is lost without a sign.
    Ignored,
}

/// What is known of the store.
#[derive(Debug, Clone)]
enum Trust {
    /// It is S3.
    Known(Conditions),
    /// It is found out before the first write, once for all places in the bucket.
    Probed {
        found: Arc<OnceCell<Conditions>>,
        allow_ignored: bool,
    },
}

/// A place in a bucket.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    location: S3Location,
    /// The account that the bucket must belong to.
    owner: Option<String>,
    max_age: Duration,
    trust: Trust,
    /// The store breaks connections when it answers 304: whole documents are asked for, and compared here.
    breaks_on_304: Arc<AtomicBool>,
    settling: Settling,
}

impl S3Store {
    /// The place of an issuer's documents. `owner` is the AWS account that the bucket must belong to (12 digits):
    /// with it, every call is refused by S3 when the name belongs to somebody else by now.
    pub fn new(client: Client, location: S3Location, owner: Option<String>) -> Self {
        Self {
            client,
            location,
            owner,
            max_age: Duration::from_mins(5),
            trust: Trust::Known(Conditions::Honoured),
            breaks_on_304: Arc::default(),
            settling: Settling::default(),
        }
    }

    /// How long relying parties may keep a document: the `Cache-Control` of what is written.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// For stores that are not S3: whether it compares is found out with a scratch object before the first write. One
    /// that does not is refused, unless `allow_ignored`.
    #[must_use]
    pub fn probed(mut self, allow_ignored: bool) -> Self {
        let found = Arc::default();
        self.trust = Trust::Probed {
            found,
            allow_ignored,
        };
        self
    }

    /// The same bucket and settings at another place.
    #[must_use]
    pub fn at(&self, location: S3Location) -> Self {
        Self {
            location,
            ..self.clone()
        }
    }

    /// Where it is.
    pub fn location(&self) -> &S3Location {
        &self.location
    }

    /// Whether calls name the account that the bucket must belong to.
    pub fn is_owned(&self) -> bool {
        self.owner.is_some()
    }

    fn name(&self, path: &str) -> String {
        format!(
            "s3://{}/{}",
            self.location.bucket(),
            self.location.key(path)
        )
    }

    fn bucket(&self) -> &str {
        self.location.bucket().as_str()
    }

    async fn read(&self, path: &str, seen: Option<&str>) -> Result<Look, S3Error> {
        let read = || self.read_once(path, seen);
        self.settling.wait(read).await
    }

    async fn read_once(&self, path: &str, seen: Option<&str>) -> Result<Look, S3Error> {
        let whole = self.breaks_on_304.load(Ordering::Relaxed);
        let sent = self
            .client
            .get_object()
            .bucket(self.bucket())
            .key(self.location.key(path))
            .set_expected_bucket_owner(self.owner.clone())
            .set_if_none_match(seen.filter(|_| !whole).map(str::to_owned))
            .send()
            .await;
        let output = match sent {
            Ok(output) => output,
            Err(error) => {
                let error = S3Error::of(format!("{} cannot be read", self.name(path)), error);
                return match error.fault() {
                    Fault::NotModified => Ok(Look::Unchanged),
                    Fault::NotModifiedBroken => {
                        self.breaks_on_304.store(true, Ordering::Relaxed);
                        Ok(Look::Unchanged)
                    }
                    Fault::NoObject => Ok(Look::Absent),
                    _ => Err(error),
                };
            }
        };
        let tag = output.e_tag().map(str::to_owned);
        if tag.is_some() && tag.as_deref() == seen {
            return Ok(Look::Unchanged);
        }
        let bytes = self.body(path, output).await?;
        // Every store that we know sends one; without it no condition can be made later.
        let tag = tag.unwrap_or_else(|| base16ct::lower::encode_string(&Sha256::digest(&bytes)));
        Ok(Look::Found(Stored { bytes, tag }))
    }

    /// One byte more than is accepted at most, so that core refuses it as too large rather than as cut short.
    async fn body(&self, path: &str, output: GetObjectOutput) -> Result<Vec<u8>, S3Error> {
        let mut body = output.body;
        let mut bytes = Vec::new();
        while bytes.len() <= MAX_DOCUMENT_BYTES {
            match body.try_next().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(source) => {
                    let what = format!("{} cannot be read", self.name(path));
                    return Err(S3Error::broken(what, source));
                }
            }
        }
        bytes.truncate(MAX_DOCUMENT_BYTES + 1);
        Ok(bytes)
    }

    async fn write(
        &self,
        path: &str,
        bytes: &[u8],
        expected: Option<&Expected>,
    ) -> Result<(), S3Error> {
        let write = || self.write_once(path, bytes, expected);
        self.settling.wait(write).await
    }

    async fn write_once(
        &self,
        path: &str,
        bytes: &[u8],
        expected: Option<&Expected>,
    ) -> Result<(), S3Error> {
        let (absent, tag) = match expected {
            Some(Expected::Absent) => (Some("*"), None),
            Some(Expected::Unchanged(tag)) => (None, Some(tag.clone())),
            None => (None, None),
        };
        let sent = self
            .client
            .put_object()
            .bucket(self.bucket())
            .key(self.location.key(path))
            .set_expected_bucket_owner(self.owner.clone())
            .set_if_none_match(absent.map(str::to_owned))
            .set_if_match(tag)
            .content_type(content_type(path))
            .cache_control(format!("public, max-age={}", self.max_age.as_secs()))
            .body(ByteStream::from(bytes.to_vec()))
            .send()
            .await;
        let what = || format!("{} cannot be written", self.name(path));
        sent.map(drop).map_err(|error| S3Error::of(what(), error))
    }

    /// Whether what stands there is as expected, for stores that do not compare.
    async fn is_as(&self, path: &str, expected: &Expected) -> Result<bool, S3Error> {
        Ok(match (self.read(path, None).await?, expected) {
            (Look::Absent, Expected::Absent) => true,
            (Look::Found(stored), Expected::Unchanged(tag)) => stored.tag == *tag,
            _ => false,
        })
    }
}

impl Publisher for S3Store {
    async fn get(&self, path: &str) -> Result<Option<Stored>, PublishError> {
        Ok(match self.read(path, None).await? {
            Look::Found(stored) => Some(stored),
            Look::Absent | Look::Unchanged => None,
        })
    }

    async fn put_if(
        &self,
        path: &str,
        bytes: &[u8],
        expected: &Expected,
    ) -> Result<(), PublishError> {
        let conflict = || PublishError::Conflict(self.name(path));
        let compares = self.learn().await? == Conditions::Honoured;
        if !compares && !self.is_as(path, expected).await? {
            return Err(conflict());
        }
        match self.write(path, bytes, compares.then_some(expected)).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_lost_race() => {
                // A first attempt may have arrived though its answer did not: then ours is what stands there.
                match self.read(path, None).await? {
                    Look::Found(stored) if stored.bytes == bytes => Ok(()),
                    _ => Err(conflict()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn remove_if(&self, path: &str, tag: &str) -> Result<(), PublishError> {
        let expected = Expected::Unchanged(tag.to_owned());
        // Not every store compares on DELETE, and with versioning on S3 nothing is lost for ever: one more look.
        if !self.is_as(path, &expected).await? {
            return Err(PublishError::Conflict(self.name(path)));
        }
        let compare = self.learn().await? == Conditions::Honoured;
        let sent = self
            .client
            .delete_object()
            .bucket(self.bucket())
            .key(self.location.key(path))
            .set_expected_bucket_owner(self.owner.clone())
            .set_if_match(compare.then(|| tag.to_owned()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = S3Error::of(format!("{} cannot be removed", self.name(path)), error);
                if error.is_lost_race() {
                    Err(PublishError::Conflict(self.name(path)))
                } else {
                    Err(error.into())
                }
            }
        }
    }
}

impl DocumentStore for S3Store {
    async fn look(&self, path: &str, seen: Option<&str>) -> Result<Look, PublishError> {
        Ok(self.read(path, seen).await?)
    }
}

fn content_type(path: &str) -> &'static str {
    let discovery = path == DISCOVERY_PATH.trim_start_matches('/');
    if discovery {
        DocumentName::Discovery.content_type()
    } else {
        DocumentName::Jwks.content_type()
    }
}

/// A name that nobody else uses.
fn random_name() -> Result<String, S3Error> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|error| S3Error::request("no name for a scratch object".to_owned(), error))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
