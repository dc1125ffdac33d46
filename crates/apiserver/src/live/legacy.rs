//! Tokens that kube-controller-manager wrote into Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use irsa_core::token::Token;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{ApiServer, LiveError};

/// A token in a Secret, by what can be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyToken {
    /// Namespace and name of the Secret.
    pub secret: String,
    /// When the Secret was made (RFC 3339).
    pub created: String,
    /// The key that signed the token.
    pub kid: String,
}

impl ApiServer {
    /// The key of each token that kube-controller-manager wrote into a Secret (`kubernetes.io/service-account-token`), by
    /// the Secret's namespace and name. The tokens themselves are forgotten at once.
    pub async fn legacy_tokens(&self) -> Result<Vec<LegacyToken>, LiveError> {
        let question = "for Secrets with tokens";
        let mut found = Vec::new();
        let mut rest = String::new();
        loop {
            let path = format!("{TOKEN_SECRETS}{rest}");
            let page = self.read(&path, question).await?;
            let items = page
                .get("items")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            found.extend(items.filter_map(legacy_token));
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => rest = format!("&continue={}", query(next)),
                _ => return Ok(found),
            }
        }
    }
}

/// Secrets of the legacy type, in pages.
const TOKEN_SECRETS: &str =
    "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io%2Fservice-account-token&limit=500";

fn query(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn legacy_token(secret: &Value) -> Option<LegacyToken> {
    let text = |pointer| secret.pointer(pointer).and_then(Value::as_str);
    let encoded = Zeroizing::new(text("/data/token")?.to_owned());
    let token = Zeroizing::new(BASE64.decode(encoded.as_bytes()).ok()?);
    let token = Token::parse(std::str::from_utf8(&token).ok()?).ok()?;
    Some(LegacyToken {
        secret: format!(
            "{}/{}",
            text("/metadata/namespace")?,
            text("/metadata/name")?
        ),
        created: text("/metadata/creationTimestamp")
            .unwrap_or_default()
            .to_owned(),
        kid: token.kid().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_key_of_a_token_in_a_secret() {
        let part = |value: Value| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
        };
        let token = format!(
            "{}.{}.AAAA",
            part(json!({"alg": "RS256", "kid": "k"})),
            part(json!({}))
        );
        let secret = json!({"metadata": {"namespace": "ci", "name": "robot"}, "data": {"token": BASE64.encode(&token)}});
        assert_eq!(legacy_token(&secret).unwrap().secret, "ci/robot");
        assert_eq!(legacy_token(&secret).unwrap().kid, "k");
        assert_eq!(
            legacy_token(&json!({"metadata": {"namespace": "a", "name": "b"}})),
            None
        );
        assert_eq!(query("a+b="), "a%2Bb%3D");
    }
}
