//! A certificate chain and its key in files, as cert-manager, certbot and operators leave them.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use zeroize::Zeroizing;

/// The certificate chain and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct PairFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// What the two files held. Two are equal when a renewal has not come between them.
#[derive(PartialEq, Eq)]
pub struct PairTexts {
    /// The chain.
    pub chain: Zeroizing<Vec<u8>>,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

/// Says nothing of the key.
impl fmt::Debug for PairTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairTexts").finish_non_exhaustive()
    }
}

/// A file of certificates or a key that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl PairFiles {
    /// Reads both, as [`read_pem`] reads. Blocks as long as their file system does.
    pub fn read(&self) -> Result<PairTexts, Unreadable> {
        Ok(PairTexts {
            chain: read_pem(&self.cert)?,
            key: read_pem(&self.key)?,
        })
    }
}

/// Reads a file of certificates or a key: a regular one of at most a mebibyte. A pipe is not waited for, and a device or a
/// log given by mistake is not read into memory.
pub fn read_pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    irsa_files::read_regular(path, MAX_BYTES).map_err(|source| Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// A chain is a few kilobytes, the bundle of a large company's CAs some hundred.
const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_not_shown() {
        let texts = PairTexts {
            chain: Zeroizing::new(b"chain".to_vec()),
            key: Zeroizing::new(b"key".to_vec()),
        };
        assert_eq!(format!("{texts:?}"), "PairTexts { .. }");
    }
}
