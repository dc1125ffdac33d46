//! Places for reads of the API server, shared among the addresses that ask for reviews.
//!
//! **Guarantee.** One address holds at most its share, so that another one finds a place at once; when many addresses
//! hold all of them, the next place that is free is for whoever holds least, however many of the others came before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use irsa_endpoint::Peer;
use tokio::sync::oneshot;

/// So many places.
#[derive(Debug)]
pub(crate) struct Places {
    share: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    held: HashMap<Peer, usize>,
    waiting: HashMap<Peer, VecDeque<Waiting>>,
    came: u64,
}

#[derive(Debug)]
struct Waiting {
    /// How many came before.
    number: u64,
    grant: oneshot::Sender<Place>,
}

/// The right to read once; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    peer: Peer,
    of: Option<Arc<Places>>,
}

impl Places {
    /// So many, and so many of them for one peer.
    pub(crate) fn new(all: usize, share: usize) -> Arc<Self> {
        Arc::new(Self {
            share,
            state: Mutex::new(State {
                free: all,
                held: HashMap::new(),
                waiting: HashMap::new(),
                came: 0,
            }),
        })
    }

    /// Waits for a place. Whoever stops waiting loses nothing and keeps nobody waiting.
    pub(crate) async fn take(self: &Arc<Self>, peer: Peer) -> Place {
        loop {
            let granted = {
                let mut state = self.lock();
                if state.take(peer, self.share) {
                    return self.place(peer);
                }
                state.wait(peer)
            };
            if let Ok(place) = granted.await {
                return place;
            }
        }
    }

    /// A place that is free now.
    pub(crate) fn try_take(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        let taken = self.lock().take(peer, self.share);
        taken.then(|| self.place(peer))
    }

    fn place(self: &Arc<Self>, peer: Peer) -> Place {
        Place {
            peer,
            of: Some(Arc::clone(self)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, peer: Peer, share: usize) -> bool {
        let held = self.held.get(&peer).copied().unwrap_or_default();
        let may = self.free > 0 && held < share;
        if may {
            self.free -= 1;
            self.held.insert(peer, held + 1);
        }
        may
    }

    fn give_back(&mut self, peer: Peer) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(&peer) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&peer);
            }
        }
    }

    fn wait(&mut self, peer: Peer) -> oneshot::Receiver<Place> {
        let (grant, granted) = oneshot::channel();
        let number = self.came;
        self.came += 1;
        let queue = self.waiting.entry(peer).or_default();
        // Those that stopped waiting, which the first ones do first.
        while queue.front().is_some_and(|first| first.grant.is_closed()) {
            queue.pop_front();
        }
        queue.push_back(Waiting { number, grant });
        granted
    }

    /// Takes a place for whoever is next.
    fn next(&mut self, share: usize) -> Option<(Peer, oneshot::Sender<Place>)> {
        let of = |peer| self.held.get(peer).copied().unwrap_or_default();
        let fronts = self
            .waiting
            .iter()
            .filter_map(|(peer, queue)| Some((of(peer), queue.front()?.number, *peer)));
        let (_, _, peer) = fronts
            .filter(|(held, ..)| *held < share)
            .min_by_key(|(held, number, _)| (*held, *number))?;
        if !self.take(peer, share) {
            return None;
        }
        let queue = self.waiting.get_mut(&peer)?;
        let first = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&peer);
        }
        Some((peer, first.grant))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(places) = self.of.take() else {
            return;
        };
        let mut state = places.lock();
        state.give_back(self.peer);
        while let Some((peer, grant)) = state.next(places.share) {
            if let Err(mut refused) = grant.send(places.place(peer)) {
                // It does not wait any more. Its own drop must not give back what it never had: we hold the lock.
                refused.of = None;
                state.give_back(peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt as _;

    use super::*;

    fn peer(number: u8) -> Peer {
        IpAddr::from([192, 0, 2, number]).into()
    }

    fn untouched(places: &Arc<Places>, all: usize) {
        let state = places.lock();
        assert_eq!(state.free, all);
        assert!(
            state.held.is_empty() && state.waiting.is_empty(),
            "{state:?}"
        );
    }

    #[tokio::test]
    async fn one_peer_has_its_share_and_no_more() {
        let places = Places::new(4, 2);
        let first = [places.take(peer(1)).await, places.take(peer(1)).await];
        assert!(places.try_take(peer(1)).is_none());
        let mut more = Box::pin(places.take(peer(1)));
        assert!(more.as_mut().now_or_never().is_none());
        let other = places.take(peer(2)).now_or_never();
        assert!(other.is_some(), "another one does not wait");
        drop(other);
        assert!(more.as_mut().now_or_never().is_none(), "its share is taken");
        drop(first);
        drop(more.now_or_never().unwrap());
        untouched(&places, 4);
    }

    #[tokio::test]
    async fn the_next_place_is_for_whoever_holds_least() {
        let places = Places::new(4, 3);
        let mut held = Vec::new();
        for number in [1, 1, 2, 2] {
            held.push(places.take(peer(number)).await);
        }
        let mut before = Vec::new();
        for number in [1, 2, 1, 2] {
            let mut waiting = Box::pin(places.take(peer(number)));
            assert!(waiting.as_mut().now_or_never().is_none());
            before.push(waiting);
        }
        let mut honest = Box::pin(places.take(peer(3)));
        assert!(honest.as_mut().now_or_never().is_none());
        held.pop();
        let place = honest.now_or_never();
        assert!(place.is_some(), "it came last, and holds nothing");
        // Then by who came first.
        held.pop();
        let next = before.iter_mut().map(futures_util::FutureExt::now_or_never);
        let places_got: Vec<_> = next.collect();
        let granted: Vec<_> = places_got.iter().map(Option::is_some).collect();
        assert_eq!(
            granted,
            [false, true, false, false],
            "peer 2 holds none by now"
        );
        drop((held, before, place, places_got));
        untouched(&places, 4);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_takes_no_place_along() {
        let places = Places::new(1, 1);
        let held = places.take(peer(1)).await;
        let mut stops = Box::pin(places.take(peer(2)));
        let mut granted = Box::pin(places.take(peer(3)));
        let mut last = Box::pin(places.take(peer(4)));
        for waiting in [&mut stops, &mut granted, &mut last] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop(stops);
        drop(held);
        // It was given the place and never looked.
        drop(granted);
        assert!(last.now_or_never().is_some());
        untouched(&places, 1);
    }
}
