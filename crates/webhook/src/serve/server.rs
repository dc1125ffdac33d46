//! Listen, accept, drain.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Page};
use super::error::ServeError;
use super::routes::Webhook;
use super::{Served, TlsPolicy, tls};

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// The address of the webhook, HTTPS.
    pub address: SocketAddr,
    /// The address of metrics, plain HTTP.
    pub metrics: Option<SocketAddr>,
    /// What TLS is spoken.
    pub policy: TlsPolicy,
    /// How long to go on answering after the order to stop, so that the Service forgets this replica first.
    pub shutdown_delay: Duration,
    /// How long to wait for requests in flight after that.
    pub drain: Duration,
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
    /// Listens.
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
    pub async fn run(
        self,
        webhook: Webhook,
        served: &Arc<Served>,
        stop: impl Future<Output = ()>,
    ) -> Result<bool, ServeError> {
        let Self {
            config,
            https,
            metrics,
        } = self;
        let acceptor = TlsAcceptor::from(Arc::new(tls::config(served, &config.policy)?));
        let (finish, finishing) = watch::channel(false);
        let public = Listener {
            listener: https,
            tls: Some(acceptor),
            page: Page::Webhook(webhook.clone()),
            finishing: finishing.clone(),
        };
        let admin = metrics.map(|listener| Listener {
            listener,
            tls: None,
            page: Page::Metrics(webhook.clone()),
            finishing,
        });
        let draining = async {
            stop.await;
            webhook.state.drain();
            sleep(config.shutdown_delay).await;
            finish.send_replace(true);
        };
        let serving = async {
            match admin {
                Some(admin) => {
                    tokio::join!(public.serve(config.drain), admin.serve(config.drain)).0
                }
                None => public.serve(config.drain).await,
            }
        };
        let ((), all_answered) = tokio::join!(draining, serving);
        Ok(all_answered)
    }
}

struct Listener {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    page: Page,
    finishing: watch::Receiver<bool>,
}

impl Listener {
    /// Accepts until told to finish, then waits for the connections.
    async fn serve(self, drain: Duration) -> bool {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut finishing = self.finishing.clone();
        loop {
            let accepted = tokio::select! {
                () = connection::told(&mut finishing) => break,
                // A panic in a request is its own connection's end, and counted by nobody else.
                Some(_) = connections.join_next() => continue,
                accepted = accept(&self.listener, &places) => accepted,
            };
            let (stream, place) = accepted;
            let (tls, page, finishing) =
                (self.tls.clone(), self.page.clone(), self.finishing.clone());
            connections.spawn(async move {
                connection::serve(stream, tls, page, finishing).await;
                drop(place);
            });
        }
        drop(self.listener);
        let all = async { while connections.join_next().await.is_some() {} };
        timeout(drain, all).await.is_ok()
    }
}

/// The next connection, once there is a place for it. The kernel holds the others.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                // Out of file descriptors: some connection will end.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let fault = |source| ServeError::Bind { address, source };
    match socket(address) {
        // A host without IPv6 has no unspecified IPv6 address; everywhere is then every IPv4 address.
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            socket(v4).map_err(fault)
        }
        bound => bound.map_err(fault),
    }
}

fn socket(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    // Linux hands it on to accepted sockets.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1_024)?;
    TcpListener::from_std(socket.into())
}

/// An API server keeps a handful of connections.
const MAX_CONNECTIONS: usize = 1_024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
