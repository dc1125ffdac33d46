//! Two runs for one cluster at once: one works, the other says so and goes.
//!
//! The lock is on the configuration file itself, so that nothing is left behind: the system takes it back when a run
//! ends, however it ends. Runs on other machines meet at the conditional writes to the store instead.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;

use irsa_core::explain::Explain;

use crate::context::Context;
use crate::report::Failure;

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: Option<File>,
}

/// Why this run does not work on the cluster.
#[derive(Debug, thiserror::Error)]
enum LockError {
    /// Another one does.
    #[error("another run is at work with configuration file \"{}\"", .0.display())]
    Taken(PathBuf),
    /// The file system refuses.
    #[error("configuration file \"{}\" cannot be locked", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Explain for LockError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Taken(_) => "this run changed nothing; wait until the other one has ended".into(),
            Self::Io { .. } => "put the file on a file system with locks (flock)".into(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Taken(_))
    }
}

/// Takes the lock, or says who has it.
pub fn take(context: &Context) -> Result<Lock, Failure> {
    let Some(path) = &context.global.config else {
        return Ok(Lock { _file: None });
    };
    let fail = |source| LockError::Io {
        path: path.clone(),
        source,
    };
    let file = File::open(path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: Some(file) }),
        Err(TryLockError::WouldBlock) => Err(LockError::Taken(path.clone()).into()),
        Err(TryLockError::Error(source)) => Err(fail(source).into()),
    }
}
