//! The claims of a service account token, as kube-apiserver makes them.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::algorithm::Algorithm;
use crate::explain::Explain;
use crate::issuer::IssuerUrl;
use crate::kid::Kid;

/// A ServiceAccount: namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccount {
    namespace: String,
    name: String,
}

/// Why a text names no ServiceAccount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service account \"{text}\" {fault}")]
pub struct ServiceAccountError {
    text: String,
    fault: &'static str,
}

impl Explain for ServiceAccountError {
    fn help(&self) -> Option<String> {
        Some("write it as NAMESPACE/NAME, like payments/api".into())
    }
}

impl ServiceAccount {
    /// The prefix of the `sub` claim (`serviceaccount.MakeUsername`).
    pub const SUBJECT_PREFIX: &'static str = "system:serviceaccount:";

    /// Reads `NAMESPACE/NAME`, with the name rules of Kubernetes: a DNS label (RFC 1123) and a DNS subdomain.
    pub fn parse(text: &str) -> Result<Self, ServiceAccountError> {
        let fail = |fault| ServiceAccountError {
            text: text.chars().take(300).collect(),
            fault,
        };
        let (namespace, name) = text.split_once('/').ok_or_else(|| fail("has no slash"))?;
        if namespace.len() > 63 || !is_dns_label(namespace) {
            return Err(fail("has a namespace that Kubernetes would not accept"));
        }
        if name.len() > 253 || !name.split('.').all(is_dns_label) {
            return Err(fail("has a name that Kubernetes would not accept"));
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `sub` claim.
    pub fn subject(&self) -> String {
        format!("{}{}:{}", Self::SUBJECT_PREFIX, self.namespace, self.name)
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Everything that a token says.
#[derive(Debug, Clone)]
pub struct TokenRequest<'a> {
    /// The `iss` claim.
    pub issuer: &'a IssuerUrl,
    /// The `aud` claim.
    pub audience: &'a str,
    /// Whose token it is.
    pub service_account: &'a ServiceAccount,
    /// The UID of the ServiceAccount.
    pub uid: &'a str,
    /// The `jti` claim, unique for each token.
    pub token_id: &'a str,
    /// The `iat` and `nbf` claims.
    pub issued_at: Timestamp,
    /// Seconds until it expires.
    pub lifetime: i64,
}

/// The claims in the order in which kube-apiserver writes them: that of their names.
#[derive(Serialize)]
struct Claims<'a> {
    aud: [&'a str; 1],
    exp: i64,
    iat: i64,
    iss: &'a str,
    jti: &'a str,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes<'a>,
    nbf: i64,
    sub: String,
}

#[derive(Serialize)]
struct Kubernetes<'a> {
    namespace: &'a str,
    serviceaccount: Reference<'a>,
}

#[derive(Serialize)]
struct Reference<'a> {
    name: &'a str,
    uid: &'a str,
}

impl TokenRequest<'_> {
    /// The payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let issued_at = self.issued_at.as_second();
        let claims = Claims {
            aud: [self.audience],
            exp: issued_at.saturating_add(self.lifetime),
            iat: issued_at,
            iss: self.issuer.as_str(),
            jti: self.token_id,
            kubernetes: Kubernetes {
                namespace: &self.service_account.namespace,
                serviceaccount: Reference {
                    name: &self.service_account.name,
                    uid: self.uid,
                },
            },
            nbf: issued_at,
            sub: self.service_account.subject(),
        };
        // Strings and numbers in structs always serialise.
        serde_json::to_vec(&claims).unwrap_or_default()
    }
}

/// The header: exactly `alg` and `kid`, no `typ`, as kube-apiserver's own signer writes it.
pub fn header_bytes(algorithm: Algorithm, kid: &Kid) -> Vec<u8> {
    format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuer::TrailingSlash;

    #[test]
    fn claims_are_laid_out_as_by_kube_apiserver() {
        let request = TokenRequest {
            issuer: &IssuerUrl::parse("https://localhost:17010/demo", TrailingSlash::Refuse)
                .unwrap(),
            audience: "sts.amazonaws.com",
            service_account: &ServiceAccount::parse("demo/app").unwrap(),
            uid: "bee44619-9dbd-45b8-887d-d05f49d59ed8",
            token_id: "9c50dfbf-f207-42d4-9fd7-381b320dc932",
            issued_at: Timestamp::from_second(1_795_311_622).unwrap(),
            lifetime: 3600,
        };
        // A token of kube-apiserver 1.36, less the pod that it was bound to.
        assert_eq!(
            String::from_utf8(request.to_bytes()).unwrap(),
            r#"{"aud":["sts.amazonaws.com"],"exp":1795315222,"iat":1795311622,"iss":"https://localhost:17010/demo","jti":"9c50dfbf-f207-42d4-9fd7-381b320dc932","kubernetes.io":{"namespace":"demo","serviceaccount":{"name":"app","uid":"bee44619-9dbd-45b8-887d-d05f49d59ed8"}},"nbf":1795311622,"sub":"system:serviceaccount:demo:app"}"#
        );
    }

    #[test]
    fn names_follow_the_rules_of_kubernetes() {
        assert_eq!(
            ServiceAccount::parse("a/b.c-1").unwrap().subject(),
            "system:serviceaccount:a:b.c-1"
        );
        for bad in [
            "", "a", "/b", "a/", "a/b/c", "A/b", "a.b/c", "a/-b", "a:b/c", "a/b:c",
        ] {
            assert!(ServiceAccount::parse(bad).is_err(), "{bad}");
        }
    }
}
