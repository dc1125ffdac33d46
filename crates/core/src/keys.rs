//! Public keys: what an issuer publishes and a relying party verifies with.

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use pkcs8::der::asn1::{AnyRef, BitStringRef};
use pkcs8::der::{Decode as _, Encode as _};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{EncodePublicKey as _, ObjectIdentifier};
use rsa::pkcs1;
use rsa::traits::PublicKeyParts as _;

use crate::algorithm::{Algorithm, Curve};
use crate::key_error::{KeyError, MAX_RSA_BITS, MIN_RSA_BITS};
use crate::kid::Kid;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// An uncompressed point of P-224.
const P224_POINT_BYTES: usize = 1 + 2 * 28;
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// A public key that kube-apiserver can verify tokens with: RSA, or EC on P-256, P-384 or P-521.
///
/// An RSA key may still be too small to publish: see [`PublicKey::publishable`].
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Rsa(rsa::RsaPublicKey),
    /// The point in uncompressed SEC1 form, checked to be on the curve.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
}

/// The numbers of a key as a JWK carries them, all big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbers {
    /// Modulus and exponent without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The public exponent.
        e: Vec<u8>,
    },
    /// Coordinates of the curve's full width.
    Ec {
        /// The curve.
        curve: Curve,
        /// The x coordinate.
        x: Vec<u8>,
        /// The y coordinate.
        y: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) as Go's `x509.ParsePKIXPublicKey` does.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        let oid = spki.algorithm.oid;
        let bits = spki
            .subject_public_key
            .as_bytes()
            .ok_or(KeyError::Malformed)?;
        if oid == RSA_ENCRYPTION {
            // Go refuses rsaEncryption without its NULL parameters (RFC 3279, section 2.3.1).
            spki.algorithm
                .parameters_any()
                .ok()
                .filter(|any| any.is_null())
                .ok_or(KeyError::Malformed)?;
            Self::from_pkcs1(bits)
        } else if oid == EC_PUBLIC_KEY {
            let curve = spki
                .algorithm
                .parameters_oid()
                .map_err(|_| KeyError::Unsupported("an EC key without a named curve".to_owned()))?;
            Self::from_named_point(&curve, bits)
        } else {
            Err(KeyError::Unsupported(algorithm_name(&oid)))
        }
    }

    fn from_named_point(curve: &ObjectIdentifier, point: &[u8]) -> Result<Self, KeyError> {
        match Curve::from_oid(curve) {
            Ok(curve) => Self::from_point(curve, point),
            // Go reads the point first; one that it cannot read is passed over like any other block.
            Err(KeyError::P224) if point.first() != Some(&4) || point.len() != P224_POINT_BYTES => {
                Err(KeyError::NotOnCurve)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads a PKCS#1 `RSAPublicKey` (RFC 8017, appendix A.1.1).
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let key = pkcs1::RsaPublicKey::from_der(der).map_err(|_| KeyError::Malformed)?;
        Self::from_rsa_numbers(key.modulus.as_bytes(), key.public_exponent.as_bytes())
    }

    /// An RSA key from its big-endian modulus and exponent.
    pub fn from_rsa_numbers(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        // Before any arithmetic, so that a foreign document cannot buy work with a huge number.
        if n.len() > MAX_RSA_BITS / 8 + 1 {
            return Err(KeyError::RsaTooLarge(n.len().saturating_mul(8)));
        }
        let n = rsa::BigUint::from_bytes_be(n);
        if n.bits() < 512 || e.len() > 16 {
            return Err(KeyError::RsaNumbers);
        }
        rsa::RsaPublicKey::new_with_max_size(n, rsa::BigUint::from_bytes_be(e), MAX_RSA_BITS)
            .map(|key| Self(Kind::Rsa(key)))
            .map_err(|_| KeyError::RsaNumbers)
    }

    /// An EC key from its point in uncompressed SEC1 form.
    pub fn from_point(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        if matches!(point, [2 | 3, x @ ..] if x.len() == curve.field_bytes()) {
            return Err(KeyError::CompressedPoint);
        }
        if point.first() != Some(&4) || point.len() != 1 + 2 * curve.field_bytes() {
            return Err(KeyError::NotOnCurve);
        }
        ParsedPublicKey::new(curve.verification(), point).map_err(|_| KeyError::NotOnCurve)?;
        Ok(Self(Kind::Ec {
            curve,
            point: point.to_vec(),
        }))
    }

    /// An EC key from coordinates of the curve's full width (RFC 7518, section 6.2.1.2).
    pub fn from_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        if x.len() != curve.field_bytes() || y.len() != curve.field_bytes() {
            return Err(KeyError::NotOnCurve);
        }
        Self::from_point(curve, &[&[4], x, y].concat())
    }

    /// The public half of RSA private numbers that were checked to belong together.
    pub(crate) fn of_rsa_private(key: &rsa::RsaPrivateKey) -> Result<Self, KeyError> {
        Self::from_rsa_numbers(&key.n().to_bytes_be(), &key.e().to_bytes_be())
    }

    /// SubjectPublicKeyInfo DER, byte for byte as Go's `x509.MarshalPKIXPublicKey` writes it.
    pub fn to_spki(&self) -> Vec<u8> {
        let encoded = match &self.0 {
            Kind::Rsa(key) => key.to_public_key_der().map(pkcs8::Document::into_vec).ok(),
            Kind::Ec { curve, point } => ec_spki(*curve, point),
        };
        // Encoding fails only for lengths beyond 256 MiB, and those were refused when the key was read.
        encoded.unwrap_or_default()
    }

    /// SubjectPublicKeyInfo in PEM, the form that every tool reads: `-----BEGIN PUBLIC KEY-----`.
    pub fn to_pem(&self) -> String {
        pkcs8::der::pem::encode_string("PUBLIC KEY", pkcs8::LineEnding::LF, &self.to_spki())
            .unwrap_or_default()
    }

    /// The Kubernetes key ID.
    pub fn kid(&self) -> Kid {
        Kid::of_spki(&self.to_spki())
    }

    /// The algorithm that Kubernetes signs with this kind of key.
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Kind::Rsa(_) => Algorithm::Rs256,
            Kind::Ec {
                curve: Curve::P256, ..
            } => Algorithm::Es256,
            Kind::Ec {
                curve: Curve::P384, ..
            } => Algorithm::Es384,
            Kind::Ec {
                curve: Curve::P521, ..
            } => Algorithm::Es512,
        }
    }

    /// The key's numbers, for a JWK.
    pub fn numbers(&self) -> Numbers {
        match &self.0 {
            Kind::Rsa(key) => Numbers::Rsa {
                n: key.n().to_bytes_be(),
                e: key.e().to_bytes_be(),
            },
            Kind::Ec { curve, point } => {
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                Numbers::Ec {
                    curve: *curve,
                    x: x.to_vec(),
                    y: y.to_vec(),
                }
            }
        }
    }

    /// Refuses a key that no relying party should be asked to trust.
    pub fn publishable(&self) -> Result<(), KeyError> {
        match &self.0 {
            Kind::Rsa(key) if key.n().bits() < MIN_RSA_BITS => {
                Err(KeyError::RsaTooSmall(key.n().bits()))
            }
            Kind::Rsa(_) | Kind::Ec { .. } => Ok(()),
        }
    }

    /// The size of an RSA key's modulus in bits.
    pub fn rsa_bits(&self) -> Option<usize> {
        match &self.0 {
            Kind::Rsa(key) => Some(key.n().bits()),
            Kind::Ec { .. } => None,
        }
    }

    /// `RSA 2048`, `EC P-256`: kind and size for a person.
    pub fn describe(&self) -> String {
        match &self.0 {
            Kind::Rsa(key) => format!("RSA {}", key.n().bits()),
            Kind::Ec { curve, .. } => format!("EC {}", curve.name()),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.describe(), self.kid())
    }
}

fn ec_spki(curve: Curve, point: &[u8]) -> Option<Vec<u8>> {
    let oid = curve.oid();
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: EC_PUBLIC_KEY,
            parameters: Some(AnyRef::from(&oid)),
        },
        subject_public_key: BitStringRef::from_bytes(point).ok()?,
    }
    .to_der()
    .ok()
}

/// The name of a key type that is refused, so that the message says more than an OID.
pub(crate) fn algorithm_name(oid: &ObjectIdentifier) -> String {
    let name = match oid.to_string().as_str() {
        "1.3.101.112" => "an Ed25519 key",
        "1.3.101.113" => "an Ed448 key",
        "1.3.101.110" => "an X25519 key",
        "1.3.101.111" => "an X448 key",
        "1.2.840.113549.1.1.10" => "an RSASSA-PSS key",
        "1.2.840.10040.4.1" => "a DSA key",
        "1.2.840.113549.1.3.1" => "a Diffie-Hellman key",
        other => return format!("a key of the type {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// From `jwt_test.go` in Kubernetes.
    const EC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEH6cuzP8XuD5wal6wf9M6xDljTOPLX2i8uIp/C/ASqiIGUeeKQtX0/IR3qCXyThP/dbCiHrF3v1cuhBOHY8CLVg==";

    fn ec() -> PublicKey {
        PublicKey::from_spki(&STANDARD.decode(EC).unwrap()).unwrap()
    }

    #[test]
    fn kid_and_spki_are_those_of_kubernetes() {
        assert_eq!(
            ec().kid().as_str(),
            "SoABiieYuNx4UdqYvZRVeuC6SihxgLrhLy9peHMHpTc"
        );
        assert_eq!(STANDARD.encode(ec().to_spki()), EC);
        assert_eq!(
            (ec().algorithm(), ec().describe()),
            (Algorithm::Es256, "EC P-256".to_owned())
        );
    }

    #[test]
    fn a_point_off_the_curve_or_compressed_is_refused() {
        let Numbers::Ec { curve, x, mut y } = ec().numbers() else {
            panic!("not EC")
        };
        let compressed = [&[2], x.as_slice()].concat();
        assert_eq!(
            PublicKey::from_point(curve, &compressed),
            Err(KeyError::CompressedPoint)
        );
        y[31] ^= 1;
        assert_eq!(
            PublicKey::from_coordinates(curve, &x, &y),
            Err(KeyError::NotOnCurve)
        );
        assert_eq!(
            PublicKey::from_coordinates(curve, &x, &y[1..]),
            Err(KeyError::NotOnCurve)
        );
    }

    #[test]
    fn rsa_sizes_have_bounds() {
        let of_bits = |bits: usize| {
            let mut n = vec![0xff; bits / 8];
            n[bits / 8 - 1] = 0xf1;
            PublicKey::from_rsa_numbers(&n, &[1, 0, 1])
        };
        assert_eq!(
            of_bits(1024).unwrap().publishable(),
            Err(KeyError::RsaTooSmall(1024))
        );
        assert_eq!(of_bits(2048).unwrap().publishable(), Ok(()));
        assert!(of_bits(8192).is_ok());
        assert_eq!(of_bits(16_384), Err(KeyError::RsaTooLarge(16_384)));
        assert_eq!(
            PublicKey::from_rsa_numbers(&[0xff; 256], &[1]),
            Err(KeyError::RsaNumbers)
        );
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        let ed25519 = STANDARD
            .decode("MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")
            .unwrap();
        let refusal = PublicKey::from_spki(&ed25519).unwrap_err().to_string();
        assert!(refusal.contains("Ed25519"), "{refusal}");
    }
}
