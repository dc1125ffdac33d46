//! Service account tokens: read, verified and explained.
//!
//! A token is a compact JWS (RFC 7515) whose payload holds JWT claims (RFC 7519). Reading checks the form only;
//! [`verify`] checks it against a key set as a relying party does; [`explain`] says in words what it claims and who
//! would refuse it; [`signature`] tells whose it is. Signing is not here, because it needs randomness: [`claims`] makes
//! what is signed.

pub mod claims;
pub mod explain;
pub mod signature;
pub mod verify;
mod wording;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::explain::Explain;
use crate::strict_json;

/// AWS STS takes at most 20,000 characters (`AssumeRoleWithWebIdentity`, `WebIdentityToken`).
pub const MAX_CHARS: usize = 20_000;

/// A token whose form is right. Nothing about it is proved yet.
pub struct Token {
    text: String,
    /// The position of the second dot: what is signed stands before it.
    signed: usize,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

/// Why a text is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_CHARS`].
    #[error("the token has {0} characters, expected at most {MAX_CHARS}")]
    TooLong(usize),
    /// Not three parts.
    #[error("the token has {0} parts separated by dots, expected 3: header, claims, signature")]
    Parts(usize),
    /// A part that is not base64url (RFC 4648, section 5, without padding).
    #[error("the {0} of the token is not base64url without padding")]
    Base64(&'static str),
    /// Not JSON, or a member stands twice.
    #[error("the {part} of the token is not valid JSON")]
    Json {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// JSON, but not an object.
    #[error("the {0} of the token is not a JSON object")]
    NotAnObject(&'static str),
}

impl Explain for TokenError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::TooLong(_) => "STS refuses it too; ask for fewer audiences".into(),
            _ => "give the token alone, as it stands in the pod's token file".into(),
        })
    }
}

impl Token {
    /// Reads a token. White space around it is passed over, inside it is refused.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > MAX_CHARS {
            return Err(TokenError::TooLong(text.len()));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return Err(TokenError::Parts(if text.is_empty() {
                0
            } else {
                parts.len()
            }));
        };
        decode(signature, "signature")?;
        Ok(Self {
            header: object(header, "header")?,
            claims: object(claims, "claims")?,
            signed: header.len() + 1 + claims.len(),
            text: text.to_owned(),
        })
    }

    /// The header's members.
    pub fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    /// The claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The `alg` of the header.
    pub fn algorithm(&self) -> Option<&str> {
        self.header.get("alg").and_then(Value::as_str)
    }

    /// The `kid` of the header; an empty one names no key.
    pub fn kid(&self) -> Option<&str> {
        self.header
            .get("kid")
            .and_then(Value::as_str)
            .filter(|kid| !kid.is_empty())
    }

    /// A claim that is a text.
    pub fn text_claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// A claim that is an instant: seconds since 1970 (RFC 7519, section 2, `NumericDate`), fractions dropped.
    /// Numbers beyond the calendar are none.
    pub fn time_claim(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "bounded by the calendar below"
        )]
        let seconds = value
            .as_i64()
            .or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64))?;
        Timestamp::from_second(seconds)
            .ok()
            .map(Timestamp::as_second)
    }

    /// The audiences: `aud` is a text or a list of them (RFC 7519, section 4.1.3).
    pub fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The bytes that the signature is over.
    fn signing_input(&self) -> &[u8] {
        self.text.as_bytes().get(..self.signed).unwrap_or_default()
    }

    /// The signature as it stands in the token.
    fn signature(&self) -> &str {
        self.text.get(self.signed + 1..).unwrap_or_default()
    }
}

/// A token is a credential: nothing of it is printed but its key ID.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token(kid {:?})", self.kid().unwrap_or_default())
    }
}

fn object(part: &str, name: &'static str) -> Result<Map<String, Value>, TokenError> {
    match strict_json::parse(&decode(part, name)?) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(TokenError::NotAnObject(name)),
        Err(source) => Err(TokenError::Json { part: name, source }),
    }
}

fn decode(part: &str, name: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Base64(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, claims: &str) -> Result<Token, TokenError> {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        Token::parse(&format!("{}.{}.AA\n", encode(header), encode(claims)))
    }

    #[test]
    fn the_parts_are_read() {
        let token = token(
            r#"{"alg":"RS256","kid":"k"}"#,
            r#"{"aud":"a","exp":1.9,"sub":"s"}"#,
        )
        .unwrap();
        assert_eq!((token.algorithm(), token.kid()), (Some("RS256"), Some("k")));
        assert_eq!(
            (token.audiences(), token.time_claim("exp")),
            (vec!["a"], Some(1))
        );
        assert_eq!(format!("{token:?}"), r#"Token(kid "k")"#);
    }

    #[test]
    fn other_forms_are_refused() {
        assert!(matches!(Token::parse(""), Err(TokenError::Parts(0))));
        assert!(matches!(Token::parse("a.b"), Err(TokenError::Parts(2))));
        assert!(matches!(
            Token::parse("a.b.c.d.e"),
            Err(TokenError::Parts(5))
        ));
        assert!(matches!(
            Token::parse("e30=.e30.AA"),
            Err(TokenError::Base64("header"))
        ));
        assert!(matches!(
            Token::parse("e30.e3 0.AA"),
            Err(TokenError::Base64("claims"))
        ));
        // A character more than the bytes need: two texts for one signature.
        assert!(matches!(
            Token::parse("e30.e30.AB"),
            Err(TokenError::Base64("signature"))
        ));
        assert!(matches!(
            token("[]", "{}"),
            Err(TokenError::NotAnObject("header"))
        ));
        assert!(matches!(
            token("{}", r#"{"sub":"a","sub":"b"}"#),
            Err(TokenError::Json { .. })
        ));
        assert!(matches!(
            Token::parse(&"a".repeat(20_001)),
            Err(TokenError::TooLong(20_001))
        ));
    }
}
