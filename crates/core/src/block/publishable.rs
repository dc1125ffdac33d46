//! The keys of a file that may be published: more than kube-apiserver loads from it, and nothing doubtful.

use crate::block::{FileForm, KeyBlock, KeyFile, Verdict};
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
    Empty(FileForm),
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
            Self::Empty(form) => Some(with_armour(*form).into()),
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
            Err(UnpublishableFile::Empty(self.form))
        } else {
            Ok(keys)
        }
    }
}

/// How to make PEM of it.
fn with_armour(form: FileForm) -> &'static str {
    match form {
        FileForm::Text => "name a file with a line -----BEGIN PUBLIC KEY-----",
        FileForm::Utf16 => {
            "it is UTF-16 text: write it again as UTF-8 (PowerShell: Set-Content -Encoding ascii)"
        }
        FileForm::Der => {
            "it looks like DER: openssl pkey -pubin -inform DER -in FILE -out FILE.pem"
        }
        FileForm::Indented => {
            "its BEGIN line does not begin its line: take away the spaces or the byte order mark before it"
        }
        FileForm::OpenSsh => {
            "an OpenSSH key is not PEM: ssh-keygen -e -m PKCS8 -f KEY.pub converts it"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_block_is_told_what_it_looks_like() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMFk=\n-----END PUBLIC KEY-----\n";
        let utf16: Vec<u8> = [0xfeff_u16]
            .into_iter()
            .chain(pem.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let marked = format!("\u{feff}{pem}").into_bytes();
        for (text, word) in [
            (utf16, "UTF-16"),
            (marked, "byte order mark"),
            (format!("  {pem}").into_bytes(), "spaces"),
            (vec![0x30, 0x59, 0x30, 0x13], "DER"),
            (vec![0x30, 0x82, 0x01, 0x22, 0x30], "DER"),
            (b"ssh-rsa AAAA me@host".to_vec(), "ssh-keygen"),
            (b"".to_vec(), "BEGIN PUBLIC KEY"),
        ] {
            let error = KeyFile::parse(&text).publishable_keys().unwrap_err();
            assert!(matches!(error, UnpublishableFile::Empty(_)), "{error}");
            let help = error.help().unwrap();
            assert!(help.contains(word), "{help}, expected {word}");
        }
    }
}
