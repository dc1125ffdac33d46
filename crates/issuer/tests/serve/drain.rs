//! Shutting down: what was asked is answered, nothing new is taken, and it ends in time.

use std::time::Duration;

use irsa_issuer::serve::Limits;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::protocols::{ask_h2, h2};
use super::running::{GET, Running, ask, closed, reply};

#[tokio::test]
async fn a_half_sent_request_is_answered_and_newcomers_are_refused() {
    let mut server = Running::start(Limits::default(), None).await;
    let mut fresh = server.connect().await;
    let mut used = server.connect().await;
    let mut idle = server.connect().await;
    assert_eq!(ask(&mut used, GET).await.status, 200);
    assert_eq!(ask(&mut idle, GET).await.status, 200);
    let (first, second) = GET.split_at(20);
    fresh.write_all(first.as_bytes()).await.unwrap();
    used.write_all(first.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    server.stop.take().unwrap().send(()).unwrap();
    closed(&mut idle).await;
    assert!(TcpStream::connect(server.addr).await.is_err());
    let mut probe = TcpStream::connect(server.admin).await.unwrap();
    let ready = ask(
        &mut probe,
        "GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    assert_eq!(
        (ready.status, ready.body.lines().next()),
        (503, Some("shutting down: 1 of 2 issuers up"))
    );
    for mut io in [fresh, used] {
        io.write_all(second.as_bytes()).await.unwrap();
        let last = reply(&mut io, false).await;
        assert_eq!(
            (last.status, last.header("connection")),
            (200, Some("close"))
        );
        closed(&mut io).await;
    }
    drop(probe);
    timeout(Duration::from_secs(2), server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_http_2_connection_is_told_to_go() {
    let mut server = Running::start(Limits::default(), None).await;
    let mut send = h2(server.connect().await).await;
    ask_h2(&mut send, "GET", &[]).await;
    server.stop.take().unwrap().send(()).unwrap();
    timeout(Duration::from_secs(2), server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(send.is_closed() || send.ready().await.is_err());
}

#[tokio::test]
async fn silent_and_endless_clients_do_not_hold_the_server_up() {
    let limits = Limits {
        drain_timeout: Duration::from_millis(1_500),
        ..Limits::default()
    };
    let mut server = Running::start(limits, None).await;
    let _silent = server.connect().await;
    let mut endless = server.connect().await;
    endless.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    server.stop.take().unwrap().send(()).unwrap();
    sleep(Duration::from_millis(1_200)).await;
    server.await_metric("irsa_connections_open ", 1.0).await;
    server.task.await.unwrap().unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn who_was_in_the_queue_at_the_end_is_still_answered() {
    let mut server = Running::start(Limits::default(), None).await;
    server.stop.take().unwrap().send(()).unwrap();
    // on this one-threaded runtime the server has not run since: the kernel queues the connection
    let mut io = std::net::TcpStream::connect(server.addr).unwrap();
    std::io::Write::write_all(&mut io, GET.as_bytes()).unwrap();
    io.set_nonblocking(true).unwrap();
    let last = reply(&mut TcpStream::from_std(io).unwrap(), false).await;
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    timeout(Duration::from_secs(2), server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
