//! Exit codes: the same for every command, so that a cron job can act on them.

use std::process::ExitCode;

/// How a command ended. All other codes are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, waiting, or nothing to do.
    Done = 0,
    /// Failed: a person is needed.
    Failed = 1,
    /// Usage or configuration refused; nothing was attempted.
    Refused = 2,
    /// `--check` found differences.
    Differences = 3,
    /// Not now: unreachable, throttled, or lost a race; safe to run again.
    TryAgain = 4,
}

/// For `--help`.
pub const TABLE: &str = "\
Exit codes:
  0  done, waiting, or nothing to do
  1  failed: a person is needed
  2  usage or configuration refused; nothing was attempted
  3  --check found differences
  4  not now: unreachable, throttled or lost a race; safe to run again";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
