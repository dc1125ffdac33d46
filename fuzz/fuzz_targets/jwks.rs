//! JWK Sets: what is read is written and read again unchanged, and the laws of sets hold.
#![no_main]

use irsa_core::jwks::{Difference, JwkSet};
use irsa_core::keys::PublicKey;
use libfuzzer_sys::fuzz_target;

const OTHER: &[u8] = include_bytes!("../../keys-example/several.jwks.json");

fuzz_target!(|text: &[u8]| {
    let Ok(set) = JwkSet::parse(text) else { return };
    let bytes = set.to_bytes();
    let again = JwkSet::parse(&bytes).expect("what we write is read");
    assert_eq!(again.keys(), set.keys());
    assert!(again.ignored().is_empty());
    assert_eq!(again.to_bytes(), bytes);
    for jwk in set.keys() {
        assert_eq!(
            PublicKey::from_spki(&jwk.key.to_spki()).as_ref(),
            Ok(&jwk.key)
        );
        assert!(set.contains(&jwk.kid));
        assert!(!set.remove(&jwk.kid).contains(&jwk.kid));
    }

    let other = JwkSet::parse(OTHER).expect("an example");
    let merged = set.merge(&other);
    assert_eq!(merged.merge(&other), merged);
    assert_eq!(merged.merge(&set), merged);
    assert!(
        set.keys()
            .iter()
            .chain(other.keys())
            .all(|jwk| merged.keys().contains(jwk))
    );
    assert_eq!(set.difference(&set), Difference::default());
    assert!(set.difference(&merged).removed.is_empty());
});
