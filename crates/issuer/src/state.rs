//! Where a key ring and its private keys rest. A key ring is no secret, but nobody else may write it; private keys never
//! belong where something is served from.
//!
//! | place | what keeps two runs apart | private keys |
//! |---|---|---|
//! | [`dir`] | a lock on a file, held as long as a run lives; rename | beside it, 0600 |
//! | [`secret`] | `resourceVersion`, and the lease in the ring | in a second Secret |
//! | [`s3`] | `If-Match`, and the lease in the ring | never: a directory or a Secret |

pub mod dir;
pub mod keys;
pub mod s3;
pub mod secret;

use std::future::Future;
use std::path::PathBuf;

use irsa_core::api_answer::is_passing;
use irsa_core::change::Expected;
use irsa_core::explain::Explain;
use irsa_core::kid::Kid;
use irsa_core::publication::Stored;

use self::dir::StateDirectory;
use self::s3::S3Ring;
use self::secret::{SecretRing, status};
use crate::keyfile::KeyFileError;
use crate::publish::PublishError;
use crate::sign::RandomError;

/// A place that holds one record, and accepts a new one only over the one that it was made from.
pub trait RingStore {
    /// The record, if there is one.
    fn load(&self) -> impl Future<Output = Result<Option<Stored>, StateError>>;

    /// Replaces the record, if it is still as expected. Returns the tag of the new one. A save that arrived although
    /// its answer did not counts as done.
    fn save(
        &self,
        bytes: &[u8],
        expected: &Expected,
    ) -> impl Future<Output = Result<String, StateError>>;

    /// Whether no other run can be alive on this store now: then whoever left a lease behind is dead.
    fn is_exclusive(&self) -> bool;
}

/// A store of any kind.
#[derive(Debug)]
pub enum AnyRingStore {
    /// A directory of this host.
    Directory(StateDirectory),
    /// A Secret of the cluster.
    Secret(SecretRing),
    /// An object in a bucket.
    S3(S3Ring),
}

impl RingStore for AnyRingStore {
    async fn load(&self) -> Result<Option<Stored>, StateError> {
        match self {
            Self::Directory(store) => store.load().await,
            Self::Secret(store) => store.load().await,
            Self::S3(store) => store.load().await,
        }
    }

    async fn save(&self, bytes: &[u8], expected: &Expected) -> Result<String, StateError> {
        match self {
            Self::Directory(store) => store.save(bytes, expected).await,
            Self::Secret(store) => store.save(bytes, expected).await,
            Self::S3(store) => store.save(bytes, expected).await,
        }
    }

    fn is_exclusive(&self) -> bool {
        match self {
            Self::Directory(store) => store.is_exclusive(),
            Self::Secret(store) => store.is_exclusive(),
            Self::S3(store) => store.is_exclusive(),
        }
    }
}

/// Why a record or a key is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refuses.
    #[error("\"{}\" cannot be {action}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// Another run holds the directory.
    #[error("\"{}\" is in use by another run", .0.display())]
    Busy(PathBuf),
    /// Somebody saved in between.
    #[error("the key ring in \"{0}\" was changed by another run")]
    Conflict(String),
    /// Somebody else could read private keys.
    #[error("directory \"{}\" can be entered by others (mode {mode:04o}, expected 0700)", path.display())]
    Exposed {
        /// Which directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another issuer's private keys rest there.
    #[error(
        "the private keys of the issuer \"{owner}\" rest in {place}, expected none or those of \"{issuer}\""
    )]
    OtherIssuer {
        /// Where.
        place: String,
        /// Whose they are.
        owner: String,
        /// Ours.
        issuer: String,
    },
    /// The API server refuses.
    #[error("Secret \"{secret}\" cannot be {action}")]
    Secret {
        /// Its namespace and name.
        secret: String,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The bucket.
    #[error(transparent)]
    Store(#[from] PublishError),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The system gives no random numbers, which the name of a place is made of.
    #[error("the place of private keys cannot be named")]
    Random(#[source] RandomError),
    /// What was stored does not read back.
    #[error("the private half of key \"{kid}\" does not read back from {place}")]
    Unreadable {
        /// Which key.
        kid: Kid,
        /// Where.
        place: String,
    },
}

impl Explain for StateError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => {
                "mend the cause and run it again: the record is replaced whole or not at all".into()
            }
            Self::Busy(_) | Self::Conflict(_) => {
                "nothing of theirs was overwritten; run it again".into()
            }
            Self::Exposed { path, .. } => format!("chmod 700 {}", path.display()),
            Self::OtherIssuer { .. } => {
                "give each issuer a place of its own with --private-keys: a run erases keys that its key ring does not have".into()
            }
            Self::Secret { secret, source, .. } => match status(source) {
                Some(401 | 403) => {
                    format!("allow get, create and patch of Secret {secret} to whoever runs this")
                }
                Some(404) => "make the namespace first, or name another one".into(),
                _ => "see the log of the API server".into(),
            },
            Self::Random(error) => return error.help(),
            Self::Store(error) => return error.help(),
            Self::Key(error) => return error.help(),
            Self::Unreadable { .. } => {
                "put it back, or let the key be given up: nothing is published before its private half is kept".into()
            }
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Conflict(_) => true,
            Self::Secret { source, .. } => is_passing(status(source)),
            Self::Store(error) => error.retryable(),
            Self::Io { .. }
            | Self::Exposed { .. }
            | Self::OtherIssuer { .. }
            | Self::Random(_)
            | Self::Key(_)
            | Self::Unreadable { .. } => false,
        }
    }
}
