//! What a person can do about an error.

/// Every error of the product says what to do next, and whether doing the same again can help.
///
/// `Display` states what is wrong with which object; the cause is in `source()`; the command line prints
/// the chain once. See the error rules in the README.
pub trait Explain: std::error::Error {
    /// One next action that can be pasted or followed, without a final full stop.
    fn help(&self) -> Option<String> {
        None
    }

    /// Whether the same command may succeed later with nothing changed: unreachable, throttled, lost a race.
    fn retryable(&self) -> bool {
        false
    }

    /// Whether nothing was attempted, because what it takes was not given: no credentials, no cluster.
    fn refused(&self) -> bool {
        false
    }
}
