use super::*;
use crate::private::PrivateKeyPem;
use proptest::prelude::*;

/// From `openidmetadata_test.go` in Kubernetes, shortened to its EC key.
const KUBERNETES: &str = r#"{"keys":[{"use":"sig","kty":"EC","kid":"SoABiieYuNx4UdqYvZRVeuC6SihxgLrhLy9peHMHpTc","crv":"P-256","alg":"ES256","x":"H6cuzP8XuD5wal6wf9M6xDljTOPLX2i8uIp_C_ASqiI","y":"BlHnikLV9PyEd6gl8k4T_3Wwoh6xd79XLoQTh2PAi1Y"}]}"#;

fn key(curve: Curve, scalar: u8) -> PublicKey {
    PrivateKeyPem::from_scalar(curve, &[scalar])
        .unwrap()
        .public_key()
        .clone()
}

fn any_key() -> impl Strategy<Value = PublicKey> {
    let ec = (0..3_usize, 1..=40_u8).prop_map(|(curve, scalar)| key(Curve::ALL[curve], scalar));
    // Any odd number of the right size will do for the encoding; leading zero bytes do not survive in a modulus.
    let rsa = (
        256..513_usize,
        any::<[u8; 8]>(),
        prop::sample::select(vec![3_u8, 17, 255]),
    )
        .prop_map(|(bytes, noise, exponent)| {
            let mut n: Vec<u8> = noise.iter().copied().cycle().take(bytes).collect();
            n[0] |= 1;
            n[bytes - 1] |= 1;
            PublicKey::from_rsa_numbers(&n, &[exponent]).unwrap()
        });
    prop_oneof![ec, rsa]
}

fn any_set() -> impl Strategy<Value = JwkSet> {
    prop::collection::vec(any_key(), 0..6).prop_map(|keys| JwkSet::from_keys(&keys))
}

fn kids(set: &JwkSet) -> std::collections::BTreeSet<&str> {
    set.keys().iter().map(|jwk| jwk.kid.as_str()).collect()
}

proptest! {
    #[test]
    fn any_key_survives_the_way_through_a_jwks(key in any_key()) {
        let bytes = JwkSet::from_keys([&key]).to_bytes();
        let read = JwkSet::parse(&bytes).unwrap();
        prop_assert_eq!(&read.keys()[0].key, &key);
        let kid = key.kid();
        prop_assert_eq!(&read.keys()[0].kid, kid.as_str());
        prop_assert_eq!(read.to_bytes(), bytes);
        prop_assert_eq!(PublicKey::from_spki(&key.to_spki()).unwrap(), key);
    }

    #[test]
    fn merging_never_drops_a_key_and_repeating_it_changes_nothing(a in any_set(), b in any_set()) {
        let merged = a.merge(&b);
        let both: std::collections::BTreeSet<_> = kids(&a).union(&kids(&b)).copied().collect();
        prop_assert_eq!(kids(&merged), both);
        prop_assert_eq!(&merged.merge(&b), &merged);
        prop_assert_eq!(&a.merge(&a), &a);
        let reversed = b.merge(&a);
        prop_assert_eq!(kids(&reversed), kids(&merged));
        prop_assert!(a.difference(&merged).removed.is_empty());
    }

    #[test]
    fn removing_takes_one_kid_and_nothing_else(a in any_set(), b in any_key()) {
        let with = a.merge(&JwkSet::from_keys([&b]));
        let without = with.remove(b.kid().as_str());
        prop_assert!(!without.contains(b.kid().as_str()));
        prop_assert_eq!(without.keys().len() + 1, with.keys().len());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(JwkSet::parse(&bytes));
    }
}

#[test]
fn the_bytes_are_those_of_kubernetes() {
    let set = JwkSet::parse(KUBERNETES.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(set.to_bytes()).unwrap(), KUBERNETES);
    assert_eq!(set.keys()[0].kid, set.keys()[0].key.kid().as_str());
}

#[test]
fn apiserver_keeps_repetitions_and_we_do_not() {
    let keys = [
        key(Curve::P256, 1),
        key(Curve::P521, 2),
        key(Curve::P256, 1),
    ];
    assert_eq!(JwkSet::from_keys(&keys).keys().len(), 2);
    assert_eq!(JwkSet::from_keys_as_apiserver(&keys).keys().len(), 3);
    assert_eq!(
        JwkSet::from_keys(&keys).algorithms(),
        [Algorithm::Es256, Algorithm::Es512]
    );
}

#[test]
fn private_members_are_an_alarm() {
    let with_d = KUBERNETES.replace(r#""use":"sig""#, r#""use":"sig","d":"AQ""#);
    let error = JwkSet::parse(with_d.as_bytes()).unwrap_err();
    assert!(matches!(
        error,
        JwksError::PrivateKey {
            position: 0,
            member: "d"
        }
    ));
    let symmetric = r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#;
    assert!(matches!(
        JwkSet::parse(symmetric.as_bytes()),
        Err(JwksError::PrivateKey { .. })
    ));
}

#[test]
fn keys_of_no_use_are_passed_over_with_a_reason() {
    let reason = |from: &str, to: &str| {
        let set = JwkSet::parse(KUBERNETES.replace(from, to).as_bytes()).unwrap();
        assert!(set.keys().is_empty());
        set.ignored()[0].reason.clone()
    };
    assert!(reason(r#""use":"sig""#, r#""use":"enc""#).contains("enc"));
    assert!(reason("ES256", "ES384").contains("ES384"));
    assert!(reason("P-256", "secp256k1").contains("secp256k1"));
    assert!(reason(r#""kty":"EC""#, r#""kty":"OKP""#).contains("OKP"));
    assert!(reason("H6cuzP8X", "H6cuzP8Y").contains("curve"));
    assert!(reason(r#""x":"H6"#, r#""x":"="#).contains("base64url"));
    assert!(reason(r#""x":"H6cu"#, r#""x":""#).contains("curve"));
}

#[test]
fn repeated_members_and_other_shapes_are_refused() {
    for text in [
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        "",
        "{\"keys\":[}",
    ] {
        assert!(JwkSet::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(matches!(
        JwkSet::parse(&vec![b' '; MAX_DOCUMENT_BYTES + 1]),
        Err(JwksError::TooLarge(_))
    ));
}

#[test]
fn a_kid_that_names_another_key_is_a_change() {
    let a = JwkSet {
        keys: vec![Jwk {
            kid: "k".into(),
            key: key(Curve::P256, 1),
        }],
        ignored: vec![],
    };
    let b = JwkSet {
        keys: vec![Jwk {
            kid: "k".into(),
            key: key(Curve::P256, 2),
        }],
        ignored: vec![],
    };
    assert_eq!(a.difference(&b).changed, ["k"]);
}
