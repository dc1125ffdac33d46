//! The CA thumbprint: an entry of IAM's `ThumbprintList`.
//!
//! AWS verifies the certificate of an issuer's JWKS endpoint with its own library of public roots, and looks at
//! the thumbprints of the IAM provider only when that fails: for a private CA. The entry is the SHA-1 of the *last*
//! certificate that the server sends, the top intermediate CA; of the leaf only when nothing else is sent, and
//! then it breaks at the next renewal. It is neither the Kubernetes kid nor an RFC 7638 JWK thumbprint.

use std::fmt;

use sha1::{Digest as _, Sha1};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::explain::Explain;
use crate::pem;

/// More certificates than any real server sends: a bound on what a hostile one can make us read.
pub const MAX_CHAIN: usize = 16;

/// SHA-1 of a certificate's DER, 40 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CaThumbprint(String);

impl CaThumbprint {
    /// The thumbprint of one certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        Self(base16ct::lower::encode_string(&Sha1::digest(der)))
    }

    /// 40 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CaThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CaThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaThumbprint({})", self.0)
    }
}

/// One certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainCertificate {
    /// Its subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
    /// Whether it may sign others (basic constraints).
    pub is_ca: bool,
    /// Whether subject and issuer are the same name.
    pub is_self_issued: bool,
    /// Its SHA-1.
    pub thumbprint: CaThumbprint,
}

/// A chain as a server sends it, leaf first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<ChainCertificate>,
}

/// Why a chain gives no thumbprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No certificate at all.
    #[error("no certificate found")]
    Empty,
    /// More than [`MAX_CHAIN`].
    #[error("the chain has {0} certificates, expected at most {MAX_CHAIN}")]
    TooLong(usize),
    /// Not X.509.
    #[error("certificate {0} of the chain is not valid X.509")]
    Malformed(usize),
}

impl Explain for ChainError {
    fn help(&self) -> Option<String> {
        Some("give the chain as the server sends it: the leaf first, then its CAs".into())
    }
}

impl Chain {
    /// Reads a chain of DER certificates, leaf first.
    pub fn from_der<'a>(chain: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, ChainError> {
        let ders: Vec<&[u8]> = chain.into_iter().collect();
        if ders.len() > MAX_CHAIN {
            return Err(ChainError::TooLong(ders.len()));
        }
        let certificates: Vec<_> = ders
            .iter()
            .enumerate()
            .map(|(at, der)| read(der).ok_or(ChainError::Malformed(at + 1)))
            .collect::<Result<_, _>>()?;
        if certificates.is_empty() {
            Err(ChainError::Empty)
        } else {
            Ok(Self { certificates })
        }
    }

    /// Reads the certificates of a PEM file in their order; other blocks are passed over.
    pub fn from_pem(text: &[u8]) -> Result<Self, ChainError> {
        let blocks = pem::scan(text).blocks;
        let certificates = blocks.iter().filter(|block| block.label == "CERTIFICATE");
        Self::from_der(certificates.map(|block| block.der.as_slice()))
    }

    /// The certificates, leaf first.
    pub fn certificates(&self) -> &[ChainCertificate] {
        &self.certificates
    }

    /// The last certificate sent: the one whose thumbprint IAM wants.
    pub fn top(&self) -> Option<&ChainCertificate> {
        self.certificates.last()
    }

    /// Why [`top`](Self::top) is the right one, or what is wrong with it.
    pub fn reason(&self) -> &'static str {
        match self.certificates.as_slice() {
            [only] if only.is_ca && only.is_self_issued => {
                "the only certificate sent, a self-signed one: AWS pins it, so it must outlive the provider"
            }
            [_] => {
                "only the leaf is sent: its thumbprint changes at every renewal; let the server send its \
                 intermediate CA too"
            }
            [.., top] if !top.is_ca => {
                "the last certificate sent, which is no CA: the chain is not in order, so look at each of its certificates"
            }
            [.., top] if top.is_self_issued => "the last certificate sent, the root of the chain",
            _ => "the last certificate sent, the top intermediate CA",
        }
    }

    /// Whether the thumbprint will break when the server's certificate is renewed.
    pub fn is_leaf_only(&self) -> bool {
        matches!(self.certificates.as_slice(), [only] if !(only.is_ca && only.is_self_issued))
    }
}

fn read(der: &[u8]) -> Option<ChainCertificate> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    Some(ChainCertificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_after: certificate.validity().not_after.timestamp(),
        is_ca: certificate.is_ca(),
        is_self_issued: certificate.subject() == certificate.issuer(),
        thumbprint: CaThumbprint::of(der),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha1_is_lower_case_hex() {
        // FIPS 180-2, appendix A.1.
        assert_eq!(
            CaThumbprint::of(b"abc").as_str(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
    }

    #[test]
    fn what_is_no_chain_is_refused() {
        assert_eq!(Chain::from_pem(b"x"), Err(ChainError::Empty));
        assert_eq!(
            Chain::from_der([b"x".as_slice()]),
            Err(ChainError::Malformed(1))
        );
        assert_eq!(
            Chain::from_der([b"x".as_slice(); 17]),
            Err(ChainError::TooLong(17))
        );
    }
}
