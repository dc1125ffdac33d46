//! One rollout at a time on a node, and which runs died there.
//!
//! A rollout takes its turn in the cluster under a name of its own (`turn`). When it dies, its turn would keep every
//! node waiting until it runs out. So each run writes its name into a file that it keeps locked: whoever gets the lock
//! knows that the runs named in the file are dead, and may take their turn over. A name, and not the host's: two nodes
//! may have one host name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use irsa_core::explain::Explain;

/// The file, in the directory of the backups.
const NAME: &str = "rollout.lock";
/// Far above the names of all runs that ever died between two that did not.
const MAX_BYTES: u64 = 1 << 16;

/// The only rollout of this node, until it is dropped.
#[derive(Debug)]
pub struct Alone {
    file: File,
    path: PathBuf,
    died: Vec<String>,
    /// How long the file is without this run's name, in bytes.
    length: u64,
}

/// Why a rollout does not begin on this node.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// The file system refuses.
    #[error("\"{}\" cannot be {action}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another run is at it.
    #[error("another rollout is at work on this node: it holds \"{}\"", .0.display())]
    Busy(PathBuf),
}

impl Explain for AloneError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "run as root, or choose another folder with --backup".into(),
            Self::Busy(_) => "wait until it has ended".into(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

impl Alone {
    /// Keeps other rollouts of this node away. The file is in the directory of the backups, which is made if it is missing.
    pub fn take(directory: &Path) -> Result<Self, AloneError> {
        let path = directory.join(NAME);
        let fail = |action| {
            let path = path.clone();
            move |source| AloneError::Io {
                path,
                action,
                source,
            }
        };
        std::fs::create_dir_all(directory).map_err(fail("made"))?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail("opened"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AloneError::Busy(path)),
            Err(TryLockError::Error(source)) => return Err(fail("locked")(source)),
        }
        let mut names = String::new();
        let read = (&mut file).take(MAX_BYTES).read_to_string(&mut names);
        read.map_err(fail("read"))?;
        let length = file.metadata().map_err(fail("read"))?.len();
        let died = names.lines().filter(|name| !name.is_empty());
        let died = died.map(str::to_owned).collect();
        Ok(Self {
            file,
            path,
            died,
            length,
        })
    }

    /// The runs of this node that ended without a word, by their names.
    pub fn died(&self) -> &[String] {
        &self.died
    }

    /// Before this run takes its turn: if it dies from here on, its name is known. No other run has this name.
    pub fn enter(&self, run: &str) -> Result<(), AloneError> {
        let written = (&self.file).write_all(format!("{run}\n").as_bytes());
        written
            .and_then(|()| self.file.sync_all())
            .map_err(|source| self.not_written(source))
    }

    /// This run has not got its turn: its name is taken off, those of the dead stay.
    pub fn withdraw(&self) -> Result<(), AloneError> {
        let cut = self.file.set_len(self.length);
        cut.map_err(|source| self.not_written(source))
    }

    /// Nothing of this run or of those before is left in the cluster.
    pub fn done(&mut self) -> Result<(), AloneError> {
        let cut = self.file.set_len(0);
        cut.map_err(|source| self.not_written(source))?;
        self.length = 0;
        self.died.clear();
        Ok(())
    }

    fn not_written(&self, source: io::Error) -> AloneError {
        AloneError::Io {
            path: self.path.clone(),
            action: "written",
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_and_the_dead_are_known() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("backup");
        let first = Alone::take(&directory).unwrap();
        first.enter("a").unwrap();
        assert_eq!(first.died(), [""; 0]);
        let busy = Alone::take(&directory).unwrap_err();
        assert!(busy.retryable(), "{busy}");
        // As when its process is killed.
        drop(first);
        let second = Alone::take(&directory).unwrap();
        assert_eq!(second.died(), ["a"]);
        second.enter("b").unwrap();
        second.withdraw().unwrap();
        second.enter("c").unwrap();
        drop(second);
        let mut third = Alone::take(&directory).unwrap();
        assert_eq!(third.died(), ["a", "c"]);
        third.enter("d").unwrap();
        third.done().unwrap();
        third.enter("e").unwrap();
        drop(third);
        assert_eq!(Alone::take(&directory).unwrap().died(), ["e"]);
    }
}
