//! What can keep the webhook from serving.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use irsa_core::explain::Explain;

/// Why the webhook cannot start, or cannot take a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A certificate or key file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Certificate and key are not a pair, or one is missing.
    #[error("{place} does not hold a certificate and its private key")]
    Pair {
        /// Where they stand.
        place: String,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The CA of clients cannot be used.
    #[error("{} does not hold the certificates of a CA in PEM", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// A task of the server ended by a panic.
    #[error("a task of the server stopped, which is a bug of irsa")]
    Stopped(#[source] tokio::task::JoinError),
}

impl Explain for ServeError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Bind { address, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                format!(
                    "listen on a port above 1023 (--port=8443) instead of {}, and point the Service there",
                    address.port()
                )
            }
            Self::Bind { address, .. } => {
                format!(
                    "ss -ltnp 'sport = :{}' shows who listens there",
                    address.port()
                )
            }
            Self::Read { path, .. } => format!(
                "ls -l {}; without files of your own start with --in-cluster=true, and the webhook makes its certificate",
                path.display()
            ),
            Self::Pair { .. } => {
                "give a chain in PEM, leaf first, and the private key that belongs to it".to_owned()
            }
            Self::ClientCa { path, .. } => format!(
                "openssl x509 -in {} -noout -subject shows what it holds; it is the CA of the certificate that the \
                 API servers show",
                path.display()
            ),
            Self::Tls(_) | Self::Stopped(_) => {
                "report it with the command line and this message".to_owned()
            }
        })
    }

    fn retryable(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}
