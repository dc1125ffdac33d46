//! The issuer as a relying party sees it: fetched through its public URL, without credentials or redirects, as AWS
//! STS does.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use irsa_core::discovery::{self, DiscoveryError};
use irsa_core::explain::Explain;
use irsa_core::issuer::IssuerUrl;
use irsa_core::jwks::{JwkSet, JwksError, MAX_DOCUMENT_BYTES};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::answer::Answer;

/// More than the bundle of every public CA.
const MAX_CA_FILE: u64 = 4 << 20;
/// How long AWS STS waits for an issuer's documents.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A client that fetches an issuer's documents.
#[derive(Debug, Clone)]
pub struct RelyingParty {
    tls: Option<QuietConnector>,
    ca_file: Option<PathBuf>,
    timeout: Duration,
}

/// `TlsConnector` has no Debug.
#[derive(Clone)]
struct QuietConnector(TlsConnector);

/// What an issuer publishes.
#[derive(Debug)]
pub struct PublishedKeys {
    /// Where the keys were found.
    pub jwks_uri: String,
    /// The keys.
    pub keys: JwkSet,
    /// What the answer with the keys says of itself.
    pub answer: Answer,
}

/// Why an issuer's documents cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A CA file that cannot be used.
    #[error("CA file \"{}\" cannot be used", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No connection, or no TLS.
    #[error("{url} cannot be fetched")]
    Connect {
        /// What was fetched.
        url: String,
        /// Why.
        source: io::Error,
    },
    /// HTTP broke off.
    #[error("{url} cannot be fetched")]
    Http {
        /// What was fetched.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Too slow.
    #[error("{url} gave no answer within {} s", limit.as_secs())]
    Timeout {
        /// What was fetched.
        url: String,
        /// How long we waited.
        limit: Duration,
    },
    /// Not 200.
    #[error("{url} answered {status}, expected 200 OK{}", moved(location.as_deref()))]
    Status {
        /// What was fetched.
        url: String,
        /// The answer.
        status: StatusCode,
        /// Where a redirect points to.
        location: Option<String>,
    },
    /// Larger than [`MAX_DOCUMENT_BYTES`].
    #[error("{url} is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge {
        /// What was fetched.
        url: String,
    },
    /// A discovery document that is not the issuer's.
    #[error("{url} is not the discovery document of the issuer")]
    Discovery {
        /// What was fetched.
        url: String,
        /// Why not.
        source: DiscoveryError,
    },
    /// Not a JWKS.
    #[error("{url} is not a JWKS")]
    Jwks {
        /// What was fetched.
        url: String,
        /// Why not.
        source: JwksError,
    },
}

impl Explain for FetchError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::CaFile { .. } => "give a PEM file with the CA certificate".into(),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                "the server's certificate was not accepted: add --ca-file FILE if its CA is private"
                    .into()
            }
            Self::Connect { .. } | Self::Http { .. } => {
                "check that the server is up and reachable from here".into()
            }
            Self::Timeout { .. } => "STS waits 5 s; a slow issuer makes it refuse tokens".into(),
            Self::Status {
                location: Some(_), ..
            } => "serve the document at this very URL: relying parties need not follow redirects"
                .into(),
            Self::Status { .. } => "publish the document there: irsa publish, or irsa serve".into(),
            Self::TooLarge { .. } => {
                "a JWKS holds some kilobytes: find out what is served there".into()
            }
            Self::Discovery { source, .. } => return source.help(),
            Self::Jwks { source, .. } => return source.help(),
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Http { .. } => true,
            Self::Connect { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

impl RelyingParty {
    /// A client that trusts the system's CAs and those in `ca_file`, and waits `timeout` for each document.
    pub fn new(ca_file: Option<&Path>, timeout: Duration) -> Self {
        Self {
            tls: None,
            ca_file: ca_file.map(Path::to_owned),
            timeout,
        }
    }

    /// The keys of an issuer: its discovery document, then the JWKS that it names.
    pub async fn keys(&mut self, issuer: &IssuerUrl) -> Result<PublishedKeys, FetchError> {
        let url = issuer.discovery_url();
        let bytes = self.get(&url).await?;
        let discovery = discovery::parse(&bytes, issuer)
            .map_err(|source| FetchError::Discovery { url, source })?;
        let url = discovery.jwks_uri.as_str().to_owned();
        let (bytes, answer) = self.ask(&url).await?;
        match JwkSet::parse(&bytes) {
            Ok(keys) => Ok(PublishedKeys {
                jwks_uri: url,
                keys,
                answer,
            }),
            Err(source) => Err(FetchError::Jwks { url, source }),
        }
    }

    /// The bytes at a URL.
    pub async fn get(&mut self, url: &str) -> Result<Bytes, FetchError> {
        self.ask(url).await.map(|(bytes, _)| bytes)
    }

    /// The bytes at a URL, and what the answer says of itself.
    pub async fn ask(&mut self, url: &str) -> Result<(Bytes, Answer), FetchError> {
        let parsed = Url::parse(url).map_err(|error| FetchError::Http {
            url: url.to_owned(),
            source: Box::new(error),
        })?;
        if parsed.scheme() == "https" && self.tls.is_none() {
            self.tls = Some(QuietConnector(connector(self.ca_file.as_deref())?));
        }
        let limit = self.timeout;
        tokio::time::timeout(limit, self.fetch(&parsed, url))
            .await
            .unwrap_or_else(|_| {
                Err(FetchError::Timeout {
                    url: url.to_owned(),
                    limit,
                })
            })
    }

    async fn fetch(&self, parsed: &Url, url: &str) -> Result<(Bytes, Answer), FetchError> {
        let fail = |source| FetchError::Connect {
            url: url.to_owned(),
            source,
        };
        let stream = connect(parsed).await.map_err(fail)?;
        if parsed.scheme() == "http" && !stream.peer_addr().map_err(fail)?.ip().is_loopback() {
            let reason = "plain http is for loopback, and this host is elsewhere";
            return Err(fail(io::Error::other(reason)));
        }
        let response = match &self.tls {
            Some(tls) if parsed.scheme() == "https" => {
                let name = server_name(parsed).map_err(fail)?;
                let stream = tls.0.connect(name, stream).await.map_err(fail)?;
                exchange(stream, parsed, url).await?
            }
            _ => exchange(stream, parsed, url).await?,
        };
        if response.status() != StatusCode::OK {
            let location = response.headers().get(http::header::LOCATION);
            return Err(FetchError::Status {
                url: url.to_owned(),
                status: response.status(),
                location: location
                    .and_then(|value| value.to_str().ok())
                    .map(|to| to.chars().take(MAX_LOCATION).collect()),
            });
        }
        let answer = Answer::of(response.headers());
        match Limited::new(response.into_body(), MAX_DOCUMENT_BYTES)
            .collect()
            .await
        {
            Ok(body) => Ok((body.to_bytes(), answer)),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge {
                url: url.to_owned(),
            }),
            Err(source) => Err(FetchError::Http {
                url: url.to_owned(),
                source,
            }),
        }
    }
}

impl std::fmt::Debug for QuietConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

/// Connects to the host of a URL, trying each of its addresses.
pub(crate) async fn connect(url: &Url) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or(443);
    match url.host() {
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
        Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await,
        Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await,
        None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

/// The name that a server's certificate must bear, and that SNI carries.
pub(crate) fn server_name(url: &Url) -> io::Result<ServerName<'static>> {
    let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "not a host name");
    match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(invalid),
        Some(Host::Ipv4(ip)) => Ok(ServerName::from(std::net::IpAddr::V4(ip))),
        Some(Host::Ipv6(ip)) => Ok(ServerName::from(std::net::IpAddr::V6(ip))),
        None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

pub(crate) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    parsed: &Url,
    url: &str,
) -> Result<Response<Incoming>, FetchError> {
    let fail = |source: Box<dyn std::error::Error + Send + Sync>| FetchError::Http {
        url: url.to_owned(),
        source,
    };
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 << 10)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| fail(error.into()))?;
    tokio::spawn(connection);
    let path = parsed.query().map_or_else(
        || parsed.path().to_owned(),
        |query| format!("{}?{query}", parsed.path()),
    );
    let authority = parsed.authority();
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("irsa/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| fail(error.into()))?;
    sender
        .send_request(request)
        .await
        .map_err(|error| fail(error.into()))
}

/// The certificates of a CA file in PEM: one or more, and nothing that is not one.
pub fn read_ca_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let fail = |source: io::Error| FetchError::CaFile {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(MAX_CA_FILE)
        .read_to_end(&mut text)
        .map_err(fail)?;
    add_certificates(&mut RootCertStore::empty(), &text).map_err(fail)?;
    Ok(text)
}

fn add_certificates(roots: &mut RootCertStore, text: &[u8]) -> io::Result<()> {
    let invalid = |error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
    };
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| invalid(&error))?;
        roots.add(certificate).map_err(|error| invalid(&error))?;
        found = true;
    }
    if found {
        Ok(())
    } else {
        Err(invalid(&"no certificate inside"))
    }
}

fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, FetchError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let text = read_ca_file(path)?;
        add_certificates(&mut roots, &text).map_err(|source| FetchError::CaFile {
            path: path.to_owned(),
            source,
        })?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(|error| FetchError::CaFile {
        path: PathBuf::new(),
        source: io::Error::other(error),
    })?
    .with_root_certificates(roots)
    .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Characters of a redirect that are told.
const MAX_LOCATION: usize = 300;

fn moved(location: Option<&str>) -> String {
    location.map_or_else(String::new, |to| format!(" (redirect to {to})"))
}
