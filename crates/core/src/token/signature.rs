//! Whose signature a token has.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;

use crate::algorithm::Algorithm;
use crate::keys::{Numbers, PublicKey};
use crate::kid::Kid;
use crate::token::Token;

/// The key that signed a token, by its signature: whoever may write a token down may write any kid into it, and must not
/// keep a key for ever. A text that is no token, or that none of these keys signed, is accepted by nobody.
pub fn signer(text: &str, known: &BTreeMap<Kid, PublicKey>) -> Option<Kid> {
    let token = Token::parse(text).ok()?;
    // One that names a key is tried with that one alone, as an API server does.
    let named = token.kid().and_then(Kid::parse);
    let mut keys = known
        .iter()
        .filter(|(kid, _)| named.as_ref().is_none_or(|named| named == *kid));
    let signed = keys.find(|(_, key)| signed_by(&token, key));
    signed.map(|(kid, _)| kid.clone())
}

/// Whether a key made the signature of a token, whatever the token says of itself.
pub fn signed_by(token: &Token, key: &PublicKey) -> bool {
    let (message, signature) = (token.signing_input(), token.signature());
    let decoding = match key.numbers() {
        Numbers::Rsa { n, e } => DecodingKey::from_rsa_raw_components(&n, &e),
        Numbers::Ec { x, y, .. } => DecodingKey::from_ec_der(&[&[4], &*x, &*y].concat()),
    };
    let algorithm = match key.algorithm() {
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::Es512 => return signed_by_p521(message, signature, key),
    };
    jsonwebtoken::crypto::verify(signature, message, &decoding, algorithm).unwrap_or(false)
}

/// jsonwebtoken has no ES512.
fn signed_by_p521(message: &[u8], signature: &str, key: &PublicKey) -> bool {
    let Numbers::Ec { x, y, .. } = key.numbers() else {
        return false;
    };
    let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, [&[4], &*x, &*y].concat());
    URL_SAFE_NO_PAD
        .decode(signature)
        .is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    use super::*;
    use crate::algorithm::Curve;
    use crate::private::PrivateKeyPem;

    fn token(header: &str, key: &PrivateKeyPem) -> String {
        let blocks = crate::pem::scan(key.expose_pem().as_bytes()).blocks;
        let pair =
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &blocks[0].der)
                .unwrap();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(b"{}"));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature.as_ref()))
    }

    #[test]
    fn a_token_without_kid_belongs_to_the_key_that_signed_it() {
        let key = |scalar| PrivateKeyPem::from_scalar(Curve::P256, &[scalar]).unwrap();
        let (ours, other) = (key(7), key(8));
        let known = |keys: &[&PrivateKeyPem]| -> BTreeMap<Kid, PublicKey> {
            let entry = |key: &&PrivateKeyPem| (key.public_key().kid(), key.public_key().clone());
            keys.iter().map(entry).collect()
        };
        let both = known(&[&ours, &other]);
        let kid = ours.public_key().kid();
        let named = format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
        let full = token(&named, &ours);
        assert_eq!(signer(&full, &both), Some(kid.clone()));
        assert_eq!(signer(&full, &known(&[])), None);
        // Somebody else signed it and wrote our kid into it.
        assert_eq!(signer(&token(&named, &other), &both), None);
        // As Kubernetes 1.15 made them: the header says nothing but the algorithm.
        let bare = token(r#"{"alg":"ES256"}"#, &ours);
        assert_eq!(signer(&bare, &both), Some(kid));
        assert_eq!(signer(&bare, &known(&[&other])), None);
        assert_eq!(signer("no token", &both), None);
    }
}
