//! A server to ask, and clients that say exactly what a test wants said.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use irsa_core::documents::DocumentName;
use irsa_issuer::serve::{
    Bound, CertificateReloader, Document, Limits, Metrics, PairFiles, ServeError, ServedIssuer,
    ServedKey, Server, ServerConfig, Site, SiteHandle,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const ISSUER: &str = "https://oidc.example.com/prod";
pub(crate) const JWKS: &str = "/prod/keys.json";
pub(crate) const DISCOVERY: &str = "/prod/.well-known/openid-configuration";
pub(crate) const DOWN: &str = "/down/keys.json";
pub(crate) const GET: &str = "GET /prod/keys.json HTTP/1.1\r\nhost: a\r\n\r\n";
/// A request that announces an empty body.
pub(crate) const GET_WITH_LENGTH: &str =
    "GET /prod/keys.json HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";

/// A server under test, stopped when dropped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) site: SiteHandle,
    pub(crate) metrics: Metrics,
    pub(crate) reloader: CertificateReloader,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub(crate) async fn start(limits: Limits, tls: Option<&Path>) -> Self {
        let config = ServerConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: tls.map(files),
            admin_listen: Some("127.0.0.1:0".parse().unwrap()),
            limits,
        };
        let site = SiteHandle::new(Site::new(vec![up("{\"keys\":[]}"), down()]).unwrap());
        let metrics = Metrics::new();
        let bound = Server::bind(config, site.clone(), metrics.clone())
            .await
            .unwrap();
        Self::run(bound, site, metrics)
    }

    pub(crate) fn run(bound: Bound, site: SiteHandle, metrics: Metrics) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        Self {
            addr: bound.local_addrs()[0],
            admin: bound.admin_addr().unwrap(),
            site,
            metrics,
            reloader: bound.certificate_reloader(),
            stop: Some(stop),
            task: tokio::spawn(bound.run(Box::pin(async { drop(stopped.await) }))),
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        let io = TcpStream::connect(self.addr).await.unwrap();
        io.set_nodelay(true).unwrap();
        io
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Reply {
        ask(&mut self.connect().await, request).await
    }

    /// The value of a metric line that starts so.
    pub(crate) fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.render();
        let found = text.lines().find_map(|one| one.strip_prefix(line));
        found
            .unwrap_or_else(|| panic!("no {line} in\n{text}"))
            .trim()
            .parse()
            .unwrap()
    }

    /// Waits until a metric has this value.
    pub(crate) async fn await_metric(&self, line: &str, value: f64) {
        let until = Instant::now() + PATIENCE;
        while (self.metric(line) - value).abs() > 0.1 {
            assert!(
                Instant::now() < until,
                "{line} is not {value} in\n{}",
                self.metrics.render()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// An issuer with both documents, of which the JWKS is given.
pub(crate) fn up(jwks: &str) -> ServedIssuer {
    let document = |kind, path: &str, body: &str| {
        Document::new(
            kind,
            path.into(),
            body.as_bytes().to_vec(),
            Duration::from_mins(5),
        )
        .unwrap()
    };
    ServedIssuer {
        issuer: ISSUER.into(),
        documents: Ok(vec![
            document(DocumentName::Discovery, DISCOVERY, "{\"issuer\":\"x\"}"),
            document(DocumentName::Jwks, JWKS, jwks),
        ]),
        paths: vec![DISCOVERY.into(), JWKS.into()],
        keys: vec![ServedKey {
            kid: "Vx3k".into(),
            since: SystemTime::now() - Duration::from_hours(1),
        }],
    }
}

/// An issuer whose keys could not be used.
pub(crate) fn down() -> ServedIssuer {
    ServedIssuer {
        issuer: "https://oidc.example.com/down".into(),
        documents: Err("keys/down.pub holds no usable key".into()),
        paths: vec![DOWN.into()],
        keys: Vec::new(),
    }
}

/// Limits that let a test see every timeout.
pub(crate) fn short() -> Limits {
    let limit = Duration::from_millis(400);
    Limits {
        header_timeout: limit,
        idle_timeout: limit,
        handshake_timeout: limit,
        write_timeout: limit,
        ..Limits::default()
    }
}

/// What a server answered on HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Status line and headers as sent, with the date replaced.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(crate) async fn ask<T: AsyncRead + AsyncWrite + Unpin>(io: &mut T, request: &str) -> Reply {
    io.write_all(request.as_bytes()).await.unwrap();
    reply(io, request.starts_with("HEAD")).await
}

/// Reads one response, and nothing that follows it.
pub(crate) async fn reply<T: AsyncRead + Unpin>(io: &mut T, head_only: bool) -> Reply {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, io.read_u8()).await.unwrap();
        head.push(
            byte.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&head))
            }),
        );
    }
    let head: Vec<_> = String::from_utf8(head)
        .unwrap()
        .lines()
        .map(|line| {
            if line.starts_with("date: ") {
                "date: -"
            } else {
                line
            }
            .to_owned()
        })
        .collect();
    let head = head.join("\n");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut reply = Reply {
        status,
        head,
        body: String::new(),
    };
    let length: usize = reply
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; if head_only { 0 } else { length }];
    timeout(PATIENCE, io.read_exact(&mut body))
        .await
        .unwrap()
        .unwrap();
    reply.body = String::from_utf8(body).unwrap();
    reply
}

/// Waits until the server closes, and says how long that took.
pub(crate) async fn closed<T: AsyncRead + Unpin>(io: &mut T) -> Duration {
    let began = Instant::now();
    let mut sink = vec![0; 4_096];
    // a reset is a close too
    while timeout(PATIENCE, io.read(&mut sink))
        .await
        .unwrap()
        .is_ok_and(|n| n > 0)
    {}
    began.elapsed()
}

/// Writes a self-signed pair for "localhost" into the directory.
pub(crate) fn certify(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
}

pub(crate) fn files(directory: &Path) -> PairFiles {
    PairFiles {
        cert: directory.join("tls.crt"),
        key: directory.join("tls.key"),
    }
}

/// A directory with a certificate.
pub(crate) fn certified() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    certify(directory.path());
    directory
}

/// Connects by TLS, trusting what the directory's certificate says.
pub(crate) async fn tls(
    addr: SocketAddr,
    directory: &Path,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(directory.join("tls.crt")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, TcpStream::connect(addr).await?)
        .await
}

/// TLS 1.3 and 1.2, as most clients offer.
pub(crate) const ANY_TLS: &[&rustls::SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
