//! The discovery document (OpenID Connect Discovery 1.0), byte for byte as kube-apiserver writes it.

use serde::Serialize;

use crate::algorithm::Algorithm;
use crate::explain::Explain;
use crate::issuer::{IssuerUrl, IssuerUrlError, JwksUri};
use crate::jwks::MAX_DOCUMENT_BYTES;
use crate::strict_json;

/// Members in kube-apiserver's order, and no others (`openIDMetadata` in `pkg/serviceaccount/openidmetadata.go`).
#[derive(Serialize)]
struct Document<'a> {
    issuer: &'a str,
    jwks_uri: &'a str,
    response_types_supported: [&'static str; 1],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
}

/// The document for an issuer whose keys have these algorithms (sorted, each once).
pub fn to_bytes(issuer: &IssuerUrl, jwks_uri: &JwksUri, algorithms: &[Algorithm]) -> Vec<u8> {
    let document = Document {
        issuer: issuer.as_str(),
        jwks_uri: jwks_uri.as_str(),
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: algorithms.iter().map(|a| a.name()).collect(),
    };
    // Strings in structs always serialise. Go writes & as \u0026; the other characters that it escapes (<, >,
    // U+2028, U+2029) cannot stand in a URL that was parsed.
    serde_json::to_string(&document)
        .unwrap_or_default()
        .replace('&', "\\u0026")
        .into_bytes()
}

/// A discovery document that names the issuer it was fetched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Where the keys are.
    pub jwks_uri: JwksUri,
    /// The algorithms that it announces, if it does.
    pub algorithms: Vec<String>,
}

/// Why a discovery document is not the issuer's.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// Larger than [`MAX_DOCUMENT_BYTES`].
    #[error("the discovery document has {0} bytes, expected at most {MAX_DOCUMENT_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or a member stands twice.
    #[error("the discovery document is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// A member is missing or not a string.
    #[error("the discovery document has no text \"{0}\"")]
    Missing(&'static str),
    /// OpenID Connect Discovery 1.0, section 4.3: exact match.
    #[error("the discovery document names the issuer \"{found}\", expected \"{expected}\"")]
    OtherIssuer {
        /// As it stands in the document.
        found: String,
        /// As it was asked for.
        expected: String,
    },
    /// Keys over plain HTTP for an issuer over TLS: whoever sits in between would choose the keys.
    #[error(
        "the discovery document of an https issuer has the jwks_uri \"{0}\", which is not https"
    )]
    Downgrade(JwksUri),
    /// A `jwks_uri` that no relying party would fetch.
    #[error("the discovery document has a bad jwks_uri")]
    JwksUri(#[source] IssuerUrlError),
}

impl Explain for DiscoveryError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::OtherIssuer { found, expected }
                if found.trim_end_matches('/') == expected.trim_end_matches('/') =>
            {
                "they differ only in the final slash; relying parties compare byte for byte, so use one form in \
                 the document, in --service-account-issuer and in IAM"
                    .into()
            }
            Self::OtherIssuer { .. } => {
                "publish the document again for this issuer, or ask for the issuer that it names".into()
            }
            _ => "irsa discovery --issuer URL FILE... prints a right one".into(),
        })
    }
}

/// Reads a document as a relying party does, for the issuer that it was fetched for.
pub fn parse(bytes: &[u8], issuer: &IssuerUrl) -> Result<Discovery, DiscoveryError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(DiscoveryError::TooLarge(bytes.len()));
    }
    let document = strict_json::parse(bytes).map_err(DiscoveryError::Json)?;
    let text = |name| {
        let value = document.get(name).and_then(serde_json::Value::as_str);
        value.ok_or(DiscoveryError::Missing(name))
    };
    let found = text("issuer")?;
    if found != issuer.as_str() {
        return Err(DiscoveryError::OtherIssuer {
            found: found.chars().take(300).collect(),
            expected: issuer.to_string(),
        });
    }
    let jwks_uri = JwksUri::parse(text("jwks_uri")?).map_err(DiscoveryError::JwksUri)?;
    if issuer.is_https() && !jwks_uri.is_https() {
        return Err(DiscoveryError::Downgrade(jwks_uri));
    }
    let algorithms = document
        .get("id_token_signing_alg_values_supported")
        .and_then(serde_json::Value::as_array)
        .map(|names| {
            names
                .iter()
                .filter_map(|n| n.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default();
    Ok(Discovery {
        jwks_uri,
        algorithms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::TrailingSlash;

    fn issuer(text: &str) -> IssuerUrl {
        IssuerUrl::parse(text, TrailingSlash::Allow).unwrap()
    }

    #[test]
    fn the_bytes_are_those_of_kubernetes() {
        let uri = JwksUri::parse("https://issuer.example.com/openid/v1/jwks").unwrap();
        let bytes = to_bytes(
            &issuer("https://issuer.example.com"),
            &uri,
            &[Algorithm::Es256, Algorithm::Rs256],
        );
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"issuer":"https://issuer.example.com","jwks_uri":"https://issuer.example.com/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256","RS256"]}"#
        );
    }

    #[test]
    fn an_ampersand_is_escaped_as_go_does_and_read_back() {
        let issuer = issuer("https://h/a&b");
        let bytes = to_bytes(&issuer, &issuer.default_jwks_uri(), &[]);
        assert!(String::from_utf8_lossy(&bytes).contains(r"https://h/a\u0026b/keys.json"));
        assert_eq!(
            parse(&bytes, &issuer).unwrap().jwks_uri,
            issuer.default_jwks_uri()
        );
    }

    #[test]
    fn another_issuer_is_refused_with_both_strings() {
        let bytes = to_bytes(
            &issuer("https://h/a/"),
            &issuer("https://h/a").default_jwks_uri(),
            &[],
        );
        let error = parse(&bytes, &issuer("https://h/a")).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"the discovery document names the issuer "https://h/a/", expected "https://h/a""#
        );
        assert!(error.help().unwrap().contains("final slash"));
    }

    #[test]
    fn broken_documents_are_refused() {
        let of = issuer("https://h");
        for text in [
            "",
            "[]",
            "{}",
            r#"{"issuer":"https://h"}"#,
            r#"{"issuer":"https://h","issuer":"https://h","jwks_uri":"https://h/k"}"#,
            r#"{"issuer":"https://h","jwks_uri":"http://h/k"}"#,
            r#"{"issuer":"https://h","jwks_uri":5}"#,
            r#"{"issuer":"https://h","jwks_uri":"http://127.0.0.1/k"}"#,
        ] {
            assert!(parse(text.as_bytes(), &of).is_err(), "{text}");
        }
    }
}
