//! Where a key ring and its private keys rest. A store is never public: neither belongs in a bucket that is served.

pub mod dir;
pub mod keys;

use std::future::Future;
use std::path::PathBuf;

use irsa_core::change::Expected;
use irsa_core::explain::Explain;
use irsa_core::publication::Stored;

/// A place that holds one record, and accepts a new one only over the one that it was made from.
pub trait RingStore {
    /// The record, if there is one.
    fn load(&self) -> impl Future<Output = Result<Option<Stored>, StateError>>;

    /// Replaces the record, if it is still as expected. Returns the tag of the new one.
    fn save(
        &self,
        bytes: &[u8],
        expected: &Expected,
    ) -> impl Future<Output = Result<String, StateError>>;

    /// Whether no other run can be alive on this store now: then whoever left a lease behind is dead.
    fn is_exclusive(&self) -> bool;
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
    #[error("the key ring in \"{}\" was changed by another run", .0.display())]
    Conflict(PathBuf),
    /// Somebody else could read private keys.
    #[error("directory \"{}\" can be entered by others (mode {mode:04o}, expected 0700)", path.display())]
    Exposed {
        /// Which directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
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
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Conflict(_))
    }
}
