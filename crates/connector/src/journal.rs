//! The journal: what a registration has reached, on disk before AWS is asked and after AWS has answered.
//!
//! AWS returns the activation code once. It is written here before anything else is done with it, so that a crash never
//! loses it; it is erased here when the cluster is connected.
//!
//! One folder for each cluster, mode 0700, with `journal.json`, mode 0600, replaced whole. The folder is locked while a
//! run works on it.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use irsa_core::explain::Explain;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::activation::{Activation, ActivationCode};
use crate::role::Registration;

/// The format that this version writes and reads.
const FORMAT: u32 = 1;
/// Far above any journal: a bound on what a wrong file makes us read.
const MAX_BYTES: u64 = 1 << 16;

/// How far a registration is.
#[derive(Debug)]
pub enum Phase {
    /// AWS may or may not know the cluster: the request is about to be sent, or its answer was not seen.
    Registering,
    /// AWS knows the cluster and the code is here; the agents may not have it yet.
    Registered(Activation),
    /// The cluster was seen connected, and the code was erased.
    Connected {
        /// The activation's ID.
        activation_id: String,
    },
}

/// The journal of one registration.
#[derive(Debug)]
pub struct Record {
    /// The cluster.
    pub cluster_arn: String,
    /// The agent role.
    pub role_arn: String,
    /// The idempotency token of the request: whoever knows it could ask for the same answer, so it stays here.
    pub client_request_token: String,
    /// What this registration writes on everything that it makes ([`MARK_TAG`](crate::role::MARK_TAG)); not secret.
    pub mark: String,
    /// When the request was first sent.
    pub started: Timestamp,
    /// How far it is.
    pub phase: Phase,
}

/// The journal of a cluster, not locked.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
    cluster_arn: String,
}

/// The journal of a cluster, kept for this run until it is dropped.
#[derive(Debug)]
pub struct LockedJournal {
    journal: Journal,
    _lock: File,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refuses.
    #[error("journal \"{}\" cannot be {action}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Group or others could read the activation code.
    #[error("journal \"{}\" can be read by others (mode {mode:04o}, expected 0600)", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
    },
    /// Another run works on the same cluster.
    #[error("another run is working on cluster {0}")]
    Busy(String),
    /// Not what irsa writes.
    #[error("journal \"{}\" is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong, without any of the content.
        reason: String,
    },
}

impl Explain for JournalError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "choose another folder with --journal, or free this one".into(),
            Self::Exposed { path, .. } => format!(
                "chmod 600 {0}, and register anew if this host is shared",
                path.display()
            ),
            Self::Busy(_) => "wait until it has ended".into(),
            Self::Damaged { path, .. } => format!(
                "if the cluster is not to be resumed: irsa connector deregister, then rm {}",
                path.display()
            ),
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

/// The file's content. The code is wiped when it goes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    cluster_arn: String,
    role_arn: String,
    client_request_token: String,
    mark: String,
    started: Timestamp,
    phase: StoredPhase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activation_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activation_expiry: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredPhase {
    Registering,
    Registered,
    Connected,
}

impl Drop for Stored {
    fn drop(&mut self) {
        if let Some(code) = &mut self.activation_code {
            code.zeroize();
        }
    }
}

impl Journal {
    /// The journal of a cluster below `root`.
    pub fn new(root: &Path, registration: &Registration) -> Self {
        let name = format!(
            "{}-{}-{}",
            registration.account, registration.region, registration.name
        );
        Self {
            directory: root.join(name),
            cluster_arn: registration.cluster_arn(),
        }
    }

    /// The file that holds the record.
    pub fn path(&self) -> PathBuf {
        self.directory.join("journal.json")
    }

    /// Reads the record, if there is one.
    pub fn load(&self) -> Result<Option<Record>, JournalError> {
        let path = self.path();
        let fail = |source| io_error(&path, "read", source);
        // The file that is looked at is the one that is read.
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(fail(source)),
        };
        let metadata = file.metadata().map_err(fail)?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(JournalError::Exposed { path, mode });
        }
        let mut text = Zeroizing::new(Vec::new());
        // Growing would leave unwiped copies of the code behind.
        text.reserve_exact(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or_default() + 1);
        file.take(MAX_BYTES).read_to_end(&mut text).map_err(fail)?;
        self.parse(&text)
            .map(Some)
            .map_err(|reason| JournalError::Damaged { path, reason })
    }

    /// Keeps other runs away; the folder is made if it is missing.
    pub fn lock(self) -> Result<LockedJournal, JournalError> {
        let directory = self.directory.clone();
        let fail = |source| io_error(&directory, "made", source);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(fail)?;
        let lock = File::open(&directory).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(LockedJournal {
                journal: self,
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Busy(self.cluster_arn)),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    fn parse(&self, text: &[u8]) -> Result<Record, String> {
        // serde's messages name places and types; a value that it quotes could be the code.
        let mut stored: Stored = serde_json::from_slice(text).map_err(|error| {
            format!(
                "line {} column {} is not what irsa writes",
                error.line(),
                error.column()
            )
        })?;
        if stored.format != FORMAT {
            return Err(format!(
                "it has format {}, expected {FORMAT}",
                stored.format
            ));
        }
        if stored.cluster_arn != self.cluster_arn {
            return Err(format!(
                "it is of cluster {}, expected {}",
                stored.cluster_arn, self.cluster_arn
            ));
        }
        let id = stored.activation_id.take();
        let code = stored.activation_code.take().map(Zeroizing::new);
        let phase = match (&stored.phase, id, code) {
            (StoredPhase::Registering, None, None) => Phase::Registering,
            (StoredPhase::Registered, Some(id), Some(code)) => Phase::Registered(Activation {
                id,
                code: ActivationCode::new(code),
                expiry: stored.activation_expiry,
            }),
            (StoredPhase::Connected, Some(activation_id), None) => {
                Phase::Connected { activation_id }
            }
            _ => return Err("its phase does not fit its activation".into()),
        };
        Ok(Record {
            cluster_arn: std::mem::take(&mut stored.cluster_arn),
            role_arn: std::mem::take(&mut stored.role_arn),
            client_request_token: std::mem::take(&mut stored.client_request_token),
            mark: std::mem::take(&mut stored.mark),
            started: stored.started,
            phase,
        })
    }
}

impl LockedJournal {
    /// Reads the record, if there is one.
    pub fn load(&self) -> Result<Option<Record>, JournalError> {
        self.journal.load()
    }

    /// The file that holds the record.
    pub fn path(&self) -> PathBuf {
        self.journal.path()
    }

    /// Writes the record over the one before, whole and durably.
    pub fn save(&self, record: &Record) -> Result<(), JournalError> {
        let path = self.journal.path();
        let fail = |source| io_error(&path, "written", source);
        let text = serialize(record).map_err(fail)?;
        irsa_files::replace(&path, &text, 0o600).map_err(fail)
    }

    /// Forgets the registration.
    pub fn erase(&self) -> Result<(), JournalError> {
        let path = self.journal.path();
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(io_error(&path, "erased", source)),
        }
    }
}

fn serialize(record: &Record) -> io::Result<Zeroizing<Vec<u8>>> {
    let (phase, id, code, expiry) = match &record.phase {
        Phase::Registering => (StoredPhase::Registering, None, None, None),
        Phase::Registered(activation) => (
            StoredPhase::Registered,
            Some(activation.id.clone()),
            Some(activation.code.expose_code().to_owned()),
            activation.expiry,
        ),
        Phase::Connected { activation_id } => (
            StoredPhase::Connected,
            Some(activation_id.clone()),
            None,
            None,
        ),
    };
    let stored = Stored {
        format: FORMAT,
        cluster_arn: record.cluster_arn.clone(),
        role_arn: record.role_arn.clone(),
        client_request_token: record.client_request_token.clone(),
        mark: record.mark.clone(),
        started: record.started,
        phase,
        activation_id: id,
        activation_code: code,
        activation_expiry: expiry,
    };
    // One allocation that is large enough: growing would leave unwiped copies of the code behind.
    let mut text = Zeroizing::new(Vec::with_capacity(
        usize::try_from(MAX_BYTES).unwrap_or_default(),
    ));
    serde_json::to_writer_pretty(&mut *text, &stored).map_err(io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

fn io_error(path: &Path, action: &'static str, source: io::Error) -> JournalError {
    JournalError::Io {
        path: path.to_owned(),
        action,
        source,
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
