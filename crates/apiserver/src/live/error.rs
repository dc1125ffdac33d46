//! Why a server did not answer, or was not asked.

use std::error::Error;
use std::fmt;

use irsa_core::api_answer::{Refusal, is_passing};
use irsa_core::explain::{Explain, on_one_line};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{server} does not answer {question}")]
pub struct LiveError {
    /// Which server.
    pub server: String,
    /// What was asked.
    pub question: &'static str,
    /// Why.
    #[source]
    pub source: Box<Cause>,
}

/// A question that a server did not answer, without the server's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// What was asked, and what came instead of an answer.
    pub why: String,
    /// Whether the same question may have an answer soon: the server is away, starting or busy.
    pub passing: bool,
}

impl Unanswered {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        if self.passing {
            "see to it that it runs and can be reached: what it signs and accepts was not seen"
        } else {
            "if the others let this kubeconfig ask, this one judges its credentials by other keys or roles: compare its flags \
             with theirs, and ask with a client certificate, such as that of /etc/kubernetes/admin.conf"
        }
    }
}

impl From<&LiveError> for Unanswered {
    fn from(error: &LiveError) -> Self {
        Self {
            why: format!("{}: {}", error.question, on_one_line(&*error.source)),
            passing: error.retryable(),
        }
    }
}

/// What the client met, in words for people.
#[derive(Debug)]
pub struct Cause(pub(super) kube::Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            kube::Error::Api(status) => {
                let refusal = Refusal {
                    code: status.code,
                    reason: &status.reason,
                    message: &status.message,
                };
                write!(f, "{refusal}")
            }
            other => other.fmt(f),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            // The answer says all.
            kube::Error::Api(_) => None,
            other => other.source(),
        }
    }
}

impl LiveError {
    /// Whether the server answered that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether the object exists already, or is not as it was when it was read.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    fn code(&self) -> Option<u16> {
        match &self.source.0 {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }
}

impl Explain for LiveError {
    fn help(&self) -> Option<String> {
        Some(match self.code() {
            Some(401 | 403) => {
                "use a kubeconfig that may do this, such as /etc/kubernetes/admin.conf on a control-plane node".into()
            }
            Some(404) => "check the name, and that the API server has this feature".into(),
            Some(_) => "see the log of that API server".into(),
            None => "check the address, that the server is up, and --tls-server-name when its certificate has other names".into(),
        })
    }

    fn retryable(&self) -> bool {
        is_passing(self.code())
    }
}

/// Why a server is not even asked.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Its address cannot be one.
    #[error("\"{url}\" cannot be asked: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The credentials or the CA cannot be used.
    #[error("the credentials for {url} cannot be used")]
    Credentials {
        /// For which server.
        url: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

impl Explain for AddressError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Url { .. } => "write it like https://10.0.0.11:6443".into(),
            Self::Credentials { .. } => {
                "correct the certificates and keys in the kubeconfig, or name another one with --kubeconfig".into()
            }
        })
    }
}
