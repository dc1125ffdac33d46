//! What can keep the certificates from being as they should be.

use irsa_core::explain::Explain;

use super::record::RecordError;
use crate::live::status;
use crate::serve::ServeError;
use crate::unquoted;

/// Why something is not as it should be. Tried again at the next look.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The API server refuses or does not answer.
    #[error("{verb} {object} failed{}", said(source))]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On which object.
        object: String,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// The Secret is somebody else's, or damaged.
    #[error("Secret \"{0}\" does not hold the webhook's CA")]
    Record(String, #[source] RecordError),
    /// No configuration calls us.
    #[error("MutatingWebhookConfiguration \"{0}\" {1}")]
    Configuration(String, &'static str),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// A certificate that we made cannot be served.
    #[error("the certificate just made cannot be served, which is a bug of irsa")]
    Serve(#[from] ServeError),
}

fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!(": {} {}", status.code, status.reason),
        _ => ": the API server does not answer".to_owned(),
    }
}

impl Explain for CertificateError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Api { object, source, .. } if status(source) == Some(403) => {
                format!("grant it: irsa webhook manifest has the roles; it concerns {object}")
            }
            Self::Api { .. } => "it is tried again".into(),
            Self::Record(secret, _) => format!(
                "name another Secret with --tls-secret, or delete \"{secret}\" if nobody else uses it"
            ),
            Self::Configuration(..) => "irsa webhook manifest prints one".into(),
            Self::Make(_) | Self::Serve(_) => "report it with this message".into(),
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Api { .. })
    }
}

pub(super) fn api_error(verb: &'static str, name: &str, source: kube::Error) -> CertificateError {
    CertificateError::Api {
        verb,
        object: format!("MutatingWebhookConfiguration \"{name}\""),
        source: Box::new(unquoted::of_cluster(source)),
    }
}
