//! Bind, accept, drain.
//!
//! Nothing a client does ends the server: a panic ends its own connection, an accept that fails for want of file
//! descriptors makes room and tries again. `run` returns when the shutdown it was given resolves and what was in
//! flight is answered, or when the drain's time is over.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::admin::Admin;
use super::connection::{self, Responder, Settings};
use super::registry::Registry;
use super::routes::{self, Answer};
use super::tls::{Certificates, TlsFiles, Watcher};
use super::{Limits, Metrics, ServeError, SiteHandle};

mod listen;

/// Where and how to serve.
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    /// The public addresses. `[::]` also takes IPv4, unless an IPv4 address with the same port is listed.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key of the public addresses; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// The address of `/livez`, `/readyz` and `/metrics`, plain HTTP; none without.
    pub admin_listen: Option<SocketAddr>,
    /// Bounds for clients.
    pub limits: Limits,
}

/// The issuer endpoint.
#[derive(Debug)]
pub struct Server;

/// A server that listens but does not accept yet: the kernel queues clients.
#[derive(Debug)]
pub struct Bound {
    public: Vec<(TcpListener, SocketAddr)>,
    admin: Option<(TcpListener, SocketAddr)>,
    certificates: Option<Arc<Certificates>>,
    tls: Option<Arc<rustls::ServerConfig>>,
    limits: Limits,
    site: SiteHandle,
    metrics: Metrics,
}

/// Re-reads the certificate files on request, as on SIGHUP. Clones share the server.
#[derive(Clone, Debug)]
pub struct CertificateReloader(Option<Arc<Certificates>>);

impl Server {
    /// Loads the certificate and listens on every address. Must run inside a tokio runtime.
    #[expect(
        clippy::unused_async,
        reason = "registers sockets with the runtime of the caller"
    )]
    pub async fn bind(
        config: ServerConfig,
        site: SiteHandle,
        metrics: Metrics,
    ) -> Result<Bound, ServeError> {
        let ServerConfig {
            listen,
            tls,
            admin_listen,
            limits,
        } = config;
        if listen.is_empty() {
            return Err(ServeError::NoAddress);
        }
        metrics.attach(&site);
        let certificates = tls
            .map(|files| Certificates::load(files, metrics.clone()))
            .transpose()?;
        let tls = certificates
            .as_ref()
            .map(Certificates::server_config)
            .transpose()?
            .map(Arc::new);
        let public = listen::all(&listen)?;
        let admin = admin_listen
            .map(|address| listen::one(address, false))
            .transpose()?;
        let limits = limits.fit_file_descriptors();
        let certificates = certificates.map(Arc::new);
        Ok(Bound {
            public,
            admin,
            certificates,
            tls,
            limits,
            site,
            metrics,
        })
    }
}

impl CertificateReloader {
    /// Takes the pair that the files hold now. On an error the last good pair stays; without TLS nothing happens.
    pub async fn reload(&self) -> Result<(), ServeError> {
        let Some(certificates) = self.0.clone() else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || certificates.reload())
            .await
            .map_err(|source| ServeError::Stopped { source })?
    }
}

impl Bound {
    /// The public addresses, with the ports that the kernel chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.public.iter().map(|(_, address)| *address).collect()
    }

    /// The admin address, if there is one.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// A way to re-read the certificate while the server runs.
    pub fn certificate_reloader(&self) -> CertificateReloader {
        CertificateReloader(self.certificates.clone())
    }

    /// Serves until `shutdown` resolves, then drains: new connections are refused, requests under way are
    /// answered, silent connections end within a second, and after `drain_timeout` everything does.
    pub async fn run(self, shutdown: impl Future) -> Result<(), ServeError> {
        let registry = Registry::new(self.limits, self.metrics.clone());
        let settings = Arc::new(Settings {
            responder: Public {
                site: self.site.clone(),
                metrics: self.metrics.clone(),
            },
            tls: self.tls.map(TlsAcceptor::from),
            limits: self.limits,
            metrics: self.metrics.clone(),
        });
        let (stop, stopping) = watch::channel(());
        let mut accepting = JoinSet::new();
        for (listener, _) in self.public {
            let (registry, settings) = (Arc::clone(&registry), Arc::clone(&settings));
            accepting.spawn(accept(listener, registry, settings, stopping.clone()));
        }
        let mut beside = JoinSet::new();
        beside.spawn(sweep(Arc::clone(&registry)));
        if let Some(certificates) = self.certificates {
            beside.spawn(watch_files(certificates, self.limits.certificate_poll));
        }
        if let Some((listener, _)) = self.admin {
            let admin = Admin {
                site: self.site,
                metrics: self.metrics.clone(),
            };
            serve_admin(&mut beside, listener, admin, self.limits);
        }
        // these tasks never return: one that does has panicked
        let stopped = tokio::select! {
            _ = shutdown => None,
            Some(ended) = accepting.join_next() => ended.err(),
            Some(ended) = beside.join_next() => ended.err(),
        };
        self.metrics.drain();
        stop.send_replace(());
        while accepting.join_next().await.is_some() {}
        drain(&registry, self.limits.drain_timeout).await;
        beside.shutdown().await;
        stopped.map_or(Ok(()), |source| Err(ServeError::Stopped { source }))
    }
}

/// Answers on the public listeners.
#[derive(Clone)]
struct Public {
    site: SiteHandle,
    metrics: Metrics,
}

impl Responder for Public {
    type Answer = Ready<Result<Answer, Infallible>>;

    fn respond(&self, request: &Request<Incoming>, last: bool) -> Self::Answer {
        let site = self.site.read();
        ready(Ok(routes::answer(&site, &self.metrics, request, last)))
    }
}

/// The admin listener has connections of its own: a flood on the public one does not push a probe out.
/// It answers until the very end, so that a probe during the drain learns why it is not ready.
fn serve_admin(tasks: &mut JoinSet<()>, listener: TcpListener, admin: Admin, limits: Limits) {
    let limits = Limits {
        max_connections: ADMIN_CONNECTIONS,
        ..limits
    };
    // uncounted: the connection metrics are about clients
    let metrics = Metrics::new();
    let registry = Registry::new(limits, metrics.clone());
    let settings = Arc::new(Settings {
        responder: admin,
        tls: None,
        limits,
        metrics,
    });
    tasks.spawn(sweep(Arc::clone(&registry)));
    tasks.spawn(async move {
        // the sender lives as long as the task: this listener stops when the task does
        let (_never, stop) = watch::channel(());
        accept(listener, registry, settings, stop).await;
    });
}

/// Accepts until told to stop, and then those that the kernel has already greeted: they may have asked.
async fn accept<R: Responder>(
    listener: TcpListener,
    registry: Arc<Registry>,
    settings: Arc<Settings<R>>,
    mut stop: watch::Receiver<()>,
) {
    let mut warned: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => admit(stream, &registry, &settings).await,
            Err(error) if listen::is_about_one_connection(&error) => {}
            Err(error) => {
                settings.metrics.accept_failed();
                if warned.is_none_or(|last| last.elapsed() >= WARN_PAUSE) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept, ending the longest silent connections");
                }
                registry.evict();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    for stream in queued(listener) {
        admit(stream, &registry, &settings).await;
    }
}

/// The connections that wait in the kernel's queue, without waiting for more.
fn queued(listener: TcpListener) -> Vec<TcpStream> {
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    let next = || {
        let (stream, _) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        TcpStream::from_std(stream).ok()
    };
    std::iter::from_fn(next).collect()
}

async fn admit<R: Responder>(
    stream: TcpStream,
    registry: &Arc<Registry>,
    settings: &Arc<Settings<R>>,
) {
    let (slot, evicted) = registry.admit();
    tokio::spawn(connection::serve(stream, slot, Arc::clone(settings)));
    if evicted {
        // the evicted must run to close their sockets before more are accepted
        tokio::task::yield_now().await;
    }
}

async fn sweep(registry: Arc<Registry>) {
    let mut ticks = interval(registry.tick());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        registry.sweep();
    }
}

async fn watch_files(certificates: Arc<Certificates>, every: Duration) {
    let mut watcher = Watcher::new(certificates.loaded().clone());
    let mut looks = interval(every.max(MIN_LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if !watcher.settled_change(certificates.look()) {
            continue;
        }
        let again = CertificateReloader(Some(Arc::clone(&certificates)));
        let cert = certificates.files().cert.display().to_string();
        match again.reload().await {
            Ok(()) => tracing::info!(cert, "serving the new TLS certificate"),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "keeping the TLS certificate that was served before");
            }
        }
    }
}

async fn drain(registry: &Registry, patience: Duration) {
    registry.drain();
    if timeout(patience, registry.empty()).await.is_ok() {
        return;
    }
    registry.close_all();
    // closing needs the tasks to run once more, not the clients to agree
    if timeout(LAST_WORDS, registry.empty()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain");
    }
}

const ADMIN_CONNECTIONS: usize = 64;
/// Evicted connections close within microseconds; longer would only lengthen the queue of honest clients.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const WARN_PAUSE: Duration = Duration::from_secs(10);
const MIN_LOOK: Duration = Duration::from_millis(10);
const LAST_WORDS: Duration = Duration::from_millis(500);
