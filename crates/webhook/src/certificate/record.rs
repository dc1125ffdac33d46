//! What the Secret holds.

use std::collections::BTreeMap;
use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

/// The authorities of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Signs leaves now.
    pub current: Authority,
    /// Is trusted already and will sign.
    pub next: Option<Authority>,
    /// Signed before and are trusted still, each until an instant.
    pub previous: Vec<Trusted>,
}

/// A CA certificate and its private key, which nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// The certificate in PEM.
    pub certificate: String,
    key: Zeroizing<String>,
    /// When it was made, in Unix seconds.
    pub made: i64,
    /// When it expires, in Unix seconds.
    pub expires: i64,
}

/// A certificate that is still trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The certificate in PEM.
    pub certificate: String,
    /// Until when, in Unix seconds.
    pub until: i64,
}

/// Why a Secret's content cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A key is missing: the Secret is somebody else's.
    #[error("it has no key \"{0}\"")]
    Missing(&'static str),
    /// A value is not what it should be.
    #[error("its key \"{key}\" does not hold {expected}")]
    Bad {
        /// Which key.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("made", &self.made)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// From a certificate and its key, both in PEM.
    pub fn new(certificate: String, key: Zeroizing<String>) -> Result<Self, &'static str> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| "a certificate in PEM")?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| "a certificate in PEM")?;
        if !parsed.is_ca() {
            return Err("the certificate of an authority");
        }
        let (made, expires) = (
            parsed.validity().not_before.timestamp() + CLOCK_SKEW,
            parsed.validity().not_after.timestamp(),
        );
        Ok(Self {
            certificate,
            key,
            made,
            expires,
        })
    }

    /// The private key in PEM.
    pub fn expose_key(&self) -> &str {
        &self.key
    }
}

impl Record {
    /// Reads a Secret's data.
    pub fn parse(entries: &BTreeMap<String, Vec<u8>>) -> Result<Self, RecordError> {
        let text = |key: &'static str| {
            let bytes = entries.get(key).ok_or(RecordError::Missing(key))?;
            String::from_utf8(bytes.clone()).map_err(|_| RecordError::Bad {
                key,
                expected: "text",
            })
        };
        let authority = |certificate: &'static str, key| {
            let secret = Zeroizing::new(text(key)?);
            Authority::new(text(certificate)?, secret).map_err(|expected| RecordError::Bad {
                key: certificate,
                expected,
            })
        };
        let next = entries
            .contains_key(NEXT_CERTIFICATE)
            .then(|| authority(NEXT_CERTIFICATE, NEXT_KEY))
            .transpose()?;
        let previous = if entries.contains_key(PREVIOUS) {
            parse_previous(&text(PREVIOUS)?)?
        } else {
            Vec::new()
        };
        Ok(Self {
            current: authority(CURRENT_CERTIFICATE, CURRENT_KEY)?,
            next,
            previous,
        })
    }

    /// The Secret's data.
    pub fn entries(&self) -> BTreeMap<String, Vec<u8>> {
        let mut entries = BTreeMap::new();
        let mut put = |certificate: &str, key: &str, authority: &Authority| {
            entries.insert(
                certificate.to_owned(),
                authority.certificate.clone().into_bytes(),
            );
            entries.insert(key.to_owned(), authority.expose_key().as_bytes().to_vec());
        };
        put(CURRENT_CERTIFICATE, CURRENT_KEY, &self.current);
        if let Some(next) = &self.next {
            put(NEXT_CERTIFICATE, NEXT_KEY, next);
        }
        if !self.previous.is_empty() {
            let lines = self
                .previous
                .iter()
                .map(|one| format!("# until {}\n{}", one.until, one.certificate.trim()));
            let text = lines.collect::<Vec<_>>().join("\n") + "\n";
            entries.insert(PREVIOUS.to_owned(), text.into_bytes());
        }
        entries
    }

    /// Every certificate that the API server is to trust, in PEM.
    pub fn bundle(&self) -> String {
        let all = std::iter::once(&self.current.certificate)
            .chain(self.next.iter().map(|next| &next.certificate))
            .chain(self.previous.iter().map(|one| &one.certificate));
        let mut lines: Vec<&str> = Vec::new();
        for one in all.map(|one| one.trim()) {
            if !lines.contains(&one) {
                lines.push(one);
            }
        }
        lines.join("\n") + "\n"
    }
}

/// Certificates, each after a line that says until when.
fn parse_previous(text: &str) -> Result<Vec<Trusted>, RecordError> {
    let bad = || RecordError::Bad {
        key: PREVIOUS,
        expected: "certificates, each after a line \"# until UNIX-SECONDS\"",
    };
    let mut previous = Vec::new();
    for part in text
        .split("# until ")
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (until, certificate) = part.split_once('\n').ok_or_else(bad)?;
        CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| bad())?;
        previous.push(Trusted {
            certificate: certificate.trim().to_owned() + "\n",
            until: until.trim().parse().map_err(|_| bad())?,
        });
    }
    Ok(previous)
}

/// How far a certificate's validity begins before it is made: an API server whose clock is behind must not refuse it.
/// Seconds.
pub(super) const CLOCK_SKEW: i64 = 300;
const CURRENT_CERTIFICATE: &str = "ca.crt";
const CURRENT_KEY: &str = "ca.key";
const NEXT_CERTIFICATE: &str = "next-ca.crt";
const NEXT_KEY: &str = "next-ca.key";
const PREVIOUS: &str = "previous-ca.crt";
