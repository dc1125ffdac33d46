//! The keys of a file that may be published: more than kube-apiserver loads from it, and nothing doubtful.

use crate::block::{KeyBlock, KeyFile, Verdict};
use crate::explain::Explain;
use crate::key_error::KeyError;
use crate::keys::PublicKey;

/// A key that is fit to be published, with what a person should know about its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishableKey {
    /// The line of the block.
    pub line: usize,
    /// The key.
    pub key: PublicKey,
    /// Why kube-apiserver would not load this block as `--service-account-key-file`, if it would not.
    pub skipped_by_apiserver: Option<&'static str>,
}

/// Why a key file is not published from: fail closed, because a key that is missing refuses tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpublishableFile {
    /// No block at all.
    #[error("no PEM block found, expected at least one public key")]
    Empty,
    /// A block that is no key.
    #[error("line {line}: the block \"{label}\" is {reason}")]
    Block {
        /// Where it begins.
        line: usize,
        /// Its label.
        label: String,
        /// What it is.
        reason: KeyError,
    },
    /// Something that begins like a block.
    #[error(
        "line {line}: the block \"{label}\" is damaged: no matching END line, or broken base64"
    )]
    Damaged {
        /// Where it begins.
        line: usize,
        /// Its label.
        label: String,
    },
}

impl Explain for UnpublishableFile {
    fn help(&self) -> Option<String> {
        match self {
            Self::Empty => Some(
                "an OpenSSH key is not PEM: ssh-keygen -e -m PKCS8 -f KEY.pub converts it".into(),
            ),
            Self::Block { reason, .. } => reason.help(),
            Self::Damaged { .. } => Some("copy the file again, or take the block out".into()),
        }
    }
}

impl KeyFile {
    /// Every key of the file that can be published, whatever kube-apiserver makes of its encoding. One block that
    /// is meant to be a key and is none refuses the whole file.
    pub fn publishable_keys(&self) -> Result<Vec<PublishableKey>, UnpublishableFile> {
        if let Some(damaged) = self.damaged.first() {
            let (line, label) = (damaged.line, damaged.label.clone());
            return Err(UnpublishableFile::Damaged { line, label });
        }
        let keys: Vec<_> = self
            .blocks
            .iter()
            .filter(|block| block.is_key())
            .map(publishable)
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            Err(UnpublishableFile::Empty)
        } else {
            Ok(keys)
        }
    }
}

fn publishable(block: &KeyBlock) -> Result<PublishableKey, UnpublishableFile> {
    let key = block
        .key
        .clone()
        .and_then(|key| key.publishable().map(|()| key));
    let key = key.map_err(|reason| UnpublishableFile::Block {
        line: block.line,
        label: block.label.clone(),
        reason,
    })?;
    let skipped_by_apiserver = match block.as_verification {
        Verdict::Used => None,
        Verdict::Skipped(reason) | Verdict::NothingElse(reason) | Verdict::Refused(reason) => {
            Some(reason)
        }
    };
    Ok(PublishableKey {
        line: block.line,
        key,
        skipped_by_apiserver,
    })
}
