//! HTTP/1.1 and HTTP/2, plain and over TLS 1.2 and 1.3, chosen by ALPN or by preface.

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use irsa_issuer::serve::{Limits, Metrics, Server, ServerConfig, Site, SiteHandle};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::running::{ANY_TLS, GET, JWKS, Running, ask, certified, tls, up};

/// Begins HTTP/2 on a stream that the server expects it on.
pub(crate) async fn h2<T>(io: T) -> SendRequest<Empty<Bytes>>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(io))
        .await
        .unwrap();
    tokio::spawn(connection);
    send
}

pub(crate) async fn ask_h2(
    send: &mut SendRequest<Empty<Bytes>>,
    method: &str,
    headers: &[(&str, &str)],
) -> (Response<()>, Bytes) {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://a{JWKS}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = send
        .send_request(request.body(Empty::new()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    (
        Response::from_parts(parts, ()),
        body.collect().await.unwrap().to_bytes(),
    )
}

#[tokio::test]
async fn tls_1_2_and_1_3_choose_the_protocol_by_alpn() {
    let directory = certified();
    let server = Running::start(Limits::default(), Some(directory.path())).await;
    for version in [&TLS12, &TLS13] {
        for (alpn, chosen) in [
            (&[b"h2".as_slice(), b"http/1.1"][..], Some(b"h2".as_slice())),
            (&[b"http/1.1"], Some(b"http/1.1")),
            (&[], None),
        ] {
            let io = tls(server.addr, directory.path(), &[version], alpn)
                .await
                .unwrap();
            assert_eq!(io.get_ref().1.alpn_protocol(), chosen);
            assert_eq!(io.get_ref().1.protocol_version(), Some(version.version));
            if chosen == Some(b"h2") {
                let (response, body) = ask_h2(&mut h2(io).await, "GET", &[]).await;
                assert_eq!((response.status(), body.len()), (StatusCode::OK, 11));
                assert_eq!(response.version(), Version::HTTP_2);
            } else {
                let mut io = io;
                assert_eq!(ask(&mut io, GET).await.status, 200);
                assert_eq!(ask(&mut io, GET).await.body, "{\"keys\":[]}");
            }
        }
    }
}

#[tokio::test]
async fn plain_http_2_by_prior_knowledge_answers_as_http_1_1_does() {
    let server = Running::start(Limits::default(), None).await;
    let mut send = h2(server.connect().await).await;
    let (response, body) = ask_h2(&mut send, "GET", &[]).await;
    assert_eq!(body, "{\"keys\":[]}");
    let mut names: Vec<_> = response
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "access-control-allow-origin",
            "cache-control",
            "content-length",
            "content-type",
            "date",
            "etag",
            "x-content-type-options"
        ]
    );
    let etag = response.headers()["etag"].to_str().unwrap().to_owned();
    let (response, body) = ask_h2(&mut send, "GET", &[("if-none-match", &etag)]).await;
    assert_eq!(
        (response.status(), body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    let (response, body) = ask_h2(&mut send, "HEAD", &[]).await;
    assert_eq!((response.status(), body.len()), (StatusCode::OK, 0));
    assert_eq!(response.headers()["content-length"], "11");
    let (response, _) = ask_h2(&mut send, "PUT", &[]).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "GET, HEAD");
}

#[tokio::test]
async fn plain_http_on_a_tls_port_ends_without_disturbing_others() {
    let directory = certified();
    let server = Running::start(Limits::default(), Some(directory.path())).await;
    let mut plain = server.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut plain, GET.as_bytes())
        .await
        .unwrap();
    super::running::closed(&mut plain).await;
    server
        .await_metric("irsa_tls_handshake_failures_total ", 1.0)
        .await;
    let mut io = tls(server.addr, directory.path(), ANY_TLS, &[])
        .await
        .unwrap();
    assert_eq!(ask(&mut io, GET).await.status, 200);
}

#[tokio::test]
async fn both_families_can_be_listened_on_with_one_port() {
    let Ok(free) = std::net::TcpListener::bind("[::1]:0") else {
        return;
    };
    let port = free.local_addr().unwrap().port();
    drop(free);
    let listen = vec![
        format!("0.0.0.0:{port}").parse().unwrap(),
        format!("[::]:{port}").parse().unwrap(),
    ];
    let config = ServerConfig {
        listen,
        admin_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..ServerConfig::default()
    };
    let site = SiteHandle::new(Site::new(vec![up("{}")]).unwrap());
    let bound = Server::bind(config, site.clone(), Metrics::new())
        .await
        .unwrap();
    let _server = Running::run(bound, site, Metrics::new());
    for address in ["127.0.0.1", "[::1]"] {
        let mut io = TcpStream::connect(format!("{address}:{port}"))
            .await
            .unwrap();
        assert_eq!(ask(&mut io, GET).await.status, 200, "{address}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_and_worth_a_retry() {
    use irsa_core::explain::Explain as _;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = ServerConfig {
        listen: vec![address],
        ..ServerConfig::default()
    };
    let site = SiteHandle::new(Site::new(Vec::new()).unwrap());
    let error = Server::bind(config, site, Metrics::new())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
    assert!(error.retryable() && error.help().unwrap().contains("ss -ltnp"));
}
