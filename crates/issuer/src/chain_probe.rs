//! The certificate chain that a server sends, whoever signed it, and whether AWS would trust it by itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use irsa_core::explain::Explain;
use irsa_core::thumbprint::{Chain, ChainError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::relying_party::{connect, server_name};

/// What a server showed.
#[derive(Debug)]
pub struct Probe {
    /// The chain, leaf first.
    pub chain: Chain,
    /// Whether the chain ends in one of the public roots of the Mozilla root programme: then AWS does not look at
    /// thumbprints.
    pub ends_in_public_root: bool,
    /// What else is wrong with it: expired, or for another host.
    pub problem: Option<String>,
}

/// Why no chain was seen.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Not a host.
    #[error("\"{0}\" is neither a host, HOST:PORT nor an https URL")]
    Target(String),
    /// No connection, or no TLS.
    #[error("no TLS handshake with {target}")]
    Handshake {
        /// Host and port.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// Too slow.
    #[error("{target} did not finish a TLS handshake within {} s", limit.as_secs())]
    Timeout {
        /// Host and port.
        target: String,
        /// How long we waited.
        limit: Duration,
    },
    /// A chain that gives no thumbprint.
    #[error("the certificate chain of {target} cannot be used")]
    Chain {
        /// Host and port.
        target: String,
        /// Why.
        source: ChainError,
    },
}

impl Explain for ProbeError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Target(_) => "write it like oidc.example.com, 10.0.0.1:8443, [::1]:8443 or https://oidc.example.com/prod".into(),
            Self::Handshake { .. } => "check host and port, and that the server speaks TLS 1.2 or 1.3".into(),
            Self::Timeout { .. } => "STS waits 5 s; check firewall and address".into(),
            Self::Chain { source, .. } => return source.help(),
        })
    }

    fn retryable(&self) -> bool {
        match self {
            // What rustls refuses it refuses again.
            Self::Handshake { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Timeout { .. } => true,
            Self::Target(_) | Self::Chain { .. } => false,
        }
    }
}

/// Reads `oidc.example.com`, `HOST:PORT`, `[::1]:8443`, a bare IPv6 address or an https URL.
pub fn parse_target(text: &str) -> Result<Url, ProbeError> {
    let fail = || ProbeError::Target(text.chars().take(300).collect());
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("https://[{text}]")
    } else {
        format!("https://{text}")
    };
    let url = Url::parse(&with_scheme).map_err(|_| fail())?;
    let plain = url.username().is_empty() && url.password().is_none();
    if url.scheme() == "https" && url.host().is_some() && plain {
        Ok(url)
    } else {
        Err(fail())
    }
}

/// Makes a TLS handshake and looks at the chain. Nothing is sent, and nothing that the server says is trusted.
pub async fn probe(target: &Url, limit: Duration) -> Result<Probe, ProbeError> {
    let fail = |source| ProbeError::Handshake {
        target: host_and_port(target),
        source,
    };
    let host = server_name(target).map_err(fail)?;
    let handshake = async {
        let config = any_chain()?;
        let stream = connect(target).await?;
        TlsConnector::from(Arc::new(config))
            .connect(host.clone(), stream)
            .await
    };
    let stream = match tokio::time::timeout(limit, handshake).await {
        Ok(stream) => stream.map_err(fail)?,
        Err(_) => {
            return Err(ProbeError::Timeout {
                target: host_and_port(target),
                limit,
            });
        }
    };
    sent(stream.get_ref().1, target, &host)
}

/// The chain that a server has sent over this very connection.
pub(crate) fn sent(
    session: &ClientConnection,
    target: &Url,
    host: &ServerName<'_>,
) -> Result<Probe, ProbeError> {
    let sent = session.peer_certificates().unwrap_or_default();
    let chain =
        Chain::from_der(sent.iter().map(AsRef::as_ref)).map_err(|source| ProbeError::Chain {
            target: host_and_port(target),
            source,
        })?;
    let (ends_in_public_root, problem) = judge(sent, &chain, host, &aws_lc_rs::default_provider());
    Ok(Probe {
        chain,
        ends_in_public_root,
        problem,
    })
}

/// How errors name the server of a URL.
pub(crate) fn host_and_port(target: &Url) -> String {
    let port = target.port_or_known_default().unwrap_or(443);
    format!("{}:{port}", target.host_str().unwrap_or_default())
}

/// A client that goes on whoever signed the server's certificate: for looking, never for trusting.
pub(crate) fn any_chain() -> io::Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyChain(provider)))
        .with_no_client_auth())
}

/// AWS keeps a library of public roots of its own; Mozilla's is the nearest that is published. The system's store
/// would be wrong here: it may hold the operator's private CA, which AWS does not know. Dates and names are asked
/// apart from the root: an expired certificate of a public CA needs renewal, not a thumbprint.
fn judge(
    sent: &[CertificateDer<'_>],
    chain: &Chain,
    host: &ServerName<'_>,
    provider: &CryptoProvider,
) -> (bool, Option<String>) {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let leaf = sent
        .split_first()
        .and_then(|(leaf, rest)| Some((ParsedCertificate::try_from(leaf).ok()?, rest)));
    let Some((leaf, intermediates)) = leaf else {
        return (
            false,
            Some("it is not an X.509 v3 certificate that TLS clients accept".to_owned()),
        );
    };
    let algorithms = provider.signature_verification_algorithms.all;
    let signed = |now| {
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, now, algorithms)
    };
    let now = UnixTime::now();
    // While the leaf was still good, if that is over.
    let end = chain
        .certificates()
        .first()
        .map_or(0, |leaf| leaf.not_after);
    let last = UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(end - 1).unwrap_or_default(),
    ));
    let public = signed(now).is_ok() || last < now && signed(last).is_ok();
    let dated = if last < now {
        Some("it has expired".to_owned())
    } else {
        None
    };
    let named = verify_server_name(&leaf, host)
        .err()
        .map(|error| error.to_string());
    (public, dated.or(named))
}

/// Accepts every chain, because an unknown CA is just the case in which a thumbprint is needed. The handshake's
/// signature is checked all the same: the server holds the leaf's key.
#[derive(Debug)]
struct AnyChain(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        tolerate(verify_tls12_signature(
            message,
            certificate,
            signed,
            algorithms,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        tolerate(verify_tls13_signature(
            message,
            certificate,
            signed,
            algorithms,
        ))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate of X.509 v1 or v2, as home-made CAs still sign, cannot be verified with, only looked at.
fn tolerate(
    verified: Result<HandshakeSignatureValid, rustls::Error>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    match verified {
        Err(rustls::Error::InvalidCertificate(_)) => Ok(HandshakeSignatureValid::assertion()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_in_every_form() {
        for (text, host, port) in [
            ("h.example", "h.example", 443),
            ("h.example:8443", "h.example", 8443),
            ("https://h.example:8443/a", "h.example", 8443),
            ("::1", "[::1]", 443),
            ("[::1]:8443", "[::1]", 8443),
        ] {
            let url = parse_target(text).unwrap();
            assert_eq!(
                (url.host_str(), url.port_or_known_default()),
                (Some(host), Some(port))
            );
        }
        for text in ["", "http://h", "h:x", "https://u@h", "a b"] {
            assert!(parse_target(text).is_err(), "{text}");
        }
    }
}
