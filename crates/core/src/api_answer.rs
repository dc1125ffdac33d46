//! What an API server of Kubernetes answers when it does not do what was asked: how that reads, and whether the same may be
//! asked again.
//!
//! Pure: an adapter takes the parts out of its client's error.

use std::fmt;

/// The answer (`Status`, with `status: Failure`), as it is shown as a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// HTTP status.
    pub code: u16,
    /// Kubernetes' word for it, like `Forbidden`.
    pub reason: &'a str,
    /// What it says.
    pub message: &'a str,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

/// Whether the same request may have another answer later, by the HTTP status of this one; none if there was no answer. An
/// API server sheds load with 429 (API Priority and Fairness), and 500 and above say that it, or what is behind it, is not
/// well; every other refusal stands until somebody changes something.
pub fn is_passing(code: Option<u16>) -> bool {
    code.is_none_or(|code| code == 429 || code >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_by_itself_is_asked_again() {
        for (code, expected) in [
            (None, true),
            (Some(429), true),
            (Some(500), true),
            (Some(503), true),
            (Some(400), false),
            (Some(401), false),
            (Some(403), false),
            (Some(404), false),
            (Some(409), false),
            (Some(422), false),
        ] {
            assert_eq!(is_passing(code), expected, "{code:?}");
        }
    }

    #[test]
    fn it_reads_as_a_cause() {
        let refusal = Refusal {
            code: 403,
            reason: "Forbidden",
            message: "pods is forbidden",
        };
        assert_eq!(refusal.to_string(), "403 Forbidden: pods is forbidden");
    }
}
