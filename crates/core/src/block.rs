//! One PEM block of a key file: what it is, and what kube-apiserver does with it.
//!
//! The two readers of kube-apiserver differ. `--service-account-key-file` tries every block as every kind of key
//! and ignores labels (`keyutil.ParsePublicKeysPEM`); `--service-account-signing-key-file` goes by the label and
//! stops at the first private key (`keyutil.ParsePrivateKeyPEM`). Both pass over what they cannot read without a
//! word, which is why a key file can be "right" and yet missing from the served JWKS.

mod form;
pub mod publishable;

use std::fmt;

use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use self::form::FileForm;
use crate::key_error::KeyError;
use crate::keys::PublicKey;
use crate::pem::{self, DamagedBlock, PemBlock};
use crate::private::PrivateForm;

/// The structure inside a block, found by its bytes as kube-apiserver does, not by its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// SubjectPublicKeyInfo: what `openssl pkey -pubout` writes.
    PublicKey,
    /// PKCS#1 `RSAPublicKey`: what `openssl rsa -RSAPublicKey_out` writes.
    Pkcs1Public,
    /// An X.509 certificate.
    Certificate,
    /// PKCS#1 `RSAPrivateKey`.
    Pkcs1Private,
    /// SEC1 `ECPrivateKey`.
    Sec1Private,
    /// PKCS#8 `PrivateKeyInfo`.
    Pkcs8Private,
    /// A private key under a passphrase.
    EncryptedPrivate,
    /// The curve that OpenSSL writes before an EC key.
    EcParameters,
    /// Anything else.
    Unknown,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicKey => "public key (PKIX)",
            Self::Pkcs1Public => "public key (PKCS#1)",
            Self::Certificate => "certificate",
            Self::Pkcs1Private => "private key (PKCS#1)",
            Self::Sec1Private => "private key (SEC1)",
            Self::Pkcs8Private => "private key (PKCS#8)",
            Self::EncryptedPrivate => "encrypted private key",
            Self::EcParameters => "EC parameters",
            Self::Unknown => "unknown",
        })
    }
}

/// What kube-apiserver does with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It loads the key.
    Used,
    /// It passes over the block without a word, for this reason.
    Skipped(&'static str),
    /// It passes over the block for this reason, finds nothing else in the file, and exits.
    NothingElse(&'static str),
    /// It does not start, or serves no documents, for this reason.
    Refused(&'static str),
}

/// A block with its key, if it holds one.
#[derive(Debug)]
pub struct KeyBlock {
    /// The line of the `BEGIN` marker, counted from 1.
    pub line: usize,
    /// The label of the block.
    pub label: String,
    /// What its bytes are.
    pub form: Form,
    /// The key, or why there is none. EC parameters are `Err` too: see [`KeyBlock::is_key`].
    pub key: Result<PublicKey, KeyError>,
    /// As `--service-account-key-file`.
    pub as_verification: Verdict,
    /// As `--service-account-signing-key-file`.
    pub as_signing: Verdict,
}

impl KeyBlock {
    /// Whether the block is meant to be a key: EC parameters are not, and nobody misses them.
    pub fn is_key(&self) -> bool {
        self.form != Form::EcParameters
    }

    /// Whether the block holds a private key, readable or not.
    pub fn is_private(&self) -> bool {
        matches!(
            self.form,
            Form::Pkcs1Private | Form::Sec1Private | Form::Pkcs8Private | Form::EncryptedPrivate
        )
    }
}

/// A key file, read.
#[derive(Debug)]
pub struct KeyFile {
    /// Its blocks, in order.
    pub blocks: Vec<KeyBlock>,
    /// What looks like a block and is none.
    pub damaged: Vec<DamagedBlock>,
    /// What it is as a whole, for a file without any block.
    pub form: FileForm,
}

/// Why kube-apiserver would not serve its documents with a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiserverRefusal {
    /// It exits with "data does not contain any valid RSA or ECDSA public keys".
    #[error("kube-apiserver would not start: no block is a key that it reads")]
    NoKeys,
    /// It starts, logs a line, and serves neither document.
    #[error("kube-apiserver would serve no documents: line {line} holds an EC key on P-224")]
    P224 {
        /// Where the block begins.
        line: usize,
    },
}

impl KeyFile {
    /// Reads the text of a key file. It cannot fail: what is no key is reported as such.
    pub fn parse(text: &[u8]) -> Self {
        let pem = pem::scan(text);
        let mut blocks: Vec<KeyBlock> = pem.blocks.into_iter().map(classify).collect();
        judge_verification(&mut blocks);
        judge_signing(&mut blocks);
        let form = if blocks.is_empty() {
            FileForm::of(text)
        } else {
            FileForm::Text
        };
        Self {
            blocks,
            damaged: pem.damaged,
            form,
        }
    }

    /// The keys that kube-apiserver loads from this file as `--service-account-key-file`, with their lines.
    pub fn apiserver_keys(&self) -> Result<Vec<(usize, PublicKey)>, ApiserverRefusal> {
        let p224 = self.blocks.iter().find(|block| loads_p224(block));
        if let Some(block) = p224 {
            return Err(ApiserverRefusal::P224 { line: block.line });
        }
        let keys: Vec<_> = self
            .blocks
            .iter()
            .filter(|block| block.as_verification == Verdict::Used)
            .filter_map(|block| Some((block.line, block.key.clone().ok()?)))
            .collect();
        if keys.is_empty() {
            Err(ApiserverRefusal::NoKeys)
        } else {
            Ok(keys)
        }
    }
}

fn classify(block: PemBlock) -> KeyBlock {
    let (form, key) = read(&block);
    KeyBlock {
        line: block.line,
        label: block.label,
        form,
        key,
        as_verification: Verdict::Used,
        as_signing: Verdict::Used,
    }
}

/// Tries every structure, in kube-apiserver's order, and keeps the most telling refusal.
fn read(block: &PemBlock) -> (Form, Result<PublicKey, KeyError>) {
    let der = block.der.as_slice();
    let attempts = [
        (Form::Pkcs1Private, PrivateForm::Pkcs1.public_key(der)),
        (Form::Pkcs8Private, PrivateForm::Pkcs8.public_key(der)),
        (Form::PublicKey, PublicKey::from_spki(der)),
        (Form::Certificate, certificate_key(der)),
        (Form::Sec1Private, PrivateForm::Sec1.public_key(der)),
        (Form::Pkcs1Public, PublicKey::from_pkcs1(der)),
    ];
    for (form, attempt) in attempts {
        if attempt != Err(KeyError::Malformed) {
            return (form, attempt);
        }
    }
    // Labels and headers speak only when the bytes do not: kube-apiserver never asks them.
    if block.is_encrypted() {
        (Form::EncryptedPrivate, Err(KeyError::Encrypted))
    } else if block.label == "EC PARAMETERS" {
        (Form::EcParameters, Err(KeyError::Malformed))
    } else {
        (Form::Unknown, Err(KeyError::Malformed))
    }
}

fn certificate_key(der: &[u8]) -> Result<PublicKey, KeyError> {
    // Expiry is not looked at, as in kube-apiserver.
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| KeyError::Malformed)?;
    if !rest.is_empty() {
        return Err(KeyError::Malformed);
    }
    match PublicKey::from_spki(certificate.tbs_certificate.subject_pki.raw) {
        Err(KeyError::Malformed) => Err(KeyError::Unsupported("a certificate's key".to_owned())),
        other => other,
    }
}

/// Go 1.24 and later refuse to sign with smaller keys.
const GO_MIN_RSA_BITS: usize = 1024;

/// kube-apiserver reads P-224 as a key and then finds no algorithm for it.
fn loads_p224(block: &KeyBlock) -> bool {
    block.key == Err(KeyError::P224)
        && matches!(
            block.form,
            Form::PublicKey | Form::Certificate | Form::Sec1Private
        )
}

fn judge_verification(blocks: &mut [KeyBlock]) {
    for block in blocks.iter_mut() {
        block.as_verification = match (&block.key, block.form) {
            (Ok(_), Form::Pkcs1Public) => {
                Verdict::Skipped("PKCS#1 public keys are not read; PKIX is")
            }
            (Ok(key), Form::Pkcs8Private) if !key.describe().starts_with("RSA") => {
                Verdict::Skipped("EC keys in PKCS#8 are read only as signing key")
            }
            (Ok(_), _) => Verdict::Used,
            (Err(_), _) if loads_p224(block) => {
                Verdict::Refused("P-224 has no algorithm: neither document is served")
            }
            (Err(_), Form::EcParameters) => Verdict::Skipped("not a key"),
            (Err(KeyError::CompressedPoint), _) => {
                Verdict::Skipped("points in compressed form are not read")
            }
            (Err(_), Form::EncryptedPrivate) => Verdict::Skipped("encrypted keys are not read"),
            (Err(_), _) => Verdict::Skipped("not an RSA or EC key that it reads"),
        };
    }
    exits_when_all_are_skipped(blocks, |block| &mut block.as_verification);
}

/// A file in which every block is passed over ends kube-apiserver at its start.
fn exits_when_all_are_skipped(blocks: &mut [KeyBlock], verdict: fn(&mut KeyBlock) -> &mut Verdict) {
    let mut verdicts: Vec<&mut Verdict> = blocks.iter_mut().map(verdict).collect();
    if verdicts
        .iter()
        .all(|verdict| matches!(verdict, Verdict::Skipped(_)))
    {
        for verdict in &mut verdicts {
            if let Verdict::Skipped(reason) = **verdict {
                **verdict = Verdict::NothingElse(reason);
            }
        }
    }
}

fn judge_signing(blocks: &mut [KeyBlock]) {
    let mut chosen = false;
    for block in blocks.iter_mut() {
        block.as_signing = if !block.is_private() {
            Verdict::Skipped("not a private key")
        } else if chosen {
            Verdict::Skipped("only the first private key is used")
        } else {
            let verdict = signing_verdict(block);
            chosen = !matches!(verdict, Verdict::Skipped(_));
            verdict
        };
    }
    exits_when_all_are_skipped(blocks, |block| &mut block.as_signing);
}

fn signing_verdict(block: &KeyBlock) -> Verdict {
    let fits = match block.form {
        Form::Pkcs1Private => block.label == PrivateForm::Pkcs1.label(),
        Form::Sec1Private => block.label == PrivateForm::Sec1.label(),
        Form::Pkcs8Private => block.label == PrivateForm::Pkcs8.label(),
        _ => return Verdict::Skipped("encrypted keys are not read"),
    };
    match &block.key {
        _ if !fits => Verdict::Skipped("the label does not fit the bytes"),
        Ok(key) if key.rsa_bits().is_some_and(|bits| bits < GO_MIN_RSA_BITS) => {
            Verdict::Refused("Go signs with no RSA key below 1024 bits: every token request fails")
        }
        Ok(_) => Verdict::Used,
        Err(KeyError::P224 | KeyError::Unsupported(_)) => {
            Verdict::Refused("it cannot sign with this kind of key: kube-apiserver exits")
        }
        Err(_) => Verdict::Skipped("the private key is damaged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Curve;
    use crate::private::PrivateKeyPem;

    fn verdicts(text: &str) -> Vec<(Verdict, Verdict)> {
        let blocks = KeyFile::parse(text.as_bytes()).blocks;
        blocks
            .into_iter()
            .map(|b| (b.as_verification, b.as_signing))
            .collect()
    }

    fn ec() -> PrivateKeyPem {
        PrivateKeyPem::from_scalar(Curve::P256, &[9]).unwrap()
    }

    #[test]
    fn a_sec1_key_serves_both_flags_and_its_public_half_one() {
        assert_eq!(
            verdicts(ec().expose_pem()),
            [(Verdict::Used, Verdict::Used)]
        );
        let public = ec().public_key().to_pem();
        assert!(matches!(
            verdicts(&public)[..],
            [(Verdict::Used, Verdict::NothingElse(_))]
        ));
    }

    #[test]
    fn labels_count_for_signing_only() {
        let relabelled = ec().expose_pem().replace("EC PRIVATE", "RSA PRIVATE");
        assert!(matches!(
            verdicts(&relabelled)[..],
            [(Verdict::Used, Verdict::NothingElse(_))]
        ));
    }

    #[test]
    fn bytes_speak_before_labels_and_headers() {
        let relabelled = ec().expose_pem().replace("EC PRIVATE", "ENCRYPTED PRIVATE");
        assert!(matches!(
            verdicts(&relabelled)[..],
            [(Verdict::Used, Verdict::NothingElse(_))]
        ));
        let header = "EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n";
        let text = ec()
            .expose_pem()
            .replacen("EC PRIVATE KEY-----\n", header, 1);
        assert_eq!(verdicts(&text), [(Verdict::Used, Verdict::Used)]);
        let garbage =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAEC\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(
            KeyFile::parse(garbage.as_bytes()).blocks[0].form,
            Form::EncryptedPrivate
        );
    }

    #[test]
    fn parameters_before_a_key_are_passed_over() {
        let text = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
            ec().expose_pem()
        );
        let file = KeyFile::parse(text.as_bytes());
        assert_eq!(
            (file.blocks[0].form, file.blocks[0].is_key()),
            (Form::EcParameters, false)
        );
        assert_eq!(file.apiserver_keys().unwrap()[0].0, 4);
    }

    #[test]
    fn a_file_without_a_key_is_refused() {
        let text = "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY-----\n";
        let file = KeyFile::parse(text.as_bytes());
        assert_eq!(file.apiserver_keys(), Err(ApiserverRefusal::NoKeys));
        assert!(matches!(
            file.blocks[0].as_verification,
            Verdict::NothingElse(_)
        ));
        assert!(KeyFile::parse(b"ssh-rsa AAAA").blocks.is_empty());
    }
}
