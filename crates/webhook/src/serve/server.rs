//! Listen, serve, drain.

use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use irsa_endpoint::tls::Served;
use irsa_endpoint::{Hosts, Limits, Side, listen_one};
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::clients::Clients;
use super::error::ServeError;
use super::routes::{Admin, Public, Webhook};
use super::{TlsPolicy, tls};

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// The address of the webhook, HTTPS.
    pub address: SocketAddr,
    /// The address of metrics, plain HTTP.
    pub metrics: Option<SocketAddr>,
    /// What TLS is spoken.
    pub policy: TlsPolicy,
    /// Reviews are answered only to clients with a certificate of one of the CAs in this file; read again as often as
    /// `limits` look at certificates.
    pub client_ca: Option<PathBuf>,
    /// Bounds for clients.
    pub limits: Limits,
    /// How long to go on answering after the order to stop, so that the Service forgets this replica first.
    pub shutdown_delay: Duration,
}

/// Bounds that suit API servers: each keeps a handful of connections, over which it asks much, and reads at once. Files of
/// certificates are looked at `every` so often.
pub fn limits(every: Duration) -> Limits {
    Limits {
        max_connections: 1_024,
        max_connections_per_peer: 256,
        header_timeout: Duration::from_secs(10),
        // API servers keep connections for 90 s and make new ones at will.
        idle_timeout: Duration::from_mins(2),
        handshake_timeout: Duration::from_secs(10),
        // The body, the service account, the answer: each has a bound of its own that is shorter.
        write_timeout: Duration::from_secs(20),
        max_header_bytes: 4 << 10,
        // As upstream drains.
        drain_timeout: Duration::from_secs(10),
        // Go opens another connection when these are taken.
        max_h2_streams: 64,
        certificate_poll: every,
    }
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    config: ListenConfig,
    https: TcpListener,
    metrics: Option<TcpListener>,
}

/// Every address of this host, IPv4 and IPv6.
pub fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

impl Server {
    /// Listens, inside a tokio runtime.
    pub fn bind(config: ListenConfig) -> Result<Self, ServeError> {
        let https = listen(config.address)?;
        let metrics = config.metrics.map(listen).transpose()?;
        Ok(Self {
            config,
            https,
            metrics,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.https.local_addr().ok()
    }

    /// Where its metrics are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// Serves until `stop` resolves, then answers what is in flight. Says whether all of it was answered in time.
    ///
    /// Boxed, so that all of it is compiled in this crate, for speed, and not in the one that awaits it, for size.
    pub fn run<'a>(
        self,
        webhook: Webhook,
        served: &'a Arc<Served>,
        stop: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<bool, ServeError>> {
        Box::pin(self.run_until(webhook, served, stop))
    }

    async fn run_until(
        self,
        webhook: Webhook,
        served: &Arc<Served>,
        stop: BoxFuture<'_, ()>,
    ) -> Result<bool, ServeError> {
        let Self {
            config,
            https,
            metrics,
        } = self;
        let clients = match config.client_ca {
            Some(path) => Some(Clients::read(path).await?),
            None => None,
        };
        let tls = tls::config(served, &config.policy, clients.clone())?;
        let limits = config.limits.fit_file_descriptors();
        let public = Side {
            listeners: vec![https],
            tls: Some(Arc::new(tls)),
            responder: Public {
                webhook: webhook.clone(),
                only_verified: clients.is_some(),
            },
            limits,
            observer: Arc::new(webhook.metrics.clone()),
            hosts: Hosts::Any,
        };
        let draining = async {
            stop.await;
            webhook.state.drain();
            sleep(config.shutdown_delay).await;
        };
        let admin = serve_admin(metrics, Admin(webhook.clone()), limits);
        // A probe during the drain learns why it is not ready: these pages are there until the end.
        let changed = clients.as_ref().map(|clients| clients.changed());
        let following = async {
            match clients {
                Some(clients) => clients.follow(limits.certificate_poll).await,
                None => pending().await,
            }
        };
        let served = tokio::select! {
            served = public.run_renewing(draining, changed.unwrap_or_default()) => served,
            () = following => Ok(false),
            ended = admin => ended.map(|()| false),
        };
        served.map_err(ServeError::Stopped)
    }
}

/// Serves for ever what prometheus and kubelet ask for.
async fn serve_admin(
    listener: Option<TcpListener>,
    responder: Admin,
    limits: Limits,
) -> Result<(), tokio::task::JoinError> {
    let Some(listener) = listener else {
        return pending().await;
    };
    let side = Side {
        listeners: vec![listener],
        tls: None,
        responder,
        limits: Limits {
            max_connections: ADMIN_CONNECTIONS,
            ..limits
        },
        observer: Arc::new(()),
        hosts: Hosts::LoopbackOnLoopback,
    };
    side.run(pending::<()>()).await.map(drop)
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let fault = |source: io::Error| ServeError::Bind { address, source };
    let bound = match listen_one(address, false) {
        // A host without IPv6 has no unspecified IPv6 address; everywhere is then every IPv4 address.
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            listen_one(v4, false)
        }
        bound => bound,
    };
    bound.map(|(listener, _)| listener).map_err(fault)
}

const ADMIN_CONNECTIONS: usize = 64;
