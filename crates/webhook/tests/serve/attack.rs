//! Clients that mean harm, beside API servers that go on being answered: idle HTTP/2 posts, slow headers, large bodies
//! byte by byte, handshakes that never end. They begin again as soon as they are sent away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::running::{Running, eventually, tls_to};
use crate::{GRACE, ROLE, started};

type Body = BoxBody<Bytes, std::convert::Infallible>;

const HONEST: &str = "127.0.0.1";
/// Each with sixty-four posts: together a little more than the usual lane has room for.
const POSTERS: usize = 66;
/// Of each other kind. So many megabytes and more are all that the large lane holds.
const OTHERS: usize = 50;
const REVIEWS: usize = 60;
/// They hold what there is to hold, and do not merely keep the processor busy: this is one process with the webhook.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// From elsewhere, then from the API server's own address, as behind a proxy that everybody goes through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attack_keeps_no_review_out() {
    under_attack("127.0.0.9").await;
    under_attack(HONEST).await;
}

async fn under_attack(from: &'static str) {
    let (_cluster, running, _folder) = started(GRACE).await;
    let target = running.address;
    let quiet = reviews(&running).await;
    let mut attackers = JoinSet::new();
    for _ in 0..POSTERS {
        attackers.spawn(idle_posts(from, target));
    }
    for _ in 0..OTHERS {
        attackers.spawn(byte_by_byte(from, target));
        attackers.spawn(slow_header(from, target));
        attackers.spawn(no_handshake(from, target));
    }
    // Until they hold all that there is to hold.
    let full = Instant::now();
    while given_way(&running).await == 0 {
        assert!(
            full.elapsed() < Duration::from_secs(30),
            "the attack is harmless"
        );
        sleep(Duration::from_millis(100)).await;
    }
    let attacked = reviews(&running).await;
    assert_eq!(attackers.try_join_next().map(|ended| ended.is_ok()), None);
    attackers.shutdown().await;
    let (median, slowest) = (
        attacked.median.as_secs_f64() / quiet.median.as_secs_f64(),
        attacked.slowest,
    );
    #[expect(clippy::print_stdout, reason = "a ratio is for whoever reads the log")]
    {
        println!(
            "attack from {from}: median {:?} became {:?} ({median:.1} times), slowest {slowest:?}, {} requests given way",
            quiet.median,
            attacked.median,
            given_way(&running).await
        );
    }
    // The API server waits for five seconds, by our manifest.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

/// Reviews of accounts that the API server does not speak about, more than there are reads at once: whoever asks from
/// another address has his account read all the same, be it one that the watch has not seen or one that it knows bare.
#[tokio::test]
async fn one_address_keeps_no_other_from_reading_accounts() {
    let (cluster, running, _folder) = started(GRACE).await;
    let (honest, unseen) = (running.identities.accounts.count(), 0..64);
    let bare = 0..64;
    for number in bare.clone() {
        let key = format!("ns/stuck-bare-{number}");
        cluster.put(&key, None);
        cluster.tell("ADDED", &key);
    }
    eventually("the watch", async || {
        running.identities.accounts.count().0 == honest.0 + bare.len()
    })
    .await;
    for (kind, all, account) in [("new", unseen, "ns/new"), ("bare", bare, "ns/bare")] {
        let (asked, sender) = (cluster.reads(), h2("127.0.0.9", running.address).await);
        let (sender, mut attackers) = (sender.unwrap(), JoinSet::new());
        let attacked = Arc::new(AtomicBool::new(false));
        for number in all {
            let mut sender = sender.clone();
            let review = format!(
                r#"{{"request":{{"uid":"u","namespace":"ns","operation":"CREATE","object":{{"spec":{{
                    "serviceAccountName":"stuck-{kind}-{number}","containers":[{{"name":"c"}}]}}}}}}}}"#
            );
            let attacked = Arc::clone(&attacked);
            attackers.spawn(async move {
                // Again: on a busy machine the first may be answered before so many are read.
                while !attacked.load(Ordering::SeqCst) {
                    let body = Full::new(Bytes::from(review.clone())).boxed();
                    if sender.send_request(request(body)).await.is_err() {
                        return;
                    }
                }
            });
        }
        eventually("the attack", async || cluster.reads() >= asked + 16).await;
        attacked.store(true, Ordering::SeqCst);
        cluster.put(account, Some(ROLE));
        let start = Instant::now();
        let role = running.role(account).await;
        assert_eq!(role.as_deref(), Some(ROLE), "{kind}");
        let took = start.elapsed();
        assert!(took < GRACE / 4, "{kind}: {took:?}");
        attackers.shutdown().await;
    }
}

struct Times {
    median: Duration,
    slowest: Duration,
}

/// Reviews over one connection that is kept, and every tenth over a new one. Each must be answered with the role.
async fn reviews(running: &Running) -> Times {
    let review = r#"{"request":{"uid":"u","namespace":"ns","operation":"CREATE",
        "object":{"spec":{"serviceAccountName":"reader","containers":[{"name":"c"}]}}}}"#;
    let mut times = Vec::new();
    let mut kept = h2(HONEST, running.address).await.unwrap();
    for round in 0..REVIEWS {
        let start = Instant::now();
        if round % 10 == 0 {
            let role = running.role("ns/reader").await;
            assert_eq!(role.as_deref(), Some(ROLE), "round {round}");
        } else {
            let body = Full::new(Bytes::from_static(review.as_bytes())).boxed();
            let answer = kept.send_request(request(body)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "round {round}");
            let answer = answer.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(answer.to_vec()).unwrap();
            assert!(text.contains("\"patch\":\""), "round {round}: {text}");
        }
        times.push(start.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    Times {
        median: times[times.len() / 2],
        slowest: times[times.len() - 1],
    }
}

async fn given_way(running: &Running) -> u64 {
    let (_, page) = running.page("/metrics").await;
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("irsa_webhook_requests_given_way_total{"));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum()
}

fn request(body: Body) -> Request<Body> {
    Request::post("https://localhost/mutate")
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

async fn connect(from: &str, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0))?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn h2(from: &str, target: SocketAddr) -> Option<SendRequest<Body>> {
    let stream = tls_to(connect(from, target).await.ok()?, &[b"h2"])
        .await
        .ok()?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .ok()?;
    tokio::spawn(connection);
    Some(sender)
}

/// As many posts as a connection takes, of which no byte comes.
async fn idle_posts(from: &'static str, target: SocketAddr) {
    loop {
        let Some(sender) = h2(from, target).await else {
            sleep(AGAIN_AFTER).await;
            continue;
        };
        let mut posts = JoinSet::new();
        for _ in 0..64 {
            let mut sender = sender.clone();
            posts.spawn(async move {
                let nothing = stream::pending::<Result<Frame<Bytes>, std::convert::Infallible>>();
                while let Ok(answer) = sender
                    .send_request(request(StreamBody::new(nothing.clone()).boxed()))
                    .await
                {
                    drop(answer);
                    sleep(AGAIN_AFTER).await;
                }
            });
        }
        while posts.join_next().await.is_some() {}
    }
}

/// A body of three megabytes: one at once, then byte by byte.
async fn byte_by_byte(from: &'static str, target: SocketAddr) {
    let header = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n";
    loop {
        let sending = async {
            let stream = connect(from, target).await.ok()?;
            let stream = tls_to(stream, &[b"http/1.1"]).await.ok()?;
            let (mut reader, mut writer) = tokio::io::split(stream);
            writer.write_all(header.as_bytes()).await.ok()?;
            writer.write_all(&vec![b' '; 1 << 20]).await.ok()?;
            let mut answer = [0; 1];
            while timeout(Duration::from_millis(20), reader.read(&mut answer))
                .await
                .is_err()
            {
                writer.write_all(b" ").await.ok()?;
                writer.flush().await.ok()?;
            }
            Some(())
        };
        let _ = sending.await;
        sleep(AGAIN_AFTER).await;
    }
}

async fn slow_header(from: &'static str, target: SocketAddr) {
    loop {
        let sending = async {
            let stream = connect(from, target).await.ok()?;
            let mut stream = tls_to(stream, &[b"http/1.1"]).await.ok()?;
            stream
                .write_all(b"POST /mutate HTTP/1.1\r\nx: ")
                .await
                .ok()?;
            loop {
                stream.write_all(b"x").await.ok()?;
                stream.flush().await.ok()?;
                sleep(Duration::from_millis(100)).await;
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            Some(())
        };
        let _: Option<()> = sending.await;
        sleep(AGAIN_AFTER).await;
    }
}

/// The first bytes of a handshake, and nothing after them.
async fn no_handshake(from: &'static str, target: SocketAddr) {
    loop {
        if let Ok(mut stream) = connect(from, target).await {
            drop(stream.write_all(b"\x16\x03\x01\x02\x00\x01").await);
            drop(stream.read(&mut [0; 1]).await);
        }
        sleep(AGAIN_AFTER).await;
    }
}
