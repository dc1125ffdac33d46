//! Signing of tokens with a key that is parsed once.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use irsa_core::algorithm::{Algorithm, Curve};
use irsa_core::explain::Explain;
use irsa_core::kid::Kid;
use irsa_core::pem;
use irsa_core::private::{PrivateKeyPem, signing};
use irsa_core::token::claims::header_bytes;

/// A signing key, ready for use. It prints its kid and nothing else.
pub struct Signer {
    pair: Pair,
    algorithm: Algorithm,
    kid: Kid,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A private key that core read and the crypto library refuses.
    #[error("key \"{0}\" is refused by the crypto library")]
    Rejected(Kid),
    /// The library failed.
    #[error("signing with key \"{0}\" failed")]
    Failed(Kid),
}

impl Explain for SignError {
    fn help(&self) -> Option<String> {
        Some("RSA from 2048 to 8192 bits and P-256, P-384, P-521 can sign; irsa keys generate makes one".into())
    }
}

impl Signer {
    /// Prepares a key for signing.
    pub fn new(key: &PrivateKeyPem) -> Result<Self, SignError> {
        let (kid, algorithm) = (key.public_key().kid(), key.public_key().algorithm());
        let block = pem::scan(key.expose_pem().as_bytes())
            .blocks
            .into_iter()
            .next();
        let pair = block.and_then(|block| read(algorithm, &block.label, &block.der));
        match pair {
            Some(pair) => Ok(Self {
                pair,
                algorithm,
                kid,
            }),
            None => Err(SignError::Rejected(kid)),
        }
    }

    /// The key's ID.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// A token over these claims, in compact form.
    pub fn token(&self, claims: &[u8]) -> Result<String, SignError> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let input = format!(
            "{}.{}",
            encode(&header_bytes(self.algorithm, &self.kid)),
            encode(claims)
        );
        let signature = self.sign(input.as_bytes())?;
        Ok(format!("{input}.{}", encode(&signature)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        let signed = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
            Pair::Ec(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
        };
        signed.map_err(|_| SignError::Failed(self.kid.clone()))
    }
}

/// A random UUID (RFC 9562, version 4), as Kubernetes gives to objects and tokens.
pub fn random_uuid() -> Result<String, RandomError> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| RandomError)?;
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{number:032x}");
    let (mut rest, mut groups) = (hex.as_str(), Vec::new());
    for length in [8, 4, 4, 4] {
        let (group, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
        groups.push(group);
        rest = tail;
    }
    groups.push(rest);
    Ok(groups.join("-"))
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct RandomError;

impl Explain for RandomError {}

/// A token with other claims and the old signature: what every verifier must refuse.
pub fn tamper(token: &str, from: &str, to: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    if let Some(part) = parts.get_mut(1)
        && let Ok(claims) = URL_SAFE_NO_PAD.decode(&*part)
    {
        *part = URL_SAFE_NO_PAD.encode(String::from_utf8_lossy(&claims).replace(from, to));
    }
    parts.join(".")
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.kid)
    }
}

fn read(algorithm: Algorithm, label: &str, der: &[u8]) -> Option<Pair> {
    let pkcs8 = label == "PRIVATE KEY";
    let curve = match algorithm {
        Algorithm::Rs256 => {
            let pair = if pkcs8 {
                RsaKeyPair::from_pkcs8(der)
            } else {
                RsaKeyPair::from_der(der)
            };
            return pair.ok().map(Pair::Rsa);
        }
        Algorithm::Es256 => Curve::P256,
        Algorithm::Es384 => Curve::P384,
        Algorithm::Es512 => Curve::P521,
    };
    let algorithm = signing(curve);
    let pair = if pkcs8 {
        EcdsaKeyPair::from_pkcs8(algorithm, der)
    } else {
        EcdsaKeyPair::from_private_key_der(algorithm, der)
    };
    pair.ok().map(Pair::Ec)
}

#[cfg(test)]
mod tests {
    use irsa_core::issuer::{IssuerUrl, TrailingSlash};
    use irsa_core::jwks::JwkSet;
    use irsa_core::token::Token;
    use irsa_core::token::claims::{ServiceAccount, TokenRequest};
    use irsa_core::token::verify::{Expectation, verify};
    use jiff::Timestamp;

    use super::*;
    use crate::keygen::{KeyKind, generate};

    #[test]
    fn uuids_are_random_and_of_version_4() {
        let (a, b) = (random_uuid().unwrap(), random_uuid().unwrap());
        assert_ne!(a, b);
        let bytes = a.as_bytes();
        assert_eq!(
            (a.len(), bytes[14], bytes[8], bytes[23]),
            (36, b'4', b'-', b'-')
        );
        assert!(matches!(bytes[19], b'8' | b'9' | b'a' | b'b'), "{a}");
    }

    #[test]
    fn every_kind_of_key_signs_what_verifies() {
        let issuer = IssuerUrl::parse("https://h/a", TrailingSlash::Refuse).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let curves = Curve::ALL.map(KeyKind::Ec);
        for kind in [KeyKind::Rsa2048].into_iter().chain(curves) {
            let key = generate(kind).unwrap();
            let request = TokenRequest {
                issuer: &issuer,
                audience: "sts.amazonaws.com",
                service_account: &ServiceAccount::parse("a/b").unwrap(),
                uid: "u",
                token_id: "t",
                issued_at: now,
                lifetime: 600,
            };
            let text = Signer::new(&key)
                .unwrap()
                .token(&request.to_bytes())
                .unwrap();
            let keys = JwkSet::from_keys([key.public_key()]);
            let expected = Expectation {
                issuer: &issuer,
                audience: "sts.amazonaws.com",
                keys: &keys,
                now,
            };
            let verified = verify(&Token::parse(&text).unwrap(), &expected).unwrap();
            assert_eq!(verified.kid, key.public_key().kid().as_str());
            assert_eq!(verified.subject, "system:serviceaccount:a:b");
        }
    }
}
