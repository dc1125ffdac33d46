//! More silent connections than the server takes: an honest client is served all the same.

use irsa_issuer::serve::Limits;
use tokio::io::AsyncWriteExt as _;

use super::protocols::{ask_h2, h2};
use super::running::{ANY_TLS, GET, Running, ask, certified, tls};

const CAP: u16 = 40;
const SILENT: u16 = 400;

fn capped() -> Limits {
    Limits {
        max_connections: CAP.into(),
        ..Limits::default()
    }
}

#[tokio::test]
async fn hundreds_of_silent_connections_keep_no_plain_client_out() {
    let server = Running::start(capped(), None).await;
    let mut silent = Vec::new();
    let said: [&[u8]; 3] = [b"", b"GET /prod", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    for round in 0..SILENT {
        let mut io = server.connect().await;
        io.write_all(said[usize::from(round) % said.len()])
            .await
            .unwrap();
        silent.push(io);
        if round % 20 == 0 {
            assert_eq!(server.ask(GET).await.status, 200, "round {round}");
            ask_h2(&mut h2(server.connect().await).await, "GET", &[]).await;
        }
    }
    let evicted = server.metric("irsa_connections_ended_total{reason=\"evicted\"}");
    assert!(evicted >= f64::from(SILENT - CAP), "{evicted}");
    server
        .await_metric("irsa_connections_refused_total ", 0.0)
        .await;
    assert!(server.metric("irsa_connections_open ") <= f64::from(CAP));
}

#[tokio::test]
async fn hundreds_without_a_handshake_keep_no_tls_client_out() {
    let directory = certified();
    let server = Running::start(capped(), Some(directory.path())).await;
    let mut silent = Vec::new();
    for round in 0..SILENT {
        silent.push(server.connect().await);
        if round % 40 == 0 {
            let mut io = tls(server.addr, directory.path(), ANY_TLS, &[])
                .await
                .unwrap();
            assert_eq!(ask(&mut io, GET).await.status, 200, "round {round}");
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_now_and_then_outlives_the_flood() {
    let server = Running::start(capped(), None).await;
    let mut honest = server.connect().await;
    let mut silent = Vec::new();
    for round in 0..SILENT {
        silent.push(server.connect().await);
        if round % 10 == 0 {
            // the clock of idleness has to tick between the flood and the question
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            assert_eq!(ask(&mut honest, GET).await.status, 200, "round {round}");
        }
    }
}
