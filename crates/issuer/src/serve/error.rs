//! What can stop the endpoint from starting, or a new site or certificate from being taken.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use irsa_core::explain::Explain;

/// Why the endpoint cannot start or cannot take what it was given.
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
    /// The configuration names no address.
    #[error("no address to listen on")]
    NoAddress,
    /// Two issuers, or one issuer twice, claim the same URL path.
    #[error("path {path:?} of issuer {second:?} is already served for issuer {first:?}")]
    DuplicatePath {
        /// The path in question.
        path: String,
        /// The issuer that was listed first.
        first: String,
        /// The issuer that was listed later.
        second: String,
    },
    /// A path that no request can have.
    #[error(
        "path {path:?} of issuer {issuer:?} cannot be requested, expected \"/...\" without query"
    )]
    BadPath {
        /// The path in question.
        path: String,
        /// The issuer that it belongs to.
        issuer: String,
    },
    /// A header made from a document cannot be sent. The headers are made of digits and hex: a bug.
    #[error("the headers of document {path:?} cannot be rendered, which is a bug of irsa")]
    Header {
        /// The document's path.
        path: String,
        /// What the header type refused.
        source: http::header::InvalidHeaderValue,
    },
    /// A certificate or key file cannot be read.
    #[error("cannot read {}", path.display())]
    ReadTls {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A certificate or key file holds something, but not what is needed.
    #[error("{} does not hold {expected} in PEM", path.display())]
    ParseTls {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: &'static str,
        /// What the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The private key is not the certificate's, or of a kind that TLS cannot use.
    #[error("private key {} does not fit certificate {}", key.display(), cert.display())]
    TlsPair {
        /// The certificate file.
        cert: PathBuf,
        /// The private key file.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// TLS cannot be set up for a reason that no file explains.
    #[error("TLS cannot be set up")]
    TlsSetup {
        /// What rustls said.
        source: rustls::Error,
    },
    /// A task of the server ended by a panic.
    #[error("a task of the server stopped, which is a bug of irsa")]
    Stopped {
        /// The panic, as the runtime reports it.
        source: tokio::task::JoinError,
    },
}

impl Explain for ServeError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Bind { address, source } => return bind_help(*address, source),
            Self::NoAddress => "give at least one --listen ADDR".to_owned(),
            Self::DuplicatePath { .. } => {
                "give every issuer a path of its own: each cluster's keys are served separately"
                    .to_owned()
            }
            Self::BadPath { .. } => "correct the issuer URL or the JWKS path".to_owned(),
            Self::ReadTls { path, .. } => format!("ls -l {}", path.display()),
            Self::ParseTls { path, .. } => {
                format!(
                    "head -1 {} and see that it begins with -----BEGIN",
                    path.display()
                )
            }
            Self::TlsPair { cert, key, .. } => format!(
                "compare `openssl x509 -in {} -noout -pubkey` with `openssl pkey -in {} -pubout`",
                cert.display(),
                key.display()
            ),
            Self::Header { .. } | Self::TlsSetup { .. } | Self::Stopped { .. } => {
                "report it with the command line, the configuration and this message".to_owned()
            }
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Bind { source, .. } => source.kind() == io::ErrorKind::AddrInUse,
            _ => false,
        }
    }
}

fn bind_help(address: SocketAddr, source: &io::Error) -> Option<String> {
    match source.kind() {
        io::ErrorKind::AddrInUse => Some(format!(
            "ss -ltnp 'sport = :{}' shows who listens there",
            address.port()
        )),
        io::ErrorKind::PermissionDenied => Some(
            "listen on a port above 1023, or grant the capability CAP_NET_BIND_SERVICE".to_owned(),
        ),
        io::ErrorKind::AddrNotAvailable => Some(format!(
            "ip address shows whether this host has {}",
            address.ip()
        )),
        _ => None,
    }
}
