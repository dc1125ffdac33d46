//! HTTP/2 that obeys the framing and means harm: each flood is ended by the server, and the next client is served.

use irsa_issuer::serve::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::running::{GET, JWKS, PATIENCE, Running};

/// Frame types and flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// More than any server should take of one flood.
const MOST_BYTES: usize = 16 << 20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header that enters no table (RFC 7541, section 6.2.2); both parts are shorter than 127 bytes.
fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// `GET` or `POST` of the JWKS: the first two are entries of the static table.
fn request(method: u8) -> Vec<u8> {
    [
        vec![method, 0x87],
        header(":path", JWKS),
        header(":authority", "a"),
    ]
    .concat()
}

const A_GET: u8 = 0x82;
const A_POST: u8 = 0x83;

/// Odd numbers from here on.
fn streams(from: u32) -> impl Iterator<Item = u32> {
    (from..).step_by(2)
}

/// Sends until the server has had enough: how much it took.
async fn endured(server: &Running, first: Vec<u8>, mut next: impl FnMut() -> Vec<u8>) -> usize {
    let (mut from, mut to) = server.connect().await.into_split();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let opening = [preface, frame(SETTINGS, 0, 0, &[]), first].concat();
    to.write_all(&opening).await.unwrap();
    let send = async move {
        let mut sent = 0;
        while sent < MOST_BYTES {
            let more = next();
            if to.write_all(&more).await.is_err() {
                break;
            }
            sent += more.len();
        }
        (sent, to)
    };
    let read = async move {
        let mut answer = Vec::new();
        // A reset is an end, too.
        drop(from.read_to_end(&mut answer).await);
    };
    let both = async { tokio::join!(send, read).0.0 };
    timeout(PATIENCE, both).await.unwrap_or(usize::MAX)
}

#[tokio::test]
async fn floods_are_ended_and_the_next_client_is_served() {
    let server = Running::start(Limits::default(), None).await;
    let open = END_HEADERS | END_STREAM;
    let half_open = || frame(HEADERS, END_STREAM, 1, &request(A_GET));
    let posted = || frame(HEADERS, END_HEADERS, 1, &request(A_POST));

    let mut numbers = streams(1);
    let rapid_reset = endured(&server, Vec::new(), || {
        let number = numbers.next().unwrap();
        let cancel = frame(RST_STREAM, 0, number, &8_u32.to_be_bytes());
        [frame(HEADERS, open, number, &request(A_GET)), cancel].concat()
    });
    let rapid_reset = rapid_reset.await;
    let more = header("x-a", &"b".repeat(100)).repeat(100);
    let headers = endured(&server, half_open(), || frame(CONTINUATION, 0, 1, &more)).await;
    let nothing = endured(&server, half_open(), || frame(CONTINUATION, 0, 1, &[])).await;
    let empty = endured(&server, posted(), || frame(DATA, 0, 1, &[])).await;
    let body = endured(&server, posted(), || frame(DATA, 0, 1, &[0; 16_000])).await;
    let mut numbers = streams(1);
    let unended = endured(&server, Vec::new(), || {
        frame(
            HEADERS,
            END_HEADERS,
            numbers.next().unwrap(),
            &request(A_POST),
        )
    });
    let unended = unended.await;
    // One large entry in the table, named four thousand times in each request.
    let large = [vec![0x40], header("x-b", &"v".repeat(120))[1..].to_vec()].concat();
    let first = frame(HEADERS, open, 1, &[request(A_GET), large].concat());
    let mut numbers = streams(3);
    let bomb = endured(&server, first, || {
        let names = [request(A_GET), vec![0xbe; 4000]].concat();
        frame(HEADERS, open, numbers.next().unwrap(), &names)
    });
    let bomb = bomb.await;
    for (what, bytes) in [
        ("rapid reset", rapid_reset),
        ("headers without end", headers),
        ("empty CONTINUATION", nothing),
        ("empty DATA", empty),
        ("a body without end", body),
        ("streams that stay open", unended),
        ("an HPACK bomb", bomb),
    ] {
        assert!(bytes < MOST_BYTES, "{what}: {bytes} bytes were taken");
        assert_eq!(server.ask(GET).await.status, 200, "after {what}");
    }
}
