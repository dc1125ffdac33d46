//! Tokens: whatever is read can be explained, and nothing verifies but what the real server signed.
#![no_main]

use std::sync::LazyLock;

use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_core::jwks::JwkSet;
use irsa_core::token::Token;
use irsa_core::token::explain::explain;
use irsa_core::token::verify::{Expectation, verify};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

macro_rules! example {
    ($path:literal) => {
        include_str!(concat!("../../keys-example/kube-apiserver-", $path))
    };
}
const SETS: [&str; 4] = [
    example!("1.20/jwks.rsa+ec.json"),
    example!("1.36/signers/ec384.jwks.json"),
    example!("1.36/signers/ec521.jwks.json"),
    example!("1.36/signers/sa4096.jwks.json"),
];
/// Every token that these keys signed; the first was valid when most were.
const TOKENS: [&str; 12] = [
    example!("1.36/signers/ec256-pkcs8.token.jwt"),
    example!("1.36/signers/ec.token.jwt"),
    example!("1.36/signers/ec384.token.jwt"),
    example!("1.36/signers/ec521.token.jwt"),
    example!("1.36/signers/sa.token.jwt"),
    example!("1.36/signers/sa4096.token.jwt"),
    example!("1.36/token.es384.jwt"),
    example!("1.36/token.rs256.aud-sts.jwt"),
    example!("1.36/token.rs256.jwt"),
    example!("1.36/token.rs256.pod-bound.jwt"),
    example!("1.36/token.rs256.two-aud.jwt"),
    example!("1.20/token.rs256.jwt"),
];

/// One set with every key, and the time.
static KEYS: LazyLock<(JwkSet, Timestamp)> = LazyLock::new(|| {
    let sets = SETS.map(|jwks| JwkSet::parse(jwks.as_bytes()).expect("an example"));
    let keys = sets
        .iter()
        .fold(JwkSet::default(), |all, set| all.merge(set));
    let issued = Token::parse(TOKENS[0])
        .ok()
        .and_then(|token| token.time_claim("iat"));
    (
        keys,
        Timestamp::from_second(issued.expect("iat")).expect("a time"),
    )
});

fuzz_target!(|text: &str| {
    let Ok(token) = Token::parse(text) else {
        return;
    };
    let (keys, now) = &*KEYS;
    let explanation = explain(&token, *now);
    let _ = format!("{explanation:?}");
    let Some(issuer) = token
        .text_claim("iss")
        .and_then(|i| IssuerUrl::parse(i, TrailingSlash::Allow).ok())
    else {
        return;
    };
    let audiences: Vec<String> = token.audiences().into_iter().map(str::to_owned).collect();
    for audience in audiences {
        let expected = Expectation {
            issuer: &issuer,
            audience: &audience,
            keys,
            now: *now,
        };
        if verify(&token, &expected).is_ok() {
            assert!(
                TOKENS.iter().any(|real| real.trim() == text.trim()),
                "a forged token verifies"
            );
        }
    }
});
