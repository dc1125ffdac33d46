//! The TLS flags of upstream, in Go's words.
//!
//! rustls has the suites that are still safe. Go's names of the others are accepted and said, because operators pass
//! whole profile lists (`OpenShift` does); a name that Go does not know is refused, as upstream does.

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};

/// Which versions and suites are spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsPolicy {
    /// Only TLS 1.3.
    pub only_tls13: bool,
    /// The suites of TLS 1.2, all of rustls's when none are named.
    pub suites: Option<Vec<CipherSuite>>,
}

/// A value that upstream refuses too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsPolicyError {
    /// Not a suite of Go.
    #[error("cipher suite \"{0}\" does not exist in Go's crypto/tls")]
    Cipher(String),
    /// Not a version.
    #[error("TLS version \"{0}\" is not 1.0, 1.1, 1.2, 1.3 or VersionTLS10 to VersionTLS13")]
    Version(String),
}

/// Reads `--tls-min-version`: whether only TLS 1.3 is spoken, and whether an older version than can be spoken was
/// asked for.
pub fn parse_min_version(text: &str) -> Result<(bool, bool), TlsPolicyError> {
    match text {
        "1.0" | "1.1" | "VersionTLS10" | "VersionTLS11" => Ok((false, true)),
        "1.2" | "VersionTLS12" => Ok((false, false)),
        "1.3" | "VersionTLS13" => Ok((true, false)),
        other => Err(TlsPolicyError::Version(other.to_owned())),
    }
}

/// Reads `--tls-cipher-suites`: the suites that are spoken, and the names of those that are not.
pub fn parse_ciphers(
    text: &str,
) -> Result<(Option<Vec<CipherSuite>>, Vec<String>), TlsPolicyError> {
    let mut suites = Vec::new();
    let mut unsupported = Vec::new();
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let provider = provider();
    for name in names.clone() {
        let mut known = provider
            .cipher_suites
            .iter()
            .map(rustls::SupportedCipherSuite::suite);
        match known.find(|suite| go_name(*suite) == name) {
            Some(suite) => suites.push(suite),
            None if ONLY_IN_GO.contains(&name) => unsupported.push(name.to_owned()),
            None => return Err(TlsPolicyError::Cipher(name.to_owned())),
        }
    }
    let any = names.count() > 0;
    Ok((any.then_some(suites), unsupported))
}

impl TlsPolicy {
    /// What rustls needs. Go's list says nothing about TLS 1.3, whose suites are always on; when none of the list
    /// can be spoken over TLS 1.2, only TLS 1.3 is.
    pub(super) fn apply(
        &self,
    ) -> (
        CryptoProvider,
        Vec<&'static rustls::SupportedProtocolVersion>,
    ) {
        let mut provider = provider();
        if let Some(suites) = &self.suites {
            provider
                .cipher_suites
                .retain(|one| one.tls13().is_some() || suites.contains(&one.suite()));
        }
        let has_tls12 = provider
            .cipher_suites
            .iter()
            .any(|one| one.tls13().is_none());
        let versions = if self.only_tls13 || !has_tls12 {
            vec![&TLS13]
        } else {
            vec![&TLS13, &TLS12]
        };
        (provider, versions)
    }
}

pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn go_name(suite: CipherSuite) -> String {
    let name = suite.as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

/// Go's `CipherSuites()` and `InsecureCipherSuites()` without those of rustls.
const ONLY_IN_GO: [&str; 16] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// T1, with the decision that what rustls does not speak is accepted and said.
    #[test]
    fn t1_cipher_suites() {
        assert_eq!(parse_ciphers(""), Ok((None, vec![])));
        assert_eq!(parse_ciphers(" , "), Ok((None, vec![])));
        let one = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
        let text = " TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 ,,TLS_RSA_WITH_AES_128_CBC_SHA";
        let (suites, unsupported) = parse_ciphers(text).unwrap();
        assert_eq!(suites, Some(vec![one]));
        assert_eq!(unsupported, ["TLS_RSA_WITH_AES_128_CBC_SHA"]);
        assert!(parse_ciphers("TLS_AES_128_GCM_SHA256").is_ok());
        for bad in ["nope", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,nope"] {
            assert_eq!(
                parse_ciphers(bad),
                Err(TlsPolicyError::Cipher("nope".into()))
            );
        }
    }

    #[test]
    fn t2_versions() {
        for (text, expected) in [
            ("1.0", (false, true)),
            ("1.1", (false, true)),
            ("1.2", (false, false)),
            ("1.3", (true, false)),
            ("VersionTLS10", (false, true)),
            ("VersionTLS11", (false, true)),
            ("VersionTLS12", (false, false)),
            ("VersionTLS13", (true, false)),
        ] {
            assert_eq!(parse_min_version(text), Ok(expected), "{text}");
        }
        for bad in ["1.4", "TLS1.2", ""] {
            assert!(parse_min_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_suite_for_tls12_only_tls13_is_spoken() {
        let policy = TlsPolicy {
            only_tls13: false,
            suites: Some(vec![]),
        };
        let (provider, versions) = policy.apply();
        assert_eq!(versions.len(), 1);
        assert!(
            provider
                .cipher_suites
                .iter()
                .all(|one| one.tls13().is_some())
        );
        assert_eq!(TlsPolicy::default().apply().1.len(), 2);
    }
}
