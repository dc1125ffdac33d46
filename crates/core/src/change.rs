//! One intended outside edit as data: what `--dry-run` prints is what is then done.

use std::fmt;

use crate::documents::DocumentName;
use crate::jwks::Difference;

/// A document to write, with the state that it replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which document.
    pub name: DocumentName,
    /// Where it stands below the issuer.
    pub path: String,
    /// What to write.
    pub bytes: Vec<u8>,
    /// What must still be there when it is written.
    pub expected: Expected,
    /// What changes in the keys, when this is the JWKS.
    pub keys: Difference,
}

/// The state that a write replaces. A write on any other state is refused: somebody else was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is there yet.
    Absent,
    /// The version with this tag is there.
    Unchanged(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.expected {
            Expected::Absent => "create",
            Expected::Unchanged(_) => "update",
        };
        write!(f, "{verb} {} ({} bytes)", self.path, self.bytes.len())?;
        for jwk in &self.keys.added {
            write!(
                f,
                "\n  + key {} {}",
                jwk.kid.escape_debug(),
                jwk.key.algorithm()
            )?;
        }
        for jwk in &self.keys.removed {
            write!(
                f,
                "\n  - key \"{}\" {}",
                jwk.kid.escape_debug(),
                jwk.key.algorithm()
            )?;
        }
        Ok(())
    }
}
