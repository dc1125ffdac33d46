//! What a file was before each change, so that it can be undone exactly, and whether the change was seen to work.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{FileError, read};

/// Where backups are kept; one directory for each file.
#[derive(Debug, Clone)]
pub struct Backups {
    directory: PathBuf,
}

/// A change that was made, newest last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The format of this record.
    schema: u32,
    /// The file, as an absolute path.
    file: PathBuf,
    /// What the change was for.
    reason: String,
    /// SHA-256 of the text before.
    before: String,
    /// SHA-256 of the text after.
    after: String,
    /// Whether there was no file before the change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
    /// When the process before started, in seconds since 1970; there until the new one was seen to work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unproved: Option<f64>,
}

/// A change that nobody has seen to work.
#[derive(Debug, Clone, PartialEq)]
pub struct Unproved {
    /// What it was for.
    pub reason: String,
    /// When the process before started, in seconds since 1970.
    pub started: f64,
    /// What became of the file.
    pub written: Written,
}

/// What became of a file whose change was not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It has the new text.
    Yes,
    /// It has the text before: the change was not written, or was put back.
    No,
    /// Somebody else changed it since.
    Changed,
}

impl Backups {
    /// Backups in a directory, which is made when it is needed.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Where all of them are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps the text before a change, none where there was no file, and what it becomes. Returns where it is kept.
    ///
    /// A change on top of one that nobody has seen to work is not proved either: it waits for the same process to make
    /// way. [`last_proved`](Self::last_proved) goes back behind both.
    pub fn save(
        &self,
        file: &Path,
        before: Option<&str>,
        after: &str,
        reason: &str,
    ) -> Result<PathBuf, FileError> {
        let below = self.unproved(file, before.unwrap_or_default())?;
        let below = below.filter(|below| below.written == Written::Yes);
        let started = below.map(|below| below.started);
        self.keep(file, before, after, reason, started)
    }

    /// The same for a change whose effect must be seen: it is on record as not proved until [`proved`](Self::proved).
    /// `started` is when the process started that runs with the text before, in seconds since 1970.
    pub fn save_unproved(
        &self,
        file: &Path,
        texts: [&str; 2],
        reason: &str,
        started: f64,
    ) -> Result<PathBuf, FileError> {
        let [before, after] = texts;
        self.keep(file, Some(before), after, reason, Some(started))
    }

    /// The last change of a file was seen to have its effect.
    pub fn proved(&self, file: &Path) -> Result<(), FileError> {
        let file = absolute(file)?;
        let Some((number, mut record)) = self.newest(&file)? else {
            return Ok(());
        };
        record.unproved = None;
        let path = self.of(&file).join(format!("{number:04}.json"));
        let fail = |source| FileError::Io {
            path: path.clone(),
            action: "written",
            source,
        };
        let json = serde_json::to_vec_pretty(&record).map_err(|error| fail(error.into()))?;
        irsa_files::replace(&path, &json, 0o600).map_err(fail)
    }

    /// The last change of a file, if a run ended before it was proved.
    pub fn unproved(&self, file: &Path, current: &str) -> Result<Option<Unproved>, FileError> {
        let file = absolute(file)?;
        let Some((_, record)) = self.newest(&file)? else {
            return Ok(None);
        };
        let Some(started) = record.unproved else {
            return Ok(None);
        };
        let current = digest(current);
        let written = if current == record.after {
            Written::Yes
        } else if current == record.before {
            Written::No
        } else {
            Written::Changed
        };
        Ok(Some(Unproved {
            reason: record.reason,
            started,
            written,
        }))
    }

    /// Takes a change off the record whose file could not be written. `copy` is where its text is kept.
    pub fn discard(copy: &Path) -> Result<(), FileError> {
        Saved::remove([[copy.to_owned(), copy.with_extension("json")]])
    }

    fn keep(
        &self,
        file: &Path,
        before: Option<&str>,
        after: &str,
        reason: &str,
        unproved: Option<f64>,
    ) -> Result<PathBuf, FileError> {
        let file = absolute(file)?;
        let directory = self.of(&file);
        let fail = |source| FileError::Io {
            path: directory.clone(),
            action: "written",
            source,
        };
        irsa_files::create_directory(&directory, 0o777).map_err(fail)?;
        // A run that was killed may have left one half of a pair: its number is not free.
        let taken = self.numbers(&file, &["json", "yaml"])?;
        let number = taken.last().map_or(1, |last| last + 1);
        let record = Record {
            schema: 1,
            file,
            reason: reason.to_owned(),
            before: digest(before.unwrap_or_default()),
            after: digest(after),
            absent: before.is_none(),
            unproved,
        };
        let copy = directory.join(format!("{number:04}.yaml"));
        irsa_files::create(&copy, before.unwrap_or_default().as_bytes(), 0o600).map_err(fail)?;
        let json = serde_json::to_vec_pretty(&record).map_err(|error| fail(error.into()))?;
        irsa_files::create(&directory.join(format!("{number:04}.json")), &json, 0o600)
            .map_err(fail)?;
        Ok(copy)
    }

    /// The text of a file before its last change by us, and before those below that were not proved either. Refuses
    /// when somebody changed the file since.
    pub fn last_proved(&self, file: &Path, current: &str) -> Result<Saved, FileError> {
        let mut saved = self.last(file, current)?;
        let file = absolute(file)?;
        let directory = self.of(&file);
        let below = self.numbers(&file, &["json"])?;
        for number in below.into_iter().rev().skip(1) {
            let record = self.record(&file, number)?;
            let copy = directory.join(format!("{number:04}.yaml"));
            if record.unproved.is_none() || record.after != digest(&saved.text) {
                break;
            }
            let before = read(&copy)?;
            if digest(&before) != record.before {
                return Err(FileError::Diverged { file, backup: copy });
            }
            saved.text = before;
            saved.absent = record.absent;
            saved.reason = record.reason;
            saved
                .paths
                .push([copy, directory.join(format!("{number:04}.json"))]);
        }
        Ok(saved)
    }

    /// The text of a file before its last change by us. Refuses when somebody changed the file since.
    pub fn last(&self, file: &Path, current: &str) -> Result<Saved, FileError> {
        let file = absolute(file)?;
        let directory = self.of(&file);
        let none = || FileError::NoBackup {
            file: file.clone(),
            directory: self.directory.clone(),
        };
        let (number, record) = self.newest(&file)?.ok_or_else(none)?;
        let path = directory.join(format!("{number:04}.json"));
        let copy = directory.join(format!("{number:04}.yaml"));
        let before = read(&copy)?;
        // An interrupted run may have saved the backup and not written the file.
        let not_written = digest(current) == record.before;
        if digest(&before) != record.before || (digest(current) != record.after && !not_written) {
            return Err(FileError::Diverged { file, backup: copy });
        }
        Ok(Saved {
            written: !not_written,
            absent: record.absent,
            text: before,
            reason: record.reason,
            paths: vec![[copy, path]],
        })
    }

    fn newest(&self, file: &Path) -> Result<Option<(u32, Record)>, FileError> {
        let Some(number) = self.numbers(file, &["json"])?.last().copied() else {
            return Ok(None);
        };
        Ok(Some((number, self.record(file, number)?)))
    }

    fn record(&self, file: &Path, number: u32) -> Result<Record, FileError> {
        let path = self.of(file).join(format!("{number:04}.json"));
        let record = serde_json::from_str(&read(&path)?);
        record.map_err(|source| FileError::Record { path, source })
    }

    pub(super) fn of(&self, file: &Path) -> PathBuf {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let hash: String = digest(&file.to_string_lossy()).chars().take(12).collect();
        self.directory.join(format!("{name}-{hash}"))
    }

    /// The changes of a file that are on record, oldest first.
    fn numbers(&self, file: &Path, suffixes: &[&str]) -> Result<Vec<u32>, FileError> {
        let directory = self.of(file);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(FileError::Io {
                    path: directory,
                    action: "read",
                    source,
                });
            }
        };
        let mut numbers: Vec<u32> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                let (number, suffix) = name.to_str()?.split_once('.')?;
                suffixes.contains(&suffix).then(|| number.parse().ok())?
            })
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// A text to go back to.
#[derive(Debug)]
pub struct Saved {
    /// The text.
    pub text: String,
    /// What the change was for that it undoes.
    pub reason: String,
    /// Whether the change is in the file: a run that was interrupted may have kept the text and not written.
    pub written: bool,
    /// Whether there was no file.
    absent: bool,
    /// Copy and record of each change that it undoes, the last one first.
    paths: Vec<[PathBuf; 2]>,
}

impl Saved {
    /// Gives a file that says `current` this text again, or removes it where there was none, and forgets what that undoes.
    pub fn restore(self, file: &Path, current: &str) -> Result<(), FileError> {
        if self.absent {
            super::absent::remove(file, current)?;
        } else {
            super::replace(file, current, &self.text)?;
        }
        self.forget()
    }

    /// Forgets what it undoes, after the file was restored.
    pub fn forget(self) -> Result<(), FileError> {
        Self::remove(self.paths)
    }

    fn remove(paths: impl IntoIterator<Item = [PathBuf; 2]>) -> Result<(), FileError> {
        // The record first: a copy without one is passed over.
        for path in paths.into_iter().flat_map(|[copy, record]| [record, copy]) {
            fs::remove_file(&path).map_err(|source| FileError::Io {
                path,
                action: "removed",
                source,
            })?;
        }
        Ok(())
    }
}

pub(super) fn absolute(file: &Path) -> Result<PathBuf, FileError> {
    let found = match fs::canonicalize(file) {
        // Not there yet, or not any more.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = fs::canonicalize(irsa_files::parent(file));
            directory.map(|directory| directory.join(file.file_name().unwrap_or_default()))
        }
        other => other,
    };
    found.map_err(|source| FileError::Io {
        path: file.to_owned(),
        action: "read",
        source,
    })
}

fn digest(text: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
