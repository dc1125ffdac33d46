use std::net::IpAddr;

use tokio::time::sleep;

use super::*;

const KIB: usize = 1 << 10;

fn peer(number: u8) -> Peer {
    IpAddr::from([192, 0, 2, number]).into()
}

fn room(small: usize, large: usize) -> Arc<Room> {
    Arc::new(Room::new(small, large))
}

async fn told(seat: &Seat) -> bool {
    timeout(Duration::ZERO, seat.told().notified())
        .await
        .is_ok()
}

fn at_once(start: Instant) {
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
}

fn used(room: &Arc<Room>) -> (usize, usize) {
    (room.small.lock().used, room.large.lock().used)
}

#[tokio::test]
async fn only_what_is_there_is_paid_for() {
    let room = room(64 * KIB, 1_024 * KIB);
    let mut seat = room.enter(peer(1)).await;
    assert_eq!(used(&room), (BASE, 0));
    seat.grow(KIB).await.unwrap();
    assert_eq!(used(&room), (BASE + KIB, 0));
    seat.grow(SMALL).await.unwrap();
    assert_eq!(
        (used(&room), seat.size()),
        ((0, BASE + KIB + SMALL), Size::Large)
    );
    seat.received();
    drop(seat);
    assert_eq!(used(&room), (0, 0));
    assert!(room.small.lock().peers.is_empty() && room.large.lock().peers.is_empty());
}

/// Idle posts fill the lane; whoever comes displaces one at once, and not the newest.
#[tokio::test]
async fn posts_that_say_nothing_give_way_to_whoever_comes() {
    let room = room(8 * BASE, 0);
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(room.enter(peer(1)).await);
        sleep(Duration::from_millis(50)).await;
    }
    let start = Instant::now();
    let honest = room.enter(peer(1)).await;
    at_once(start);
    assert!(told(&idle[0]).await && !told(&idle[1]).await && !told(&honest).await);
    assert_eq!(idle[0].take(1).await, Err(GaveWay));
    drop(idle);
    drop(honest);
    assert_eq!(used(&room), (0, 0));
}

/// A burst of honest requests waits for each other: none is sent away.
#[tokio::test]
async fn a_burst_waits_and_nobody_is_sent_away() {
    let room = room(4 * BASE, 0);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let room = Arc::clone(&room);
        running.spawn(async move {
            let seat = room.enter(peer(1)).await;
            seat.received();
            sleep(Duration::from_millis(5)).await;
            told(&seat).await
        });
    }
    while let Some(sent_away) = running.join_next().await {
        assert!(!sent_away.unwrap());
    }
    assert_eq!(used(&room), (0, 0));
}

/// Reviews that take long fill the lane: another peer gets in after a moment, the same one waits.
#[tokio::test]
async fn a_heavier_peer_gives_way_to_a_lighter_one() {
    let room = room(4 * BASE, 0);
    let mut heavy = Vec::new();
    for _ in 0..4 {
        let seat = room.enter(peer(1)).await;
        seat.received();
        heavy.push(seat);
    }
    let start = Instant::now();
    let light = room.enter(peer(2)).await;
    let took = start.elapsed();
    assert!(took >= PATIENCE && took < PATIENCE * 5, "{took:?}");
    light.received();
    assert!(told(&heavy[0]).await && !told(&heavy[1]).await);
    let same = timeout(PATIENCE * 3, room.enter(peer(1)));
    assert!(same.await.is_err(), "it holds more than anybody");
    drop(light);
}

/// Bodies of megabytes do not keep a small one waiting, and displace each other when they are slow.
#[tokio::test]
async fn large_bodies_have_a_lane_of_their_own() {
    let room = room(64 * KIB, 1_024 * KIB);
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut seat = room.enter(peer(1)).await;
        seat.grow(300 * KIB).await.unwrap();
        slow.push(seat);
    }
    let start = Instant::now();
    drop(room.enter(peer(1)).await);
    at_once(start);
    sleep(HONEST * 2).await;
    let mut honest = room.enter(peer(1)).await;
    let start = Instant::now();
    honest.grow(300 * KIB).await.unwrap();
    at_once(start);
    assert!(told(&slow[0]).await && !told(&slow[1]).await);
}

/// Whoever asks for more than there is while being the slowest gives way itself.
#[tokio::test]
async fn the_slowest_gives_way_itself() {
    let room = room(64 * KIB, 512 * KIB);
    let mut seat = room.enter(peer(1)).await;
    seat.grow(400 * KIB).await.unwrap();
    sleep(HONEST * 2).await;
    assert_eq!(seat.grow(400 * KIB).await, Err(GaveWay));
    assert_eq!(used(&room), (0, 0));
}
