//! What a look at the files brought.

use super::SourceError;

/// An issuer whose new input was refused; its last good documents, if it has any, are served on.
#[derive(Debug)]
pub struct Refused {
    /// Which issuer.
    pub issuer: String,
    /// Why.
    pub error: SourceError,
    /// Whether something is still served for it.
    pub last_good_kept: bool,
}

/// An issuer with new documents.
#[derive(Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Which issuer.
    pub issuer: String,
    /// Whether they differ from those that were served before: files are read again when they are touched, too.
    pub changed: bool,
    /// The kids that it had before and has no more: tokens that they signed are refused from now on.
    pub withdrawn: Vec<String>,
}

/// What a look at the files brought.
#[derive(Debug, Default)]
pub struct Changes {
    /// Issuers with new documents.
    pub reloaded: Vec<Reloaded>,
    /// Issuers whose new input is bad.
    pub refused: Vec<Refused>,
    /// Issuers that are served no more.
    pub removed: Vec<String>,
}

impl Changes {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.reloaded.is_empty() && self.refused.is_empty() && self.removed.is_empty()
    }
}
