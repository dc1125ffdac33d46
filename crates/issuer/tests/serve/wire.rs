//! HTTP/1.1 byte for byte: nothing confuses where a request ends.

use irsa_issuer::serve::Limits;
use tokio::io::AsyncWriteExt as _;

use super::running::{
    DISCOVERY, DOWN, GET, GET_WITH_LENGTH, JWKS, Running, ask, closed, reply, up,
};

#[tokio::test]
async fn a_document_has_exactly_these_headers() {
    let server = Running::start(Limits::default(), None).await;
    for request in [GET, GET_WITH_LENGTH] {
        let reply = server.ask(request).await;
        assert_eq!(
            reply.head,
            "HTTP/1.1 200 OK\n\
             cache-control: public, max-age=300\n\
             etag: \"9638d11914735d0072002dd4d67c734a\"\n\
             access-control-allow-origin: *\n\
             x-content-type-options: nosniff\n\
             content-type: application/jwk-set+json\n\
             content-length: 11\n\
             date: -\n"
        );
        assert_eq!(reply.body, "{\"keys\":[]}");
    }
    let discovery = server
        .ask(&format!("GET {DISCOVERY} HTTP/1.1\r\nhost: a\r\n\r\n"))
        .await;
    assert_eq!(discovery.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_known_tag_is_304() {
    let server = Running::start(Limits::default(), None).await;
    let etag = server.ask(GET).await.header("etag").unwrap().to_owned();
    for unusual in ["", "content-length: 0\r\n"] {
        for value in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
            let request = format!(
                "GET {JWKS} HTTP/1.1\r\nhost: a\r\n{unusual}If-None-Match: {value}\r\n\r\n"
            );
            let reply = server.ask(&request).await;
            assert_eq!(
                reply.head,
                format!(
                    "HTTP/1.1 304 Not Modified\n\
                     cache-control: public, max-age=300\n\
                     etag: {etag}\n\
                     access-control-allow-origin: *\n\
                     x-content-type-options: nosniff\n\
                     date: -\n"
                ),
                "{request}"
            );
        }
        let two = format!(
            "GET {JWKS} HTTP/1.1\r\nhost: a\r\n{unusual}if-none-match: \"x\"\r\nif-none-match: {etag}\r\n\r\n"
        );
        assert_eq!(server.ask(&two).await.status, 304);
        let other =
            format!("GET {JWKS} HTTP/1.1\r\nhost: a\r\n{unusual}if-none-match: \"x\"\r\n\r\n");
        assert_eq!(server.ask(&other).await.status, 200);
    }
}

#[tokio::test]
async fn what_is_not_a_plain_get_is_answered_by_hyper_on_the_same_connection() {
    let server = Running::start(Limits::default(), None).await;
    let mut io = server.connect().await;
    for (request, status) in [
        (GET, 200),
        ("HEAD /prod/keys.json HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        ("GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        ("OPTIONS /prod/keys.json HTTP/1.1\r\nhost: a\r\n\r\n", 204),
        (
            "POST /prod/keys.json HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
            405,
        ),
        (
            "GET http://other.example/prod/keys.json HTTP/1.1\r\nhost: a\r\n\r\n",
            200,
        ),
        (GET, 200),
    ] {
        let reply = ask(&mut io, request).await;
        assert_eq!(reply.status, status, "{request}");
        assert_eq!(reply.header("location"), None);
    }
    let down = server
        .ask(&format!("GET {DOWN} HTTP/1.1\r\nhost: a\r\n\r\n"))
        .await;
    assert_eq!((down.status, down.header("retry-after")), (503, Some("30")));
    assert_eq!(down.header("cache-control"), Some("no-store"));
    let head = server
        .ask("HEAD /prod/keys.json HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert_eq!(head.header("content-length"), Some("11"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Running::start(Limits::default(), None).await;
    let mut io = server.connect().await;
    let missing = "GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n";
    let all = format!("{GET}{GET}{missing}{GET}{GET_WITH_LENGTH}");
    io.write_all(all.as_bytes()).await.unwrap();
    for status in [200, 200, 404, 200, 200] {
        assert_eq!(reply(&mut io, false).await.status, status);
    }
}

#[tokio::test]
async fn more_pipelined_answers_than_one_write_holds_all_arrive() {
    let server = Running::start(Limits::default(), None).await;
    server
        .site
        .swap(irsa_issuer::serve::Site::new(vec![up(&"k".repeat(20_000))]).unwrap());
    let mut io = server.connect().await;
    let (mut reader, mut writer) = io.split();
    let requests = GET.repeat(50);
    let (sent, ()) = tokio::join!(writer.write_all(requests.as_bytes()), async {
        for _ in 0..50 {
            assert_eq!(reply(&mut reader, false).await.body.len(), 20_000);
        }
    });
    sent.unwrap();
}

#[tokio::test]
async fn a_request_may_arrive_in_any_two_pieces() {
    let server = Running::start(Limits::default(), None).await;
    let mut io = server.connect().await;
    for at in 1..GET.len() {
        let (first, second) = GET.split_at(at);
        io.write_all(first.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(ask(&mut io, second).await.status, 200, "split at {at}");
    }
    assert!(server.metrics.render().contains("status=\"200\""));
}

#[tokio::test]
async fn a_body_is_never_a_request() {
    let server = Running::start(Limits::default(), None).await;
    for framing in [
        format!("content-length: {}\r\n\r\n", GET.len()),
        format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", GET.len()),
    ] {
        let mut io = server.connect().await;
        let request = format!("GET {JWKS} HTTP/1.1\r\nhost: a\r\n{framing}{GET}");
        let first = ask(&mut io, &request).await;
        assert_eq!(
            (first.status, first.header("connection")),
            (200, Some("close"))
        );
        closed(&mut io).await;
        server.await_metric("irsa_connections_open ", 0.0).await;
    }
    let counted = format!(
        "irsa_http_requests_total{{issuer=\"{}\",document=\"jwks\",status=\"200\"}}",
        super::running::ISSUER
    );
    assert!(
        (server.metric(&counted) - 2.0).abs() < 0.1,
        "the bodies were not counted"
    );
}

#[tokio::test]
async fn malformed_and_oversized_heads_are_refused_and_closed() {
    let server = Running::start(Limits::default(), None).await;
    let many = format!(
        "GET {JWKS} HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "y".repeat(6_000)
    );
    assert_eq!(server.ask(&many).await.status, 200, "under the limit");
    let too_many = format!(
        "GET {JWKS} HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "y".repeat(20_000)
    );
    for (request, status) in [
        (too_many.as_str(), 431),
        ("GET /prod/keys.json\r\n\r\n", 400),
        ("GET  /prod/keys.json HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /prod/keys.json HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        ("GET /prod/keys.json HTTP/1.1\r\n\u{1}: a\r\n\r\n", 400),
        (
            "GET /prod/keys.json HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
        ),
    ] {
        let mut io = server.connect().await;
        assert_eq!(ask(&mut io, request).await.status, status, "{request}");
        closed(&mut io).await;
    }
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let server = Running::start(Limits::default(), None).await;
    for fields in [
        "",
        "host: a\r\nhost: a\r\n",
        "host: a\r\nHost: b\r\n",
        "host: a/b\r\n",
        "host: u@a\r\n",
    ] {
        let mut io = server.connect().await;
        let request = format!("GET {JWKS} HTTP/1.1\r\n{fields}\r\n");
        let reply = ask(&mut io, &request).await;
        assert_eq!(reply.status, 400, "{fields:?}");
        assert!(reply.body.contains("RFC 9112"), "{}", reply.body);
        closed(&mut io).await;
        // the body of a refused request is no request either
        let mut io = server.connect().await;
        let length = GET.len();
        let request =
            format!("POST {JWKS} HTTP/1.1\r\n{fields}content-length: {length}\r\n\r\n{GET}");
        assert_eq!(ask(&mut io, &request).await.status, 400, "{fields:?}");
        closed(&mut io).await;
    }
    // The documents do not depend on it.
    for host in ["", "a", "evil.example:1", "[::1]", "127.0.0.1:8443"] {
        let request = format!("GET {JWKS} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(server.ask(&request).await.status, 200, "{host:?}");
    }
}

#[tokio::test]
async fn http_1_0_and_connection_close_end_the_connection() {
    let server = Running::start(Limits::default(), None).await;
    for request in [
        "GET /prod/keys.json HTTP/1.0\r\n\r\n",
        "GET /prod/keys.json HTTP/1.1\r\nhost: a\r\nConnection: close\r\n\r\n",
    ] {
        let mut io = server.connect().await;
        assert_eq!(ask(&mut io, request).await.status, 200);
        closed(&mut io).await;
    }
    let mut io = server.connect().await;
    let kept = "GET /prod/keys.json HTTP/1.1\r\nhost: a\r\nConnection: Keep-Alive\r\n\r\n";
    assert_eq!(ask(&mut io, kept).await.status, 200);
    assert_eq!(ask(&mut io, GET).await.status, 200);
}
