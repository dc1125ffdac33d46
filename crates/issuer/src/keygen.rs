//! New signing keys from the operating system's randomness.

use std::num::NonZero;
use std::sync::mpsc;
use std::thread;

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
    let pair = first_of(search_threads(), move || RsaKeyPair::generate(size).ok())
        .ok_or(KeygenError::Generator)?;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeygenError::Generator)?;
    let info = PrivateKeyInfo::try_from(pkcs8.as_ref())
        .map_err(|_| KeygenError::Unreadable(KeyError::Malformed))?;
    PrivateKeyPem::from_pkcs1(info.private_key).map_err(KeygenError::Unreadable)
}

/// The search for primes takes a random time, so two searches end sooner than one; more gain little.
fn search_threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(2)
}

/// The first answer of several threads that do the same. The others are not waited for: theirs is dropped, and
/// wiped by the library, when they finish.
fn first_of<T: Send + 'static>(
    threads: usize,
    search: impl Fn() -> Option<T> + Clone + Send + 'static,
) -> Option<T> {
    let (found, answers) = mpsc::channel();
    for _ in 0..threads {
        let (search, found) = (search.clone(), found.clone());
        // Where no thread can be had, nobody answers, and the search is made here.
        drop(thread::Builder::new().spawn(move || drop(found.send(search()))));
    }
    drop(found);
    answers.into_iter().flatten().next().or_else(search)
}

fn ec(curve: Curve) -> Result<PrivateKeyPem, KeygenError> {
    let pair = EcdsaKeyPair::generate(signing(curve)).map_err(|_| KeygenError::Generator)?;
    let scalar: EcPrivateKeyBin<'_> = pair
        .private_key()
        .as_be_bytes()
        .map_err(|_| KeygenError::Generator)?;
    PrivateKeyPem::from_scalar(curve, scalar.as_ref()).map_err(KeygenError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_counts_and_failures_do_not() {
        assert_eq!(first_of(2, || Some(7)), Some(7));
        assert_eq!(first_of(0, || Some(7)), Some(7), "no thread at all");
        assert_eq!(first_of(2, || None::<u8>), None);
    }
}
