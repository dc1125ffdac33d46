//! New signing keys from the operating system's randomness.

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::EcdsaKeyPair;
use irsa_core::algorithm::Curve;
use irsa_core::explain::Explain;
use irsa_core::key_error::KeyError;
use irsa_core::private::{PrivateKeyPem, signing};
use pkcs8::PrivateKeyInfo;

/// A kind of key that kube-apiserver can sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA 2048, the widest accepted.
    Rsa2048,
    /// RSA 3072.
    Rsa3072,
    /// RSA 4096.
    Rsa4096,
    /// EC.
    Ec(Curve),
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// The operating system gave no randomness, or the library failed.
    #[error("the key generator failed")]
    Generator,
    /// A key was made that does not read back: a bug.
    #[error("the new key does not read back, which is a bug in irsa")]
    Unreadable(#[source] KeyError),
}

impl Explain for KeygenError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Generator => "run the command again; no file was written".into(),
            Self::Unreadable(_) => {
                "report it with the output of irsa version; no file was written".into()
            }
        })
    }
}

/// Makes a key. RSA takes some tenths of a second, EC less than a millisecond.
pub fn generate(kind: KeyKind) -> Result<PrivateKeyPem, KeygenError> {
    match kind {
        KeyKind::Rsa2048 => rsa(KeySize::Rsa2048),
        KeyKind::Rsa3072 => rsa(KeySize::Rsa3072),
        KeyKind::Rsa4096 => rsa(KeySize::Rsa4096),
        KeyKind::Ec(curve) => ec(curve),
    }
}

fn rsa(size: KeySize) -> Result<PrivateKeyPem, KeygenError> {
    let pair = RsaKeyPair::generate(size).map_err(|_| KeygenError::Generator)?;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeygenError::Generator)?;
    let info = PrivateKeyInfo::try_from(pkcs8.as_ref())
        .map_err(|_| KeygenError::Unreadable(KeyError::Malformed))?;
    PrivateKeyPem::from_pkcs1(info.private_key).map_err(KeygenError::Unreadable)
}

fn ec(curve: Curve) -> Result<PrivateKeyPem, KeygenError> {
    let pair = EcdsaKeyPair::generate(signing(curve)).map_err(|_| KeygenError::Generator)?;
    let scalar: EcPrivateKeyBin<'_> = pair
        .private_key()
        .as_be_bytes()
        .map_err(|_| KeygenError::Generator)?;
    PrivateKeyPem::from_scalar(curve, scalar.as_ref()).map_err(KeygenError::Unreadable)
}
