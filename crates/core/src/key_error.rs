//! Why bytes are no key for us, by name.

use crate::explain::Explain;

/// The smallest RSA modulus that we publish; AWS and every current JOSE library ask for 2048 bits.
pub const MIN_RSA_BITS: usize = 2048;
/// The largest RSA modulus that is read: verification libraries stop here, and it bounds the work of parsing.
pub const MAX_RSA_BITS: usize = 8192;

/// Why bytes are no key that a service account token can be verified with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// RSA below [`MIN_RSA_BITS`].
    #[error("RSA {0} bits, expected at least {MIN_RSA_BITS}")]
    RsaTooSmall(usize),
    /// RSA above [`MAX_RSA_BITS`].
    #[error("RSA {0} bits, expected at most {MAX_RSA_BITS}")]
    RsaTooLarge(usize),
    /// An exponent or modulus that no RSA key has.
    #[error("an RSA key with an impossible modulus or exponent")]
    RsaNumbers,
    /// Kubernetes loads such a key and then serves no documents at all.
    #[error("an EC key on P-224, for which JOSE has no algorithm")]
    P224,
    /// `02…` or `03…` in place of `04…`.
    #[error("an EC key whose point is in compressed form, which kube-apiserver does not read")]
    CompressedPoint,
    /// Not a point of the curve, or of the wrong length.
    #[error("an EC key whose point is not on its curve")]
    NotOnCurve,
    /// A kind of key that Kubernetes cannot sign with.
    #[error("{0}, which kube-apiserver cannot sign or verify with")]
    Unsupported(String),
    /// A private key behind a passphrase.
    #[error("a private key encrypted with a passphrase")]
    Encrypted,
    /// Private numbers that do not belong together.
    #[error("a private key whose numbers do not belong together")]
    PrivateNumbers,
    /// No structure that we know.
    #[error("neither a public key, a certificate nor a private key in DER")]
    Malformed,
}

impl Explain for KeyError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::CompressedPoint => {
                "openssl ec -pubin -in OLD.pub -conv_form uncompressed -pubout -out NEW.pub".into()
            }
            Self::Encrypted => {
                "export the public half: openssl pkey -in FILE -pubout -out NAME.pub".into()
            }
            _ => {
                "use RSA 2048 or larger, P-256, P-384 or P-521; irsa keys generate makes one".into()
            }
        })
    }
}
