//! All open connections: who is too slow, and who makes room.
//!
//! One sweep per tick compares every connection's phase with its limit, so a request sets no timer and takes no
//! lock. The registry is locked to connect, to disconnect, to sweep and to evict.
//!
//! **At the cap the longest silent connection goes, not the newcomer,** and of the peer that has most. A flood of silent
//! connections then pushes out its own oldest members, while an honest client, which asks at once, is the youngest of
//! all. Whoever refuses newcomers instead hands the server to the first N sockets that say nothing.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::limits::Limits;
use crate::observer::Observer;
use crate::peer::Peer;
use life::{Clock, Order};
pub(crate) use life::{Flight, Life, Phase};

mod life;

/// Why the server ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Another one needed the place.
    Evicted,
    /// No TLS handshake in time.
    HandshakeTimeout,
    /// No whole header in time.
    HeaderTimeout,
    /// A request was not sent, or its response not read, in time.
    WriteTimeout,
    /// No further request in time.
    IdleTimeout,
    /// The endpoint stops.
    Drained,
}

impl CloseReason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Evicted,
        Self::HandshakeTimeout,
        Self::HeaderTimeout,
        Self::WriteTimeout,
        Self::IdleTimeout,
        Self::Drained,
    ];

    /// As metrics name it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HeaderTimeout => "header_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::Drained => "drained",
        }
    }
}

/// The open connections of one server.
#[derive(Debug)]
pub(super) struct Registry {
    open: Mutex<Open>,
    clock: Arc<Clock>,
    limits: Limits,
    observer: Arc<dyn Observer>,
    /// Clock time at which the drain began; [`NEVER`] before.
    drain_began: AtomicU64,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    lives: HashMap<u64, Arc<Life>>,
    peers: HashMap<Peer, usize>,
}

impl Registry {
    pub(super) fn new(limits: Limits, observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            clock: Arc::default(),
            limits,
            observer,
            drain_began: AtomicU64::new(NEVER),
            emptied: Notify::new(),
        })
    }

    /// Enters a new connection, making room first if there is none. Also says whether somebody had to go: then the
    /// caller should let the others' tasks run before it accepts more.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> (Slot, bool) {
        let mut open = self.lock();
        let of_peer = open.peers.get(&peer).copied().unwrap_or_default();
        let full = if of_peer >= self.limits.max_connections_per_peer {
            self.evict_from(&mut open, &HashSet::from([peer]), of_peer);
            true
        } else if open.lives.len() >= self.limits.max_connections {
            self.evict_from_heaviest(&mut open);
            true
        } else {
            false
        };
        let id = open.next;
        open.next += 1;
        let observer = Arc::clone(&self.observer);
        let life = Arc::new(Life::new(id, peer, Arc::clone(&self.clock), observer));
        open.insert(&life);
        drop(open);
        self.observer.connection_opened();
        (
            Slot {
                life,
                registry: Arc::clone(self),
            },
            full,
        )
    }

    /// Ends some of the longest silent connections, as when file descriptors run out.
    pub(super) fn evict(&self) {
        self.evict_from_heaviest(&mut self.lock());
    }

    /// Advances the clock and ends what is over its time.
    pub(super) fn sweep(&self) {
        let now = self.clock.advance();
        let began = self.drain_began.load(Ordering::Relaxed);
        let drained_for = (began != NEVER).then(|| now.saturating_sub(began));
        for life in self.lock().lives.values() {
            let (order, reason) = self.verdict(life, now, drained_for);
            self.command(life, order, reason);
        }
    }

    /// Asks every connection to finish what it does and close.
    pub(super) fn drain(&self) {
        self.drain_began
            .store(self.clock.advance(), Ordering::Relaxed);
        self.sweep();
    }

    /// Asks every connection of now to finish what it does and close; those that come later go on.
    pub(super) fn renew(&self) {
        for life in self.lock().lives.values() {
            self.command(life, Order::Finish, None);
        }
    }

    /// Ends every connection now.
    pub(super) fn close_all(&self) {
        for life in self.lock().lives.values() {
            self.command(life, Order::Close, Some(CloseReason::Drained));
        }
    }

    /// Waits until no connection is open.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().lives.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// How often to sweep: a connection ends up to two of these before its limit, never after it.
    pub(super) fn tick(&self) -> Duration {
        let Limits {
            header_timeout,
            idle_timeout,
            handshake_timeout,
            write_timeout,
            ..
        } = self.limits;
        let shortest = header_timeout
            .min(idle_timeout)
            .min(handshake_timeout)
            .min(write_timeout);
        (shortest / 20).clamp(MIN_TICK, MAX_TICK)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verdict(
        &self,
        life: &Life,
        now: u64,
        drained_for: Option<u64>,
    ) -> (Order, Option<CloseReason>) {
        let (phase, since) = life.phase();
        let age = Duration::from_micros(now.saturating_sub(since)) + self.tick();
        let (limit, reason) = match phase {
            Phase::Handshake => (self.limits.handshake_timeout, CloseReason::HandshakeTimeout),
            Phase::Opening | Phase::Head => {
                (self.limits.header_timeout, CloseReason::HeaderTimeout)
            }
            Phase::Busy => (self.limits.write_timeout, CloseReason::WriteTimeout),
            Phase::Idle => (self.limits.idle_timeout, CloseReason::IdleTimeout),
        };
        if age >= limit {
            return (Order::Close, Some(reason));
        }
        if let Some(drained_for) = drained_for {
            let asks_nothing = matches!(phase, Phase::Handshake | Phase::Opening | Phase::Idle);
            if asks_nothing && drained_for >= SILENT_DRAIN_MICROS {
                return (Order::Close, Some(CloseReason::Drained));
            }
            return (Order::Finish, None);
        }
        if phase == Phase::Idle && age + GOODBYE.min(limit / 4) >= limit {
            return (Order::Finish, Some(reason));
        }
        (Order::Run, None)
    }

    /// Gives an order and counts its reason once per connection.
    fn command(&self, life: &Life, order: Order, reason: Option<CloseReason>) {
        let before = life.command(order);
        let first = before == Order::Run && order > Order::Run;
        let forced = before == Order::Finish && order == Order::Close;
        let counts = first || (forced && reason == Some(CloseReason::Drained));
        if let Some(reason) = reason.filter(|_| counts) {
            self.observer.connection_ended_by_us(reason);
        }
    }

    fn evict_from_heaviest(&self, open: &mut Open) {
        let Some(most) = open.peers.values().copied().max() else {
            return;
        };
        // Among equals nobody is worse than another: of all their connections the longest silent go.
        let heavy: HashSet<Peer> = open
            .peers
            .iter()
            .filter(|(_, count)| **count == most)
            .map(|(peer, _)| *peer)
            .collect();
        self.evict_from(open, &heavy, most.saturating_mul(heavy.len()));
    }

    /// Ends the longest silent of these peers' connections, of which there are `count`: one for small numbers, a few dozen at once for large ones, so
    /// that a flood costs one scan per batch and not per connection. Those with a response under way go only if there
    /// are no others, or if it has been under way for longer than any honest one.
    fn evict_from(&self, open: &mut Open, peers: &HashSet<Peer>, count: usize) {
        let batch = (count / 64).clamp(1, MAX_BATCH);
        let now = self.clock.advance();
        let mut silent: Vec<_> = open
            .lives
            .values()
            .filter(|life| peers.contains(&life.peer()))
            .map(|life| {
                let (phase, since) = life.phase();
                let is_young = now.saturating_sub(since) < HONEST_MICROS;
                (phase == Phase::Busy && is_young, since, life.id())
            })
            .collect();
        if silent.len() > batch {
            silent.select_nth_unstable(batch);
            silent.truncate(batch);
            if silent.iter().any(|(busy, ..)| !busy) {
                silent.retain(|(busy, ..)| !busy);
            }
        }
        for (_, _, id) in silent {
            if let Some(life) = open.remove(id) {
                self.command(&life, Order::Close, Some(CloseReason::Evicted));
            }
        }
    }
}

impl Open {
    fn insert(&mut self, life: &Arc<Life>) {
        self.lives.insert(life.id(), Arc::clone(life));
        *self.peers.entry(life.peer()).or_default() += 1;
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Life>> {
        let life = self.lives.remove(&id)?;
        if let Some(count) = self.peers.get_mut(&life.peer()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.peers.remove(&life.peer());
            }
        }
        Some(life)
    }
}

/// A connection's place in the registry; leaving is dropping it, also after a panic.
#[derive(Debug)]
pub(super) struct Slot {
    life: Arc<Life>,
    registry: Arc<Registry>,
}

impl Slot {
    pub(super) fn life(&self) -> &Arc<Life> {
        &self.life
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.registry.lock();
        open.remove(self.life.id());
        let empty = open.lives.is_empty();
        drop(open);
        self.registry.observer.connection_closed();
        if empty {
            self.registry.emptied.notify_waiters();
        }
    }
}

const NEVER: u64 = u64::MAX;
const MIN_TICK: Duration = Duration::from_millis(5);
const MAX_TICK: Duration = Duration::from_millis(250);
/// An idle connection is told to go this long before it is cut: time for GOAWAY or a TLS close to arrive.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long a connection that asks for nothing may delay a shutdown.
const SILENT_DRAIN_MICROS: u64 = 1_000_000;
const MAX_BATCH: usize = 64;
/// Requests of honest clients arrive within milliseconds.
const HONEST_MICROS: u64 = 1_000_000;

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
