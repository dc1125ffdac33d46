//! Private keys: one type that holds their bytes, and the readers that look at them.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
};
use pkcs8::der::{Decode, Encode as _, SliceReader};
use rsa::BigUint;
use rsa::pkcs1::{self, DecodeRsaPrivateKey as _};
use rsa::traits::PrivateKeyParts as _;
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

use crate::algorithm::Curve;
use crate::explain::Explain;
use crate::key_error::{KeyError, MAX_RSA_BITS};
use crate::keys::{EC_PUBLIC_KEY, PublicKey, algorithm_name};
use crate::pem;

/// A private signing key as it stands in its file, wiped on drop.
///
/// It has no `Clone` and prints nothing but its kid. There are two ways out: [`public_key`](Self::public_key), and
/// [`expose_pem`](Self::expose_pem) for the writer of the key file and the signer.
pub struct PrivateKeyPem {
    pem: Zeroizing<String>,
    public: PublicKey,
}

/// Why a file holds no signing key.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// kube-apiserver would say "data does not contain a valid private key".
    #[error("no private key in PEM (RSA, EC or PKCS#8) found")]
    Missing,
    /// The first private key of the file is one that Kubernetes cannot sign with.
    #[error("line {line} holds {reason}")]
    Refused {
        /// Where its block begins.
        line: usize,
        /// What it is.
        reason: KeyError,
    },
}

impl Explain for PrivateKeyError {
    fn help(&self) -> Option<String> {
        Some("irsa keys inspect FILE shows what each block of the file is".into())
    }
}

impl PrivateKeyPem {
    /// Reads the key that kube-apiserver would sign with if `text` were its `--service-account-signing-key-file`:
    /// the first private key whose label fits its bytes.
    pub fn parse(text: &[u8]) -> Result<Self, PrivateKeyError> {
        let mut encrypted = None;
        for block in pem::scan(text).blocks {
            // A word for when nothing can be read: kube-apiserver asks the bytes, and no header or label that says so.
            encrypted = encrypted.or(block.is_encrypted().then_some(block.line));
            let Some(form) = PrivateForm::of_label(&block.label) else {
                continue;
            };
            match form.public_key(&block.der) {
                Ok(public) => {
                    return Ok(Self {
                        pem: form.to_pem(&block.der),
                        public,
                    });
                }
                // kube-apiserver passes over what it cannot parse and stops at a kind that it cannot use.
                Err(KeyError::Malformed | KeyError::PrivateNumbers) => {}
                Err(reason) => {
                    return Err(PrivateKeyError::Refused {
                        line: block.line,
                        reason,
                    });
                }
            }
        }
        Err(
            encrypted.map_or(PrivateKeyError::Missing, |line| PrivateKeyError::Refused {
                line,
                reason: KeyError::Encrypted,
            }),
        )
    }

    /// Wraps an RSA key in PKCS#1 DER.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let public = PrivateForm::Pkcs1.public_key(der)?;
        Ok(Self {
            pem: PrivateForm::Pkcs1.to_pem(der),
            public,
        })
    }

    /// Makes a SEC1 key file from an EC private scalar, big-endian, of the curve's full width.
    pub fn from_scalar(curve: Curve, scalar: &[u8]) -> Result<Self, KeyError> {
        let public = ec_public(curve, scalar)?;
        let spki = public.to_spki();
        // The point stands at the end of the SubjectPublicKeyInfo, uncompressed.
        let point = spki
            .len()
            .checked_sub(1 + 2 * curve.field_bytes())
            .and_then(|at| spki.get(at..));
        let der = Zeroizing::new(
            EcPrivateKey {
                private_key: scalar,
                parameters: Some(EcParameters::NamedCurve(curve.oid())),
                public_key: point,
            }
            .to_der()
            .map_err(|_| KeyError::Malformed)?,
        );
        Ok(Self {
            pem: PrivateForm::Sec1.to_pem(&der),
            public,
        })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The private key itself: only for writing its own file and for signing.
    pub fn expose_pem(&self) -> &str {
        &self.pem
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKeyPem({})", self.public.kid())
    }
}

/// The three encodings of a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrivateForm {
    Pkcs1,
    Pkcs8,
    Sec1,
}

impl PrivateForm {
    pub(crate) const ALL: [Self; 3] = [Self::Pkcs1, Self::Pkcs8, Self::Sec1];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Pkcs1 => "RSA PRIVATE KEY",
            Self::Pkcs8 => "PRIVATE KEY",
            Self::Sec1 => "EC PRIVATE KEY",
        }
    }

    pub(crate) fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.label() == label)
    }

    /// The public half of a key in this encoding; `Malformed` when the bytes are in another one.
    pub(crate) fn public_key(self, der: &[u8]) -> Result<PublicKey, KeyError> {
        match self {
            Self::Pkcs1 => rsa_public(der),
            Self::Sec1 => sec1_public(der, None),
            Self::Pkcs8 => {
                let key: pkcs8::PrivateKeyInfo<'_> = first(der)?;
                let oid = key.algorithm.oid;
                if oid == pkcs1::ALGORITHM_OID {
                    rsa_public(key.private_key)
                } else if oid == EC_PUBLIC_KEY {
                    let curve = key.algorithm.parameters_oid().ok();
                    sec1_public(key.private_key, curve.as_ref())
                } else {
                    Err(KeyError::Unsupported(algorithm_name(&oid)))
                }
            }
        }
    }

    fn to_pem(self, der: &[u8]) -> Zeroizing<String> {
        // Fails only for a label that is no PEM label, and these are constants.
        Zeroizing::new(
            pkcs8::der::pem::encode_string(self.label(), pkcs8::LineEnding::LF, der)
                .unwrap_or_default(),
        )
    }
}

/// The structure that `der` begins with: like Go, which drops what follows a SEC1 or PKCS#8 key.
fn first<'a, T: Decode<'a>>(der: &'a [u8]) -> Result<T, KeyError> {
    let mut reader = SliceReader::new(der).map_err(|_| KeyError::Malformed)?;
    T::decode(&mut reader).map_err(|_| KeyError::Malformed)
}

fn rsa_public(der: &[u8]) -> Result<PublicKey, KeyError> {
    let key = pkcs1::RsaPrivateKey::from_der(der).map_err(|_| KeyError::Malformed)?;
    let bits = key.modulus.as_bytes().len().saturating_mul(8);
    if bits > MAX_RSA_BITS {
        return Err(KeyError::RsaTooLarge(bits));
    }
    // Also checks that the primes and exponents belong together, as Go's rsa.Validate does.
    let checked = rsa::RsaPrivateKey::from_pkcs1_der(der).map_err(|_| KeyError::PrivateNumbers)?;
    if !has_own_crt_values(&key, &checked) {
        return Err(KeyError::PrivateNumbers);
    }
    PublicKey::of_rsa_private(&checked)
}

/// Whether the Chinese remainder values in the file are those of the key, as Go demands since 1.24.
fn has_own_crt_values(read: &pkcs1::RsaPrivateKey<'_>, key: &rsa::RsaPrivateKey) -> bool {
    let equal = |read: pkcs1::UintRef<'_>, number: &BigUint| {
        *Zeroizing::new(BigUint::from_bytes_be(read.as_bytes())) == *number
    };
    key.dp().is_some_and(|number| equal(read.exponent1, number))
        && key.dq().is_some_and(|number| equal(read.exponent2, number))
        && key
            .crt_coefficient()
            .map(Zeroizing::new)
            .is_some_and(|number| equal(read.coefficient, &number))
}

fn sec1_public(der: &[u8], outer: Option<&pkcs8::ObjectIdentifier>) -> Result<PublicKey, KeyError> {
    let key: EcPrivateKey<'_> = first(der)?;
    // The curve named by the PKCS#8 wrapper wins, as in Go.
    let curve = match (outer, key.parameters.and_then(EcParameters::named_curve)) {
        (Some(oid), _) => Curve::from_oid(oid)?,
        (None, Some(oid)) => Curve::from_oid(&oid)?,
        (None, None) => return Err(KeyError::Malformed),
    };
    ec_public(curve, key.private_key)
}

/// The public point of a scalar, computed rather than read: Go ignores the copy that may stand in the file.
fn ec_public(curve: Curve, scalar: &[u8]) -> Result<PublicKey, KeyError> {
    let scalar = full_width(curve, scalar)?;
    let der = Zeroizing::new(
        EcPrivateKey {
            private_key: &scalar,
            parameters: Some(EcParameters::NamedCurve(curve.oid())),
            public_key: None,
        }
        .to_der()
        .map_err(|_| KeyError::Malformed)?,
    );
    let pair = EcdsaKeyPair::from_private_key_der(signing(curve), &der)
        .map_err(|_| KeyError::PrivateNumbers)?;
    PublicKey::from_point(curve, pair.public_key().as_ref())
}

/// Some writers drop the scalar's leading zeros and some add more: Go accepts both.
fn full_width(curve: Curve, scalar: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let width = curve.field_bytes();
    let significant = scalar
        .iter()
        .position(|b| *b != 0)
        .and_then(|at| scalar.get(at..));
    let significant = significant.unwrap_or_default();
    let padding = width
        .checked_sub(significant.len())
        .ok_or(KeyError::PrivateNumbers)?;
    let mut padded = Zeroizing::new(vec![0; width]);
    if let Some(tail) = padded.get_mut(padding..) {
        tail.copy_from_slice(significant);
    }
    Ok(padded)
}

/// The ECDSA algorithm of a curve, for whoever signs with it.
pub fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_makes_a_file_that_reads_back() {
        for curve in Curve::ALL {
            let mut scalar = vec![0; curve.field_bytes()];
            scalar[curve.field_bytes() - 1] = 7;
            let key = PrivateKeyPem::from_scalar(curve, &scalar).unwrap();
            assert!(
                key.expose_pem()
                    .starts_with(&format!("-----BEGIN {}-----\n", PrivateForm::Sec1.label()))
            );
            let again = PrivateKeyPem::parse(key.expose_pem().as_bytes()).unwrap();
            assert_eq!(again.public_key(), key.public_key());
        }
    }

    #[test]
    fn short_and_padded_scalars_are_the_same_key() {
        let short = ec_public(Curve::P256, &[7]).unwrap();
        assert_eq!(
            short,
            ec_public(
                Curve::P256,
                &[0_u8; 40]
                    .map(|_| 0)
                    .into_iter()
                    .chain([7])
                    .collect::<Vec<_>>()
            )
            .unwrap()
        );
    }

    #[test]
    fn bytes_after_a_key_are_not_looked_at() {
        let key = PrivateKeyPem::from_scalar(Curve::P384, &[5]).unwrap();
        let der = pem::scan(key.expose_pem().as_bytes()).blocks.remove(0).der;
        let longer = [der.as_slice(), b"more"].concat();
        assert_eq!(
            PrivateForm::Sec1.public_key(&longer).as_ref(),
            Ok(key.public_key())
        );
        assert_eq!(
            PrivateForm::Sec1.public_key(&der[..der.len() - 1]),
            Err(KeyError::Malformed)
        );
    }

    #[test]
    fn debug_shows_the_kid_and_nothing_private() {
        let key = PrivateKeyPem::from_scalar(Curve::P256, &[7]).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("PrivateKeyPem({})", key.public_key().kid())
        );
    }

    #[test]
    fn a_key_behind_a_passphrase_is_told_from_no_key() {
        let label = "ENCRYPTED PRIVATE KEY";
        let text = format!("-----BEGIN {label}-----\nAAEC\n-----END {label}-----\n");
        let refused = PrivateKeyPem::parse(text.as_bytes()).unwrap_err();
        let said = "line 1 holds a private key encrypted with a passphrase";
        assert_eq!(refused.to_string(), said);
        let missing = PrivateKeyPem::parse(b"no key").unwrap_err();
        assert!(matches!(missing, PrivateKeyError::Missing), "{missing}");
        // kube-apiserver passes over it, and signs with the one behind it.
        let usable = PrivateKeyPem::from_scalar(Curve::P256, &[7]).unwrap();
        let both = format!("{text}{}", usable.expose_pem());
        let found = PrivateKeyPem::parse(both.as_bytes());
        assert!(found.is_ok(), "{found:?}");
        let begin = format!("-----BEGIN {}-----\n", PrivateForm::Sec1.label());
        let header = format!("{begin}Proc-Type: 4,ENCRYPTED\n\n");
        let with_header = usable.expose_pem().replace(&begin, &header);
        let found = PrivateKeyPem::parse(with_header.as_bytes());
        assert!(found.is_ok(), "a header alone hides no key: {found:?}");
    }
}
