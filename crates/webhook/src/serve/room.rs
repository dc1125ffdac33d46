//! Memory for the requests that are here, and who gives way when there is none left.
//!
//! A request pays for what it holds: a little for being here, then for each part of its body as it comes. Nothing is
//! taken for what was announced. Small requests and large ones have lanes of their own, so that pods of megabytes do
//! not keep the usual ones waiting.
//!
//! **When a lane is full** a request waits for room; honest ones are gone within milliseconds. At once a body gives way
//! that has been arriving for longer than `HONEST`, of the peer that holds most. After `PATIENCE` the oldest request gives
//! way of a peer that holds more than whoever asks. So neither idle posts nor slow bodies keep a review out, whether
//! they come from the API server's address or another one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use irsa_endpoint::Peer;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// The memory of all requests.
#[derive(Debug)]
pub(super) struct Room {
    small: Lane,
    large: Lane,
    next: AtomicU64,
}

#[derive(Debug)]
struct Lane {
    state: Mutex<Seats>,
    freed: Notify,
}

#[derive(Debug)]
struct Seats {
    capacity: usize,
    used: usize,
    peers: HashMap<Peer, Party>,
}

/// What one peer holds. Seats by age.
#[derive(Debug, Default)]
struct Party {
    held: usize,
    receiving: BTreeMap<u64, Place>,
    reviewing: BTreeMap<u64, Place>,
}

#[derive(Debug, Clone)]
struct Place {
    held: usize,
    since: Instant,
    told: Arc<Notify>,
}

/// Which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Of usual pods.
    Small,
    /// Of pods beyond [`SMALL`].
    Large,
}

/// A request's place; leaving is dropping it.
#[derive(Debug)]
pub(super) struct Seat {
    room: Arc<Room>,
    size: Size,
    peer: Peer,
    id: u64,
    held: usize,
    since: Instant,
    told: Arc<Notify>,
}

/// This request has given way to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GaveWay;

/// What came of asking for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Taken,
    Wait,
    GaveWay,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(SMALL_LANE, LARGE_LANE)
    }
}

impl Room {
    fn new(small: usize, large: usize) -> Self {
        let lane = |capacity| Lane {
            state: Mutex::new(Seats {
                capacity,
                used: 0,
                peers: HashMap::new(),
            }),
            freed: Notify::new(),
        };
        Self {
            small: lane(small),
            large: lane(large),
            next: AtomicU64::new(0),
        }
    }

    /// Lets a request in, once there is room.
    pub(super) async fn enter(self: &Arc<Self>, peer: Peer) -> Seat {
        let mut seat = Seat {
            room: Arc::clone(self),
            size: Size::Small,
            peer,
            id: self.next.fetch_add(1, Ordering::Relaxed),
            held: 0,
            since: Instant::now(),
            told: Arc::new(Notify::new()),
        };
        // Nobody can send a request away that is not in yet.
        let _ = seat.take(BASE).await;
        seat
    }

    fn lane(&self, size: Size) -> &Lane {
        match size {
            Size::Small => &self.small,
            Size::Large => &self.large,
        }
    }
}

impl Seat {
    /// Which lane the request is in.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Where the request comes from.
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// Is told when the request has to give way.
    pub(super) fn told(&self) -> Arc<Notify> {
        Arc::clone(&self.told)
    }

    /// Pays for so many more bytes of a body, once there is room.
    pub(super) async fn grow(&mut self, more: usize) -> Result<(), GaveWay> {
        if self.size == Size::Small && self.held + more > BASE + SMALL {
            let held = self.leave();
            self.size = Size::Large;
            return self.take(held + more).await;
        }
        self.take(more).await
    }

    /// The body is here: from now on it is not the client that is waited for.
    pub(super) fn received(&self) {
        let mut seats = self.room.lane(self.size).lock();
        if let Some(party) = seats.peers.get_mut(&self.peer)
            && let Some(place) = party.receiving.remove(&self.id)
        {
            party.reviewing.insert(self.id, place);
        }
    }

    async fn take(&mut self, more: usize) -> Result<(), GaveWay> {
        let asked = Instant::now();
        loop {
            let lane = self.room.lane(self.size);
            let now = Instant::now();
            let patient = now.duration_since(asked) < PATIENCE;
            let answer = lane.lock().ask(self, more, now, patient);
            match answer {
                Asked::Taken => {
                    self.held += more;
                    // One that left may have made room for several.
                    lane.freed.notify_one();
                    return Ok(());
                }
                Asked::GaveWay => return Err(GaveWay),
                // Somebody leaves, or somebody's time is over.
                Asked::Wait => drop(timeout(LOOK_AGAIN, lane.freed.notified()).await),
            }
        }
    }

    /// Returns what was held.
    fn leave(&mut self) -> usize {
        let lane = self.room.lane(self.size);
        lane.lock().remove(self.peer, self.id);
        lane.freed.notify_one();
        std::mem::take(&mut self.held)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn ask(&mut self, seat: &Seat, more: usize, now: Instant, patient: bool) -> Asked {
        while self.used + more > self.capacity {
            let Some((peer, id)) = self.late(now).or_else(|| {
                // Whoever holds less goes first, after a while.
                self.heavier(seat.peer).filter(|_| !patient)
            }) else {
                return Asked::Wait;
            };
            if let Some(place) = self.remove(peer, id) {
                place.told.notify_one();
            }
            if id == seat.id {
                return Asked::GaveWay;
            }
        }
        let party = self.peers.entry(seat.peer).or_default();
        match party.receiving.get_mut(&seat.id) {
            Some(place) => place.held += more,
            // It was in this lane and is not any more: somebody sent it away.
            None if seat.held > 0 => {
                if party.is_empty() {
                    self.peers.remove(&seat.peer);
                }
                return Asked::GaveWay;
            }
            None => {
                let place = Place {
                    held: more,
                    since: seat.since,
                    told: Arc::clone(&seat.told),
                };
                party.receiving.insert(seat.id, place);
            }
        }
        party.held += more;
        self.used += more;
        Asked::Taken
    }

    /// The oldest body that arrives too slowly, of the peer that holds most.
    fn late(&self, now: Instant) -> Option<(Peer, u64)> {
        let oldest = |party: &Party| {
            let (id, place) = party.receiving.first_key_value()?;
            (now.saturating_duration_since(place.since) > HONEST).then_some(*id)
        };
        let late = self
            .peers
            .iter()
            .filter_map(|(peer, party)| Some((party.held, *peer, oldest(party)?)));
        late.max_by_key(|(held, ..)| *held)
            .map(|(_, peer, id)| (peer, id))
    }

    /// The oldest request of the peer that holds most, if that is more than this one does.
    fn heavier(&self, than: Peer) -> Option<(Peer, u64)> {
        let own = self.peers.get(&than).map_or(0, |party| party.held);
        let (peer, party) = self.peers.iter().max_by_key(|(_, party)| party.held)?;
        let first = |places: &BTreeMap<u64, Place>| places.keys().next().copied();
        let oldest = [first(&party.receiving), first(&party.reviewing)];
        let id = oldest.into_iter().flatten().min()?;
        (party.held > own).then_some((*peer, id))
    }

    fn remove(&mut self, peer: Peer, id: u64) -> Option<Place> {
        let party = self.peers.get_mut(&peer)?;
        let place = party
            .receiving
            .remove(&id)
            .or_else(|| party.reviewing.remove(&id))?;
        party.held = party.held.saturating_sub(place.held);
        self.used = self.used.saturating_sub(place.held);
        if party.is_empty() {
            self.peers.remove(&peer);
        }
        Some(place)
    }
}

impl Party {
    fn is_empty(&self) -> bool {
        self.receiving.is_empty() && self.reviewing.is_empty()
    }
}

/// Bytes of a small body: real reviews have a few thousand, those of generated pods some ten thousand.
pub(super) const SMALL: usize = 64 << 10;
/// Bytes that a request costs besides its body: its header, its task.
const BASE: usize = 4 << 10;
/// Bytes for small requests: two hundred and fifty of the largest, four thousand that say nothing.
const SMALL_LANE: usize = 16 << 20;
/// Bytes for large requests: six of the largest.
const LARGE_LANE: usize = 48 << 20;
/// A body of the API server's is here sooner. Counts only when there is no room.
const HONEST: Duration = Duration::from_millis(250);
/// How long a request waits for a burst to be over before a heavier peer gives way.
const PATIENCE: Duration = Duration::from_millis(200);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
