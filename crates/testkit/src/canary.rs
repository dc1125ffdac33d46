//! The canary: a private key whose secret number is known, so that a leak of it is found in any spelling.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use irsa_core::algorithm::Curve;
use irsa_core::private::PrivateKeyPem;

/// The secret: no other number in a test looks like it.
const SCALAR: [u8; 32] = *b"canary-canary-canary-canary-0123";

/// What is looked for in hexadecimal.
const FIRST_HALF: [u8; 16] = *b"canary-canary-ca";

/// The key.
///
/// # Panics
///
/// Never: the number is a valid scalar of P-256.
pub fn private_key() -> PrivateKeyPem {
    #[expect(clippy::expect_used, reason = "a constant")]
    PrivateKeyPem::from_scalar(Curve::P256, &SCALAR).expect("a scalar below the order of P-256")
}

/// The spelling in which the secret stands in a text, if it does.
pub fn found_in(text: &str) -> Option<&'static str> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let lower = compact.to_lowercase();
    let hex = format!("{:x}", u128::from_be_bytes(FIRST_HALF));
    let decimal: Vec<String> = SCALAR.iter().take(8).map(ToString::to_string).collect();
    let spellings = [
        ("as it is", compact.contains("canary-canary")),
        (
            "in hexadecimal",
            lower
                .replace([':', '-'], "")
                .contains(hex.get(..16).unwrap_or(&hex)),
        ),
        ("as a list of numbers", lower.contains(&decimal.join(","))),
        ("in base64", in_base64(&compact)),
    ];
    spellings
        .into_iter()
        .find_map(|(name, found)| found.then_some(name))
}

/// Three bytes become four characters, so the spelling depends on what stands before: three cases, less the
/// characters that the neighbours touch.
fn in_base64(text: &str) -> bool {
    (0..3).any(|shift| {
        let padding = vec![0; shift];
        let shifted = [&padding, SCALAR.as_slice()].concat();
        [STANDARD.encode(&shifted), URL_SAFE.encode(&shifted)]
            .iter()
            .any(|encoded| {
                encoded
                    .get(4..24)
                    .is_some_and(|middle| text.contains(middle))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_found_in_every_spelling() {
        let hex = SCALAR.map(|byte| format!("{byte:02X}")).join(":");
        for (text, spelling) in [
            (String::from_utf8_lossy(&SCALAR).into_owned(), "as it is"),
            (hex, "in hexadecimal"),
            (format!("{SCALAR:?}"), "as a list of numbers"),
            (private_key().expose_pem().to_owned(), "in base64"),
            (STANDARD.encode([b"x", &SCALAR[..]].concat()), "in base64"),
            (STANDARD.encode([b"xy", &SCALAR[..]].concat()), "in base64"),
        ] {
            assert_eq!(found_in(&text), Some(spelling), "{text}");
        }
        assert_eq!(found_in(&private_key().public_key().to_pem()), None);
    }
}
