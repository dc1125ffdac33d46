//! Every way to hold a connection without asking, on every protocol: each ends by its timeout, not before and not
//! much after.
//!
//! A connection's time begins with the sweep before it. Where a busy machine holds the sweep up it ends the sooner: the
//! handshakes of a test are not on the sweep's thread.

use std::time::Duration;

use irsa_issuer::serve::Site;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

use super::protocols::{ask_h2, h2};
use super::running::{
    ANY_TLS, GET, GET_WITH_LENGTH, Running, ask, certified, closed, short, tls, up,
};

/// The preface and an empty SETTINGS frame: a client that has begun HTTP/2 and wants nothing.
const H2_BEGINS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0irsaping";

/// All at once: one after the other would take the timeout times their number. With each goes an instant from before
/// its timeout began: what a busy machine takes to open the others counts for it.
async fn all_end_in_time<T, S>(connections: Vec<(T, Instant, S)>)
where
    T: AsyncRead + Unpin + Send + 'static,
    S: AsRef<str> + Send + 'static,
{
    let mut waiting = tokio::task::JoinSet::new();
    for (mut io, began, what) in connections {
        waiting.spawn(async move { ends_in_time(&mut io, began, what.as_ref()).await });
    }
    while let Some(ended) = waiting.join_next().await {
        ended.unwrap();
    }
}

/// Not long before its timeout, which the sweep's steps and its goodbye shorten, and not long after the wait for it began.
async fn ends_in_time<T: AsyncRead + Unpin>(io: &mut T, began: Instant, what: &str) {
    let waited = closed(io).await;
    let lived = began.elapsed();
    assert!(lived > Duration::from_millis(150), "{what}: {lived:?}");
    assert!(waited < Duration::from_millis(1_500), "{what}: {waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_connections_that_never_finish_a_request_end() {
    let server = Running::start(short(), None).await;
    let mut opened = Vec::new();
    for said in [
        &b""[..],
        b"GET /prod",
        b"GET /prod/keys.json HTTP/1.1\r\nhost:",
        b"PO",
        b"POST / HTTP/1.1\r\nx: y\r\n",
        b"PRI * HT",
        H2_BEGINS,
    ] {
        let began = Instant::now();
        let mut io = server.connect().await;
        io.write_all(said).await.unwrap();
        opened.push((io, began, String::from_utf8_lossy(said)));
    }
    all_end_in_time(opened).await;
    server
        .await_metric(
            "irsa_connections_ended_total{reason=\"header_timeout\"}",
            7.0,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_connections_that_ask_once_end() {
    let server = Running::start(short(), None).await;
    let mut opened = Vec::new();
    for request in [GET, GET_WITH_LENGTH] {
        for more in ["", "GET /prod"] {
            let mut io = server.connect().await;
            let began = Instant::now();
            assert_eq!(ask(&mut io, request).await.status, 200);
            io.write_all(more.as_bytes()).await.unwrap();
            opened.push((io, began, more));
        }
    }
    all_end_in_time(opened).await;
    server
        .await_metric(
            "irsa_connections_ended_total{reason=\"header_timeout\"}",
            2.0,
        )
        .await;
    server
        .await_metric("irsa_connections_ended_total{reason=\"idle_timeout\"}", 2.0)
        .await;
}

#[tokio::test]
async fn a_byte_now_and_then_buys_no_time() {
    let server = Running::start(short(), None).await;
    let mut io = server.connect().await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_500) {
        if io.write_all(b"x").await.is_err() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(
        began.elapsed() < Duration::from_millis(1_200),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_connections_end_before_and_after_the_handshake() {
    let directory = certified();
    let server = Running::start(short(), Some(directory.path())).await;
    let mut opened = Vec::new();
    for said in [&b""[..], b"\x16\x03\x01\x02"] {
        let began = Instant::now();
        let mut io = server.connect().await;
        io.write_all(said).await.unwrap();
        opened.push((io, began, "no handshake"));
    }
    all_end_in_time(opened).await;
    server
        .await_metric(
            "irsa_connections_ended_total{reason=\"handshake_timeout\"}",
            2.0,
        )
        .await;
    let mut opened = Vec::new();
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let said: &[&[u8]] = if alpn == b"h2" {
            &[b"", H2_BEGINS]
        } else {
            &[b"", b"GET /p"]
        };
        for said in said {
            let began = Instant::now();
            let mut io = tls(server.addr, directory.path(), ANY_TLS, &[alpn])
                .await
                .unwrap();
            io.write_all(said).await.unwrap();
            opened.push((io, began, "after the handshake"));
        }
    }
    all_end_in_time(opened).await;
    server
        .await_metric(
            "irsa_connections_ended_total{reason=\"header_timeout\"}",
            4.0,
        )
        .await;
    let mut io = tls(server.addr, directory.path(), ANY_TLS, &[b"http/1.1"])
        .await
        .unwrap();
    let began = Instant::now();
    assert_eq!(ask(&mut io, GET).await.status, 200);
    ends_in_time(&mut io, began, "idle").await;
}

/// Pings until the server ends the connection.
async fn ping_until_closed<T: AsyncRead + AsyncWrite + Unpin>(io: T) -> Duration {
    let (mut reader, mut writer) = tokio::io::split(io);
    let pings = async {
        while writer.write_all(PING).await.is_ok() && writer.flush().await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        took = closed(&mut reader) => took,
        () = pings => Duration::ZERO,
    }
}

#[tokio::test]
async fn pings_keep_no_http_2_connection_open() {
    let directory = certified();
    let server = Running::start(short(), None).await;
    let mut io = server.connect().await;
    io.write_all(H2_BEGINS).await.unwrap();
    io.write_all(SETTINGS_ACK).await.unwrap();
    let took = ping_until_closed(io).await;
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    server.await_metric("irsa_connections_open ", 0.0).await;

    let server = Running::start(short(), Some(directory.path())).await;
    let mut io = tls(server.addr, directory.path(), ANY_TLS, &[b"h2"])
        .await
        .unwrap();
    io.write_all(H2_BEGINS).await.unwrap();
    let took = ping_until_closed(io).await;
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    server.await_metric("irsa_connections_open ", 0.0).await;
}

#[tokio::test]
async fn an_idle_http_2_connection_is_told_and_ends() {
    let server = Running::start(short(), None).await;
    let mut send = h2(server.connect().await).await;
    ask_h2(&mut send, "GET", &[]).await;
    let began = Instant::now();
    server.await_metric("irsa_connections_open ", 0.0).await;
    assert!(began.elapsed() < Duration::from_millis(1_500));
    server
        .await_metric("irsa_connections_ended_total{reason=\"idle_timeout\"}", 1.0)
        .await;
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_ends() {
    let directory = certified();
    for encrypted in [false, true] {
        let server = Running::start(short(), encrypted.then_some(directory.path())).await;
        server
            .site
            .swap(Site::new(vec![up(&"k".repeat(60_000))]).unwrap());
        let requests = GET.repeat(2_000);
        let timed_out = "irsa_connections_ended_total{reason=\"write_timeout\"}";
        let ended = server.await_metric(timed_out, 1.0);
        if encrypted {
            let mut io = tls(server.addr, directory.path(), ANY_TLS, &[])
                .await
                .unwrap();
            let (_cut_off, ()) = tokio::join!(io.write_all(requests.as_bytes()), ended);
        } else {
            let mut io = server.connect().await;
            let (_cut_off, ()) = tokio::join!(io.write_all(requests.as_bytes()), ended);
        }
        server.await_metric("irsa_connections_open ", 0.0).await;
    }
}

#[tokio::test]
async fn a_client_that_keeps_asking_is_never_timed_out() {
    let server = Running::start(short(), None).await;
    let mut plain = server.connect().await;
    let mut hyper = server.connect().await;
    let mut send = h2(server.connect().await).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_200) {
        assert_eq!(ask(&mut plain, GET).await.status, 200);
        assert_eq!(ask(&mut hyper, GET_WITH_LENGTH).await.status, 200);
        ask_h2(&mut send, "GET", &[]).await;
        sleep(Duration::from_millis(100)).await;
    }
}
