//! Accept, sweep, drain.
//!
//! Nothing a client does ends a side: a panic ends its own connection, an accept that fails for want of file
//! descriptors makes room and tries again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::connection::{self, Hosts, Responder, Settings};
use crate::limits::Limits;
use crate::listen;
use crate::observer::Observer;
use crate::peer::Peer;
use crate::registry::Registry;

/// One side of an endpoint: its sockets, and who answers on them. Sides share no limit: a flood on one does not push
/// out the clients of another.
#[derive(Debug)]
pub struct Side<R> {
    /// Where it listens.
    pub listeners: Vec<TcpListener>,
    /// TLS on all of them; plain HTTP without.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Who answers.
    pub responder: R,
    /// Bounds for clients.
    pub limits: Limits,
    /// Who counts.
    pub observer: Arc<dyn Observer>,
    /// Under which names it may be asked.
    pub hosts: Hosts,
}

impl<R: Responder> Side<R> {
    /// Serves until `stop` resolves, then drains: new connections are refused, requests under way are answered, silent
    /// connections end within a second, and after `drain_timeout` everything does. Says whether everything had ended
    /// by then. The error is a panic, of a bug.
    pub async fn run(self, stop: impl Future) -> Result<bool, JoinError> {
        self.run_renewing(stop, Arc::default()).await
    }

    /// The same, and whenever `renew` is notified every connection that is open finishes what it does and ends: its
    /// client makes a new one, whose handshake goes by what holds now.
    pub async fn run_renewing(
        self,
        stop: impl Future,
        renew: Arc<Notify>,
    ) -> Result<bool, JoinError> {
        let registry = Registry::new(self.limits, Arc::clone(&self.observer));
        let tls = self.tls.map(TlsAcceptor::from);
        let (order, stopping) = watch::channel(());
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            let settings = Settings {
                responder: self.responder.clone(),
                tls: tls.clone(),
                limits: self.limits,
                observer: Arc::clone(&self.observer),
                only_loopback: self.hosts == Hosts::LoopbackOnLoopback
                    && listen::is_loopback(&listener),
            };
            let (registry, settings) = (Arc::clone(&registry), Arc::new(settings));
            accepting.spawn(accept(listener, registry, settings, stopping.clone()));
        }
        let mut sweeping = JoinSet::new();
        sweeping.spawn(sweep(Arc::clone(&registry)));
        let renewing = async {
            loop {
                renew.notified().await;
                registry.renew();
            }
        };
        // these tasks never return: one that does has panicked, or the runtime ends
        let stopped = tokio::select! {
            _ = stop => None,
            Some(ended) = accepting.join_next() => ended.err(),
            Some(ended) = sweeping.join_next() => ended.err(),
            () = renewing => None,
        };
        order.send_replace(());
        while accepting.join_next().await.is_some() {}
        let in_time = drain(&registry, self.limits.drain_timeout).await;
        sweeping.shutdown().await;
        stopped.filter(JoinError::is_panic).map_or(Ok(in_time), Err)
    }
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
            Ok((stream, from)) => admit(stream, from.ip().into(), &registry, &settings).await,
            Err(error) if listen::is_about_one_connection(&error) => {}
            Err(error) => {
                settings.observer.accept_failed();
                if warned.is_none_or(|last| last.elapsed() >= WARN_PAUSE) {
                    warned = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept, ending the longest silent connections");
                }
                registry.evict();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    for (stream, peer) in queued(listener) {
        admit(stream, peer, &registry, &settings).await;
    }
}

/// The connections that wait in the kernel's queue, without waiting for more.
fn queued(listener: TcpListener) -> Vec<(TcpStream, Peer)> {
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    let next = || {
        let (stream, from) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, from.ip().into()))
    };
    std::iter::from_fn(next).collect()
}

async fn admit<R: Responder>(
    stream: TcpStream,
    peer: Peer,
    registry: &Arc<Registry>,
    settings: &Arc<Settings<R>>,
) {
    let (slot, evicted) = registry.admit(peer);
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

/// Whether everything ended by itself in time.
async fn drain(registry: &Registry, patience: Duration) -> bool {
    registry.drain();
    if timeout(patience, registry.empty()).await.is_ok() {
        return true;
    }
    registry.close_all();
    // closing needs the tasks to run once more, not the clients to agree
    if timeout(LAST_WORDS, registry.empty()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain");
    }
    false
}

/// Evicted connections close within microseconds; longer would only lengthen the queue of honest clients.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const WARN_PAUSE: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_millis(500);
