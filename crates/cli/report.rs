//! How an error is shown: once, with its causes and the next step.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;

use clap::error::ErrorKind;
use irsa_core::api_answer::Refusal;
use irsa_core::explain::{Explain, chain};

use crate::aws;
use crate::exit::Exit;
use crate::visible::visible;

/// Why a command stopped.
#[derive(Debug)]
pub enum Failure {
    /// Something to tell a person.
    Failed(Failed),
    /// Nobody reads our output any more: not an error.
    BrokenPipe,
}

/// An error, ready to be shown.
#[derive(Debug)]
pub struct Failed {
    message: String,
    causes: Vec<String>,
    help: Option<String>,
    note: Option<String>,
    exit: Exit,
}

impl Failure {
    /// The same, with a sentence about what was done before it.
    #[must_use]
    pub fn noted(self, note: &str) -> Self {
        match self {
            Self::Failed(failed) => Self::Failed(Failed {
                note: Some(note.to_owned()),
                ..failed
            }),
            Self::BrokenPipe => Self::BrokenPipe,
        }
    }

    /// The same, of this file.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Failed(failed) => Self::Failed(Failed {
                message: format!("{}: {}", path.display(), failed.message),
                ..failed
            }),
            Self::BrokenPipe => Self::BrokenPipe,
        }
    }

    /// The same in the middle of a run: a refusal would say that nothing was attempted.
    #[must_use]
    pub fn midway(self) -> Self {
        match self {
            Self::Failed(failed) if failed.exit == Exit::Refused => Self::Failed(Failed {
                exit: Exit::Failed,
                ..failed
            }),
            other => other,
        }
    }

    /// An error in what the user asked for: nothing was attempted.
    pub fn refused(error: &(impl Explain + ?Sized)) -> Self {
        Self::Failed(Failed {
            exit: Exit::Refused,
            ..Failed::of(error)
        })
    }

    /// An error in what the user asked for that no library knows.
    pub fn usage(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Failed(Failed {
            message: message.into(),
            causes: Vec::new(),
            help: Some(help.into()),
            note: None,
            exit: Exit::Refused,
        })
    }

    /// Something that only a person can settle and that no library knows.
    pub fn failed(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Failed(Failed {
            message: message.into(),
            causes: Vec::new(),
            help: Some(help.into()),
            note: None,
            exit: Exit::Failed,
        })
    }

    /// Something that was in the way for a moment.
    pub fn again(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Failed(Failed {
            message: message.into(),
            causes: Vec::new(),
            help: Some(help.into()),
            note: None,
            exit: Exit::TryAgain,
        })
    }

    /// The same, of something that the command line names: nothing was done.
    #[must_use]
    pub fn before_all(self) -> Self {
        match self {
            Self::Failed(failed) => Self::Failed(Failed {
                exit: Exit::Refused,
                ..failed
            }),
            Self::BrokenPipe => Self::BrokenPipe,
        }
    }

    /// An error under a sentence that says what it means for the user; the error becomes the cause.
    pub fn prefixed(message: &str, error: &(impl Explain + ?Sized)) -> Self {
        let mut failed = Failed::of(error);
        let cause = std::mem::replace(&mut failed.message, message.to_owned());
        failed.causes.insert(0, cause);
        Self::Failed(failed)
    }

    /// What went wrong, in one sentence, for logs.
    pub fn message(&self) -> String {
        match self {
            Self::Failed(failed) => std::iter::once(&failed.message)
                .chain(&failed.causes)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(": "),
            Self::BrokenPipe => "broken pipe".to_owned(),
        }
    }

    /// Whether it may be gone at the next run.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Failed(failed) if failed.exit == Exit::TryAgain)
    }

    /// Standard output, or a file that the user named, cannot be written.
    pub fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        Self::Failed(Failed {
            message: "standard output cannot be written".to_owned(),
            causes: vec![error.to_string()],
            help: None,
            note: None,
            exit: Exit::Failed,
        })
    }

    /// The operating system refuses something that is neither a file nor a connection.
    pub fn system(what: &str, error: &io::Error) -> Self {
        Self::Failed(Failed {
            message: what.to_owned(),
            causes: vec![error.to_string()],
            help: None,
            note: None,
            exit: Exit::Failed,
        })
    }
}

impl Failed {
    /// What the command exits with.
    #[cfg(test)]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    fn of(error: &(impl Explain + ?Sized)) -> Self {
        let causes = || error.source().into_iter().flat_map(chain);
        // One thing to say and one exit code, whichever request would have been the first.
        if let Some(failed) = causes().find_map(aws::no_credentials) {
            return failed;
        }
        let late = causes().any(aws::are_late);
        let failed = Self::of_chain(error);
        Self {
            exit: if late { Exit::TryAgain } else { failed.exit },
            ..failed
        }
    }

    /// There are no credentials for AWS, for this reason.
    pub(crate) fn no_credentials(help: &str, why: &(dyn Error + 'static)) -> Self {
        Self {
            message: "no AWS credentials are found".to_owned(),
            causes: causes("", Some(why)),
            help: Some(help.to_owned()),
            note: None,
            exit: Exit::Refused,
        }
    }

    fn of_chain(error: &(impl Explain + ?Sized)) -> Self {
        let message = error.to_string();
        let exit = if error.retryable() {
            Exit::TryAgain
        } else if error.refused() {
            Exit::Refused
        } else {
            Exit::Failed
        };
        Self {
            causes: causes(&message, error.source()),
            message,
            help: error.help(),
            note: None,
            exit,
        }
    }
}

/// What an API server answered, in its own words: the library shows it as a structure of Rust, and once more as its cause.
fn api_server(cause: &(dyn Error + 'static)) -> Option<String> {
    let boxed = || cause.downcast_ref::<Box<kube::Error>>();
    let error = cause.downcast_ref::<kube::Error>();
    match error.or_else(|| boxed().map(AsRef::as_ref))? {
        kube::Error::Api(status) => {
            let refusal = Refusal {
                code: status.code,
                reason: &status.reason,
                message: &status.message,
            };
            Some(refusal.to_string())
        }
        _ => None,
    }
}

/// Why, from the outside to the inside, each on one line.
fn causes(message: &str, mut source: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut causes = Vec::new();
    while let Some(cause) = source {
        if let Some(said) = api_server(cause) {
            causes.push(said);
            break;
        }
        let text = cause.to_string();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let text = lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
        // A transparent wrapper repeats its cause.
        if text != message && causes.last() != Some(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    causes
}

impl<E: Explain> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(Failed::of(&error))
    }
}

/// Shows an error and says how to exit.
pub fn failure(failed: &Failed) -> Exit {
    // Paths, URLs and foreign texts stand in them.
    let mut lines = vec![format!("error: {}", visible(&failed.message))];
    lines.extend(
        failed
            .causes
            .iter()
            .map(|cause| format!("  why: {}", visible(cause))),
    );
    lines.extend(
        failed
            .help
            .iter()
            .map(|help| format!(" help: {}", visible(help))),
    );
    lines.extend(
        failed
            .note
            .iter()
            .map(|note| format!(" note: {}", visible(note))),
    );
    if failed.exit == Exit::TryAgain {
        lines.push(" note: safe to run again (exit 4)".to_owned());
    }
    say(&lines.join("\n"));
    failed.exit
}

/// Shows something that a person should know although the command goes on.
pub fn warning(text: &str) {
    say(&format!("warning: {}", visible(text)));
}

/// Shows what clap says: help and version are results, everything else is a refusal.
pub fn usage(error: &clap::Error) -> Exit {
    // Nothing can be done when even this cannot be written.
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Refused,
    }
}

fn say(text: &str) {
    // Standard error may be closed; the exit code still tells.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Says something about a result without being part of it.
pub fn note(text: &str) {
    say(text);
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
