//! One connection as the sweep sees it: a phase, since when, and an order from outside.
//!
//! All of it is atomics: the connection's own task writes the phase, the sweep reads it and writes the order. The
//! clock is read twice per request, where it also gives the latency; everything else takes the time of the last sweep.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::observer::Observer;
use crate::peer::Peer;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// TLS is being agreed.
    Handshake,
    /// No byte of a first request was seen.
    Opening,
    /// Part of a request's header was seen.
    Head,
    /// A response is being made or written.
    Busy,
    /// Everything asked for was written.
    Idle,
}

/// What a connection is told to do. Orders only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Go on.
    Run,
    /// Finish what was asked for, take nothing new.
    Finish,
    /// End now.
    Close,
}

/// The shared state of one connection.
#[derive(Debug)]
pub(crate) struct Life {
    id: u64,
    peer: Peer,
    clock: Arc<Clock>,
    observer: Arc<dyn Observer>,
    /// The phase in the top byte, the clock's microseconds below.
    phase: AtomicU64,
    order: AtomicU8,
    /// Of the task that runs the connection: one task for its whole life, so set once.
    waker: OnceLock<Waker>,
    /// Requests whose response is being made, perhaps by tasks of their own.
    in_flight: AtomicU32,
    /// Responses made since the last flush.
    unflushed: AtomicU32,
}

impl Life {
    pub(super) fn new(id: u64, peer: Peer, clock: Arc<Clock>, observer: Arc<dyn Observer>) -> Self {
        let life = Self {
            id,
            peer,
            clock,
            observer,
            phase: AtomicU64::new(0),
            order: AtomicU8::new(Order::Run as u8),
            waker: OnceLock::new(),
            in_flight: AtomicU32::new(0),
            unflushed: AtomicU32::new(0),
        };
        life.enter_at(Phase::Opening, life.clock.now());
        life
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// The phase, and the clock's time when it began.
    pub(super) fn phase(&self) -> (Phase, u64) {
        let packed = self.phase.load(Ordering::Relaxed);
        (unpack(packed), packed & TIME_MASK)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.enter_at(phase, self.clock.last_sweep());
    }

    /// Bytes arrived: a request has begun if none had. The time allowed for a first request runs from the accept.
    pub(crate) fn bytes_read(&self) {
        match self.phase() {
            (Phase::Idle, _) => self.enter(Phase::Head),
            (Phase::Opening, since) => self.enter_at(Phase::Head, since),
            (Phase::Handshake | Phase::Head | Phase::Busy, _) => {}
        }
    }

    /// A request's header is complete. Whoever makes the response keeps the flight until it is made.
    pub(crate) fn request_began(self: &Arc<Self>) -> Flight {
        let others = self.in_flight.fetch_add(1, Ordering::Relaxed);
        if others == 0 && self.unflushed.load(Ordering::Relaxed) == 0 {
            self.enter_at(Phase::Busy, self.clock.now());
        }
        Flight {
            life: Arc::clone(self),
            answered: false,
        }
    }

    /// Everything written so far is with the kernel. On HTTP/2, where responses of several streams share a
    /// flush, this may be the flush before the response: latencies there are a lower bound. What is still being
    /// answered has its time from here on.
    pub(crate) fn flushed(&self) {
        if self.unflushed.load(Ordering::Relaxed) == 0 {
            return;
        }
        let unflushed = self.unflushed.swap(0, Ordering::Relaxed);
        let (_, began) = self.phase();
        let now = self.clock.now();
        let took = Duration::from_micros(now.saturating_sub(began));
        self.observer.answered(took, unflushed);
        let more = self.in_flight.load(Ordering::Relaxed) > 0;
        self.enter_at(if more { Phase::Busy } else { Phase::Idle }, now);
    }

    fn request_ended(&self, answered: bool) {
        if answered {
            // before the other, so that a flush in between does not call the connection idle
            self.unflushed.fetch_add(1, Ordering::Relaxed);
        }
        let before = self.phase.load(Ordering::Relaxed);
        let last = self.in_flight.fetch_sub(1, Ordering::Relaxed) == 1;
        if last && !answered && unpack(before) == Phase::Busy {
            // The client took its request back: no flush will follow. Unless another request has just begun.
            let idle = pack(Phase::Idle, self.clock.last_sweep());
            let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = self.phase.compare_exchange(before, idle, success, failure);
        }
    }

    /// Whether to finish now. A request that is half sent is awaited; the next sweep asks again.
    pub(crate) fn should_finish(&self) -> bool {
        self.order() >= Order::Finish && self.phase().0 != Phase::Head
    }

    /// Whether the answer to this request may be followed by another.
    pub(crate) fn may_go_on(&self) -> bool {
        self.order() == Order::Run
    }

    /// Runs the connection's future until it ends or is ordered to.
    pub(crate) async fn run(&self, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        poll_fn(|cx: &mut Context<'_>| {
            self.be_reachable(cx);
            if self.order() == Order::Close {
                return Poll::Ready(());
            }
            connection.as_mut().poll(cx)
        })
        .await;
    }

    pub(super) fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::Run,
            1 => Order::Finish,
            _ => Order::Close,
        }
    }

    /// Raises the order, returns the one before, and wakes the connection's task.
    pub(super) fn command(&self, order: Order) -> Order {
        let before = self.order();
        if order == Order::Run {
            return before;
        }
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
        before
    }

    /// The two fences pair up: whoever orders sees the waker, or the first poll sees the order.
    fn be_reachable(&self, cx: &Context<'_>) {
        if self.waker.get().is_none() {
            self.waker.get_or_init(|| cx.waker().clone());
            fence(Ordering::SeqCst);
        }
    }

    fn enter_at(&self, phase: Phase, micros: u64) {
        self.phase.store(pack(phase, micros), Ordering::Relaxed);
    }
}

/// A request on its way to a response; over when dropped, also when its client takes it back.
#[derive(Debug)]
pub(crate) struct Flight {
    life: Arc<Life>,
    answered: bool,
}

impl Flight {
    /// The response is made.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.life.request_ended(self.answered);
    }
}

const fn pack(phase: Phase, micros: u64) -> u64 {
    ((phase as u64) << PHASE_SHIFT) | (micros & TIME_MASK)
}

const fn unpack(packed: u64) -> Phase {
    match packed >> PHASE_SHIFT {
        0 => Phase::Handshake,
        1 => Phase::Opening,
        2 => Phase::Head,
        3 => Phase::Busy,
        _ => Phase::Idle,
    }
}

/// Microseconds since the server began, also as of the last sweep.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
    swept: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        let clock = Self {
            origin: Instant::now(),
            swept: AtomicU64::new(0),
        };
        clock.advance();
        clock
    }
}

impl Clock {
    pub(super) fn advance(&self) -> u64 {
        let now = self.now();
        self.swept.store(now, Ordering::Relaxed);
        now
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(TIME_MASK)
    }

    fn last_sweep(&self) -> u64 {
        self.swept.load(Ordering::Relaxed)
    }
}

const PHASE_SHIFT: u32 = 56;
const TIME_MASK: u64 = (1 << PHASE_SHIFT) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn life() -> Arc<Life> {
        let peer = Peer::from(std::net::IpAddr::from([192, 0, 2, 1]));
        Arc::new(Life::new(7, peer, Arc::default(), Arc::new(())))
    }

    #[test]
    fn a_request_walks_through_the_phases() {
        let life = life();
        assert_eq!(life.phase().0, Phase::Opening);
        life.flushed();
        assert_eq!(
            life.phase().0,
            Phase::Opening,
            "a flush without a request is no request"
        );
        life.bytes_read();
        assert_eq!(life.phase().0, Phase::Head);
        let flight = life.request_began();
        assert_eq!(life.phase().0, Phase::Busy);
        life.bytes_read();
        life.flushed();
        assert_eq!(
            life.phase().0,
            Phase::Busy,
            "a flush before the response is not its end"
        );
        flight.answered();
        assert_eq!(life.phase().0, Phase::Busy);
        life.flushed();
        assert_eq!(life.phase().0, Phase::Idle);
        life.bytes_read();
        assert_eq!(life.phase().0, Phase::Head);
    }

    #[test]
    fn a_connection_is_busy_until_its_last_request_is_over() {
        let life = life();
        let (first, second, third) = (
            life.request_began(),
            life.request_began(),
            life.request_began(),
        );
        first.answered();
        life.flushed();
        assert_eq!(life.phase().0, Phase::Busy);
        drop(second);
        assert_eq!(life.phase().0, Phase::Busy);
        drop(third);
        assert_eq!(
            life.phase().0,
            Phase::Idle,
            "nothing follows a request that was taken back"
        );
    }

    #[test]
    fn more_bytes_do_not_buy_more_time() {
        let life = life();
        let (_, accepted) = life.phase();
        life.clock.swept.store(5_000, Ordering::Relaxed);
        life.bytes_read();
        assert_eq!(life.phase(), (Phase::Head, accepted));
        life.bytes_read();
        assert_eq!(life.phase(), (Phase::Head, accepted));
    }

    #[test]
    fn orders_only_grow() {
        let life = life();
        assert_eq!(life.command(Order::Close), Order::Run);
        assert_eq!(life.command(Order::Finish), Order::Close);
        assert_eq!(life.order(), Order::Close);
    }
}
