use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use irsa_core::issuer::IssuerUrl;
use irsa_core::jwks::JwkSet;
use irsa_core::token::verify::{Expectation, Refusal, Verified, verify};
use irsa_core::token::{MAX_CHARS, Token, TokenError};
use jiff::Timestamp;

use crate::files::{folder, issuer, read, text};

const AUDIENCE: &str = "sts.amazonaws.com";

/// The tokens of the real servers, each with the JWKS that it verifies with.
const TOKENS: [(&str, &str); 13] = [
    (
        "kube-apiserver-1.20/token.rs256.jwt",
        "kube-apiserver-1.20/jwks.rsa+ec.json",
    ),
    (
        "kube-apiserver-1.36/token.rs256.jwt",
        "kube-apiserver-1.20/jwks.rsa+ec.json",
    ),
    (
        "kube-apiserver-1.36/token.rs256.aud-sts.jwt",
        "kube-apiserver-1.36/jwks.two-rsa.json",
    ),
    (
        "kube-apiserver-1.36/token.rs256.pod-bound.jwt",
        "kube-apiserver-1.36/jwks.two-rsa.json",
    ),
    (
        "kube-apiserver-1.36/token.rs256.two-aud.jwt",
        "kube-apiserver-1.36/jwks.two-rsa.json",
    ),
    (
        "kube-apiserver-1.36/token.es384.jwt",
        "kube-apiserver-1.36/signers/ec384.jwks.json",
    ),
    (
        "kube-apiserver-1.36/signers/ec.token.jwt",
        "kube-apiserver-1.36/signers/ec.jwks.json",
    ),
    (
        "kube-apiserver-1.36/signers/ec256-pkcs8.token.jwt",
        "kube-apiserver-1.36/signers/ec256-pkcs8.jwks.json",
    ),
    (
        "kube-apiserver-1.36/signers/ec384.token.jwt",
        "kube-apiserver-1.36/signers/ec384.jwks.json",
    ),
    (
        "kube-apiserver-1.36/signers/ec521.token.jwt",
        "kube-apiserver-1.36/signers/ec521.jwks.json",
    ),
    (
        "kube-apiserver-1.36/signers/rsa3072-pkcs8.token.jwt",
        "kube-apiserver-1.36/signers/rsa3072-pkcs8.jwks.json",
    ),
    (
        "kube-apiserver-1.36/signers/sa.token.jwt",
        "kube-apiserver-1.36/signers/sa.jwks.json",
    ),
    (
        "kube-apiserver-1.36/signers/sa4096.token.jwt",
        "kube-apiserver-1.36/signers/sa4096.jwks.json",
    ),
];

#[test]
fn tokens_of_real_servers_verify_from_their_first_to_their_last_second() {
    for (token, keys) in TOKENS {
        let case = Case::read(token, keys);
        let claim = |name: &str| case.token.time_claim(name).unwrap();
        let verified = case.verify(&case.token).unwrap();
        assert_eq!(Some(verified.kid.as_str()), case.token.kid(), "{token}");
        assert_eq!(verified.expires, claim("exp"), "{token}");
        assert!(
            case.at(claim("exp") - 1).verify(&case.token).is_ok(),
            "{token}"
        );
        assert!(matches!(
            case.at(claim("exp")).verify(&case.token),
            Err(Refusal::Expired { .. })
        ));
        assert!(matches!(
            case.at(claim("nbf") - 61).verify(&case.token),
            Err(Refusal::NotYet { .. })
        ));
    }
}

#[test]
fn a_changed_byte_anywhere_does_not_verify() {
    for (token, keys) in TOKENS {
        let case = Case::read(token, keys);
        for at in 0..case.text.len() {
            for replacement in replacements(case.text.as_bytes()[at], at) {
                let mut bytes = case.text.clone().into_bytes();
                bytes[at] = replacement;
                case.must_refuse(&String::from_utf8(bytes).unwrap());
            }
        }
    }
}

#[test]
fn a_cut_extended_or_rearranged_token_does_not_verify() {
    for (token, keys) in TOKENS {
        let case = Case::read(token, keys);
        for at in 0..case.text.len() {
            case.must_refuse(&case.text[..at]);
            case.must_refuse(&case.text[at + 1..]);
            case.must_refuse(&format!("{}{}", &case.text[..at], &case.text[at + 1..]));
        }
        for tail in ["A", "=", "==", ".", ".e30", "\0", "\u{feff}"] {
            case.must_refuse(&format!("{}{tail}", case.text));
        }
        let parts: Vec<_> = case.text.split('.').collect();
        case.must_refuse(&format!("{}.{}.", parts[0], parts[1]));
        case.must_refuse(&format!("{}..{}", parts[0], parts[2]));
        case.must_refuse(&format!("{}.{}.{}", parts[1], parts[0], parts[2]));
    }
}

#[test]
fn the_header_cannot_choose_how_it_is_verified() {
    let case = Case::read(
        "kube-apiserver-1.36/token.rs256.jwt",
        "kube-apiserver-1.20/jwks.rsa+ec.json",
    );
    let kid = case.token.kid().unwrap();
    let claims = case.text.split('.').nth(1).unwrap();
    // With the public key as its secret an HMAC is anybody's to make; the wrong key type is tried both ways.
    for alg in [
        "none", "None", "NONE", "", "HS256", "HS384", "HS512", "PS256", "RS384", "RS512", "EdDSA",
        "ES256K",
    ] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#));
        let input = format!("{header}.{claims}");
        let secret = text(&folder("kube-apiserver-1.36/sa.pub"));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let mac = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, input.as_bytes()));
        for signature in ["", &mac, case.text.rsplit('.').next().unwrap()] {
            let token = Token::parse(&format!("{input}.{signature}")).unwrap();
            assert!(
                matches!(case.verify(&token), Err(Refusal::Algorithm(_))),
                "{alg}"
            );
        }
    }
    for alg in ["ES256", "ES384", "ES512"] {
        let token = case.with_header(&format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#));
        assert!(
            matches!(
                case.verify(&token.unwrap()),
                Err(Refusal::OtherAlgorithm { .. })
            ),
            "{alg}"
        );
    }
    let other = "BzX9IH6cNNd4pXlFzCy19DoodJvjxnkB-JsSuYHVBiw";
    for (header, what) in [
        (
            format!(r#"{{"alg":"RS256","kid":"{other}"}}"#),
            "the kid of the EC key",
        ),
        (
            r#"{"alg":"RS256","kid":"unknown"}"#.to_owned(),
            "an unknown kid",
        ),
        (r#"{"alg":"RS256"}"#.to_owned(), "no kid"),
        (r#"{"alg":"RS256","kid":""}"#.to_owned(), "an empty kid"),
        (
            r#"{"alg":"RS256","kid":["x"]}"#.to_owned(),
            "a kid of another type",
        ),
        (
            format!(r#"{{"alg":"RS256","kid":"{kid}","crit":["exp"]}}"#),
            "critical extensions",
        ),
        (
            format!(r#"{{"alg":"RS256","kid":"{kid}","jwk":{{"kty":"oct","k":"AA"}}}}"#),
            "its own key",
        ),
        (format!(r#"{{"kid":"{kid}"}}"#), "no alg"),
    ] {
        assert!(
            case.verify(&case.with_header(&header).unwrap()).is_err(),
            "{what}"
        );
    }
}

#[test]
fn a_member_that_stands_twice_is_refused_before_anything_is_believed() {
    let case = Case::read(
        "kube-apiserver-1.36/token.rs256.jwt",
        "kube-apiserver-1.20/jwks.rsa+ec.json",
    );
    let kid = case.token.kid().unwrap();
    let header = format!(r#"{{"alg":"RS256","kid":"{kid}","alg":"RS256"}}"#);
    assert!(matches!(
        case.with_header(&header),
        Err(TokenError::Json { .. })
    ));
    let parts: Vec<_> = case.text.split('.').collect();
    for claims in [
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"a":{"b":1,"b":1}}"#,
        r#"{"sub":"a","s\u0075b":"b"}"#,
    ] {
        let token = format!(
            "{}.{}.{}",
            parts[0],
            URL_SAFE_NO_PAD.encode(claims),
            parts[2]
        );
        assert!(
            matches!(Token::parse(&token), Err(TokenError::Json { .. })),
            "{claims}"
        );
    }
}

#[test]
fn an_oversized_token_is_refused_unread() {
    let long = format!("{}.e30.AA", "A".repeat(MAX_CHARS));
    assert!(matches!(Token::parse(&long), Err(TokenError::TooLong(_))));
    let deep = URL_SAFE_NO_PAD.encode(format!("{}{}", "[".repeat(7000), "]".repeat(7000)));
    assert!(Token::parse(&format!("e30.{deep}.AA")).is_err());
}

#[test]
fn another_issuer_or_audience_is_refused() {
    for (token, keys) in TOKENS {
        let case = Case::read(token, keys);
        let slash = Case {
            issuer: issuer(&format!("{}/", case.issuer)),
            ..Case::read(token, keys)
        };
        assert!(
            matches!(slash.verify(&case.token), Err(Refusal::Issuer { .. })),
            "{token}"
        );
        for audience in [
            "",
            "sts.amazonaws.co",
            "STS.amazonaws.com",
            "sts.amazonaws.com.cn",
        ] {
            let other = Case {
                audience: audience.to_owned(),
                ..Case::read(token, keys)
            };
            assert!(
                matches!(other.verify(&case.token), Err(Refusal::Audience { .. })),
                "{token}"
            );
        }
    }
}

/// A real token with all that it verifies against.
struct Case {
    text: String,
    token: Token,
    issuer: IssuerUrl,
    audience: String,
    keys: JwkSet,
    now: i64,
}

impl Case {
    fn read(token: &str, keys: &str) -> Self {
        let text = text(&folder(token)).trim().to_owned();
        let token = Token::parse(&text).unwrap();
        Self {
            issuer: issuer(token.text_claim("iss").unwrap()),
            audience: AUDIENCE.to_owned(),
            keys: JwkSet::parse(&read(&folder(keys))).unwrap(),
            now: token.time_claim("iat").unwrap(),
            text,
            token,
        }
    }

    fn at(&self, now: i64) -> Self {
        Self {
            text: self.text.clone(),
            token: Token::parse(&self.text).unwrap(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            keys: self.keys.clone(),
            now,
        }
    }

    fn verify(&self, token: &Token) -> Result<Verified, Refusal> {
        let now = Timestamp::from_second(self.now).unwrap();
        verify(
            token,
            &Expectation {
                issuer: &self.issuer,
                audience: &self.audience,
                keys: &self.keys,
                now,
            },
        )
    }

    fn must_refuse(&self, text: &str) {
        if let Ok(token) = Token::parse(text) {
            assert!(
                self.verify(&token).is_err(),
                "accepted in place of {}:\n{text}",
                self.text
            );
        }
    }

    fn with_header(&self, header: &str) -> Result<Token, TokenError> {
        let rest = self.text.split_once('.').unwrap().1;
        Token::parse(&format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header)))
    }
}

/// Other bytes that could pass for this one: neighbours in base64url, of which the first differs in a bit that
/// sloppy readers drop at the end of a part, and a character that they skip or translate.
fn replacements(byte: u8, at: usize) -> impl Iterator<Item = u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digit = ALPHABET.iter().position(|b| *b == byte).unwrap_or(0);
    let strange = b"+/=. \n"[at % 6];
    [
        ALPHABET[digit ^ 1],
        ALPHABET[digit ^ 1 << (at % 6)],
        strange,
    ]
    .into_iter()
    .filter(move |other| *other != byte)
}
