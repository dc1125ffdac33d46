//! All open connections: who is too slow, and who makes room.
//!
//! One sweep per tick compares every connection's phase with its limit, so a request sets no timer and takes no
//! lock. The registry is locked to connect, to disconnect, to sweep and to evict.
//!
//! **At the cap the longest silent connection goes, not the newcomer,** and of the peer that has most. A flood of silent
//! connections then pushes out its own oldest members, while an honest client, which asks at once, is the youngest of
//! all. Whoever refuses newcomers instead hands the server to the first N sockets that say nothing.

use std::collections::HashMap;
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
            self.evict_from(&mut open, peer, of_peer);
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
        let heaviest = open.peers.iter().max_by_key(|(_, count)| **count);
        if let Some((peer, count)) = heaviest.map(|(peer, count)| (*peer, *count)) {
            self.evict_from(open, peer, count);
        }
    }

    /// Ends the longest silent of a peer's connections: one for small numbers, a few dozen at once for large ones, so
    /// that a flood costs one scan per batch and not per connection. Those with a response under way go only if there
    /// are no others, or if it has been under way for longer than any honest one.
    fn evict_from(&self, open: &mut Open, peer: Peer, count: usize) {
        let batch = (count / 64).clamp(1, MAX_BATCH);
        let now = self.clock.advance();
        let mut silent: Vec<_> = open
            .lives
            .values()
            .filter(|life| life.peer() == peer)
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
mod tests {
    use super::*;

    fn registry(max_connections: usize) -> Arc<Registry> {
        Registry::new(
            Limits {
                max_connections,
                ..Limits::default()
            },
            Arc::new(()),
        )
    }

    fn peer(number: u8) -> Peer {
        Peer::from(std::net::IpAddr::from([192, 0, 2, number]))
    }

    fn admit(registry: &Arc<Registry>, phase: Phase) -> Slot {
        admit_from(registry, 1, phase)
    }

    fn admit_from(registry: &Arc<Registry>, number: u8, phase: Phase) -> Slot {
        let (slot, _) = registry.admit(peer(number));
        slot.life().enter(phase);
        slot
    }

    #[test]
    fn at_the_cap_the_longest_silent_goes_and_the_newcomer_stays() {
        let registry = registry(3);
        let busy = admit(&registry, Phase::Busy);
        let idle = admit(&registry, Phase::Idle);
        let opening = admit(&registry, Phase::Opening);
        let (newcomer, full) = registry.admit(peer(1));
        assert!(full);
        let gone = |slot: &Slot| slot.life().order() == Order::Close;
        assert!(gone(&idle) && !gone(&busy) && !gone(&opening) && !gone(&newcomer));
        newcomer.life().enter(Phase::Busy);
        opening.life().enter(Phase::Busy);
        let (last, _) = registry.admit(peer(1));
        assert!(
            gone(&busy) && !gone(&last),
            "with only busy ones the oldest goes"
        );
    }

    #[test]
    fn a_flood_costs_one_scan_per_batch() {
        let registry = registry(640);
        let slots: Vec<_> = (0..640).map(|_| admit(&registry, Phase::Opening)).collect();
        let (_new, full) = registry.admit(peer(1));
        assert!(full);
        let gone = slots
            .iter()
            .filter(|slot| slot.life().order() == Order::Close)
            .count();
        assert_eq!(gone, 10);
        assert!(
            slots
                .iter()
                .take(10)
                .all(|slot| slot.life().order() == Order::Close)
        );
        assert!(!registry.admit(peer(1)).1);
    }

    #[test]
    fn a_batch_spares_the_busy() {
        let registry = registry(640);
        let slots: Vec<_> = (0..640)
            .map(|at| admit(&registry, if at == 300 { Phase::Idle } else { Phase::Busy }))
            .collect();
        let (_new, _) = registry.admit(peer(1));
        let gone = slots
            .iter()
            .filter(|slot| slot.life().order() == Order::Close)
            .count();
        assert_eq!(gone, 1);
    }

    #[test]
    fn whoever_has_most_makes_room_for_the_others() {
        let registry = registry(6);
        let gone = |slot: &Slot| slot.life().order() == Order::Close;
        let honest = admit_from(&registry, 1, Phase::Idle);
        let flood: Vec<_> = (0..5)
            .map(|_| admit_from(&registry, 2, Phase::Opening))
            .collect();
        let _third = admit_from(&registry, 3, Phase::Opening);
        assert!(!gone(&honest), "the oldest of all, and its peer's only one");
        assert_eq!(flood.iter().filter(|slot| gone(slot)).count(), 1);
    }

    #[test]
    fn a_peer_at_its_own_cap_makes_room_for_itself() {
        let limits = Limits {
            max_connections_per_peer: 2,
            ..Limits::default()
        };
        let registry = Registry::new(limits, Arc::new(()));
        let gone = |slot: &Slot| slot.life().order() == Order::Close;
        let other = admit_from(&registry, 1, Phase::Idle);
        let flood: Vec<_> = (0..10)
            .map(|_| admit_from(&registry, 2, Phase::Idle))
            .collect();
        assert!(!gone(&other));
        assert_eq!(flood.iter().filter(|slot| gone(slot)).count(), 8);
        drop(flood);
        assert!(
            !registry.admit(peer(2)).1,
            "those that left are not counted"
        );
        drop(other);
        assert!(registry.lock().peers.is_empty());
    }

    #[test]
    fn each_phase_has_its_limit() {
        let registry = registry(8);
        let micros = |limit: Duration| u64::try_from(limit.as_micros()).unwrap();
        let limits = Limits::default();
        let slot = admit(&registry, Phase::Idle);
        for (phase, limit) in [
            (Phase::Handshake, limits.handshake_timeout),
            (Phase::Opening, limits.header_timeout),
            (Phase::Head, limits.header_timeout),
            (Phase::Busy, limits.write_timeout),
            (Phase::Idle, limits.idle_timeout),
        ] {
            slot.life().enter(phase);
            let at = |now| registry.verdict(slot.life(), now, None).0;
            assert_eq!(at(micros(limit) - 2_000_000), Order::Run, "{phase:?}");
            assert_eq!(at(micros(limit)), Order::Close, "{phase:?}");
        }
        let at = |now| registry.verdict(slot.life(), now, None).0;
        assert_eq!(at(micros(limits.idle_timeout) - 500_000), Order::Finish);
    }

    #[test]
    fn a_drain_cuts_the_silent_and_lets_requests_finish() {
        let registry = registry(8);
        let slot = admit(&registry, Phase::Head);
        let verdict = |phase, drained_for| {
            slot.life().enter(phase);
            registry.verdict(slot.life(), 0, Some(drained_for)).0
        };
        assert_eq!(verdict(Phase::Idle, 0), Order::Finish);
        assert_eq!(verdict(Phase::Opening, 1_000_000), Order::Close);
        assert_eq!(verdict(Phase::Head, 1_000_000), Order::Finish);
        assert_eq!(verdict(Phase::Busy, 1_000_000), Order::Finish);
    }
}
