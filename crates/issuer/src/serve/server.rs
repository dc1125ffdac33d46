//! Bind, accept, drain.
//!
//! Nothing a client does ends the server. `run` returns when the shutdown it was given resolves and what was in
//! flight is answered, or when the drain's time is over.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Request;
use hyper::body::Incoming;
use irsa_endpoint::tls::PairFiles;
use irsa_endpoint::{Asker, Hosts, Responder, Side, listen_all, listen_one};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::admin::Admin;
use super::routes::{self, Answer};
use super::tls::{Certificates, Watcher};
use super::{Limits, Metrics, ServeError, SiteHandle};

/// Where and how to serve.
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    /// The public addresses. `[::]` also takes IPv4, unless an IPv4 address with the same port is listed.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key of the public addresses; plain HTTP without.
    pub tls: Option<PairFiles>,
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
            .map(|files| Certificates::load(files, metrics.clone(), site.clone()))
            .transpose()?;
        let tls = certificates
            .as_ref()
            .map(Certificates::server_config)
            .transpose()?
            .map(Arc::new);
        let bind = |(address, source)| ServeError::Bind { address, source };
        let public = listen_all(&listen).map_err(bind)?;
        let admin = admin_listen
            .map(|address| listen_one(address, false).map_err(|error| bind((address, error))))
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
    /// Takes the pair that the files hold now, and says whether it is another one. On an error the last good pair stays;
    /// without TLS nothing happens.
    pub async fn reload(&self) -> Result<bool, ServeError> {
        let Some(certificates) = self.0.clone() else {
            return Ok(false);
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
    ///
    /// Boxed, so that all of it is compiled in this crate, for speed, and not in the one that awaits it, for size.
    pub fn run(
        self,
        shutdown: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<(), ServeError>> {
        Box::pin(self.run_until(shutdown))
    }

    async fn run_until(self, shutdown: BoxFuture<'static, ()>) -> Result<(), ServeError> {
        let public = Side {
            listeners: self.public.into_iter().map(|(socket, _)| socket).collect(),
            tls: self.tls,
            responder: Public {
                site: self.site.clone(),
                metrics: self.metrics.clone(),
            },
            limits: self.limits,
            observer: Arc::new(self.metrics.clone()),
            hosts: Hosts::Any,
        };
        let mut beside = JoinSet::new();
        if let Some(certificates) = self.certificates {
            beside.spawn(watch_files(certificates, self.limits.certificate_poll));
        }
        if let Some((listener, _)) = self.admin {
            let admin = Admin {
                site: self.site,
                metrics: self.metrics.clone(),
            };
            beside.spawn(serve_admin(listener, admin, self.limits));
        }
        let mut panicked = None;
        let stop = async {
            tokio::select! {
                () = shutdown => {}
                // these tasks never return: one that does has panicked
                Some(ended) = beside.join_next() => panicked = ended.err(),
            }
            self.metrics.drain();
        };
        let served = public.run(stop).await;
        beside.shutdown().await;
        let stopped = panicked.or(served.err());
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

    fn respond(&self, request: Request<Incoming>, asker: Asker) -> Self::Answer {
        let site = self.site.read();
        let answer = routes::answer(&site, &self.metrics, &request, asker.last);
        ready(Ok(answer))
    }
}

/// The admin listener has connections of its own: a flood on the public one does not push a probe out.
/// It answers until the very end, so that a probe during the drain learns why it is not ready.
async fn serve_admin(listener: TcpListener, admin: Admin, limits: Limits) {
    let side = Side {
        listeners: vec![listener],
        tls: None,
        responder: admin,
        limits: Limits {
            max_connections: ADMIN_CONNECTIONS,
            ..limits
        },
        // uncounted: the connection metrics are about clients
        observer: Arc::new(()),
        hosts: Hosts::LoopbackOnLoopback,
    };
    if let Err(error) = side.run(pending::<()>()).await
        && let Ok(panic) = error.try_into_panic()
    {
        // the same panic here, so that whoever watches this task learns of it
        std::panic::resume_unwind(panic);
    }
}

async fn watch_files(certificates: Arc<Certificates>, every: Duration) {
    let mut watcher = Watcher::new(certificates.loaded().clone());
    // The same is said once, however often it is tried.
    let mut told = None;
    let mut looks = interval(every.max(MIN_LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let looked = Arc::clone(&certificates);
        // A file system that has gone away keeps whoever looks at it.
        let look = tokio::task::spawn_blocking(move || looked.look()).await;
        if !look.is_ok_and(|look| watcher.settled_change(look)) {
            continue;
        }
        let again = CertificateReloader(Some(Arc::clone(&certificates)));
        let cert = certificates.files().cert.display().to_string();
        match again.reload().await {
            Ok(is_new) => {
                told = None;
                if is_new {
                    tracing::info!(cert, "serving the new TLS certificate");
                }
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let now = Some((error.to_string(), cause.clone()));
                if told != now {
                    tracing::warn!(%error, cause, "keeping the TLS certificate that was served before");
                    told = now;
                }
                if matches!(error, ServeError::ReadTls { .. }) {
                    watcher.try_again();
                }
            }
        }
    }
}

const ADMIN_CONNECTIONS: usize = 64;
const MIN_LOOK: Duration = Duration::from_millis(10);
