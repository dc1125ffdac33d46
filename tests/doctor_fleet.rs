use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::doctor_site::check;
use crate::util::Home;

/// A chain for localhost, of a CA of its own.
fn chain(expired: bool) -> Arc<ServerConfig> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    if expired {
        leaf.not_before = date_time_ymd(2020, 1, 1);
        leaf.not_after = date_time_ymd(2021, 1, 1);
    }
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    let sent = vec![leaf.der().clone(), ca.der().clone()];
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(sent, key);
    Arc::new(config.unwrap())
}

/// Several servers behind one name: the first connections meet `first`, one each, and all others meet `last`.
fn fleet(home: &Home, first: Vec<Arc<ServerConfig>>, last: Arc<ServerConfig>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let issuer = format!("https://localhost:{port}");
    home.key("sa", "ES256");
    let discovery = ["discovery", "--issuer", &issuer, "sa.pub"];
    let discovery = home.irsa(&discovery).ok().stdout;
    let keys = home.irsa(&["jwks", "sa.pub"]).ok().stdout;
    thread::spawn(move || {
        let configs = first.into_iter().chain(std::iter::repeat(last));
        for (stream, config) in listener.incoming().zip(configs) {
            // whoever only shakes hands has seen the certificate
            answer(stream.unwrap(), config, &discovery, &keys).ok();
        }
    });
    issuer
}

fn answer(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    discovery: &str,
    keys: &str,
) -> std::io::Result<()> {
    let session = ServerConnection::new(config).unwrap();
    let mut stream = StreamOwned::new(session, stream);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    let asks_discovery = request.starts_with(b"GET /.well-known/openid-configuration ");
    let body = if asks_discovery { discovery } else { keys };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: max-age=60\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn certificates(home: &Home, issuer: &str) -> Vec<String> {
    let args = ["doctor", "--issuer", issuer, "--no-aws", "-o", "json"];
    // That AWS reaches no loopback is a failure of its own.
    let report: Value = serde_json::from_str(&home.irsa(&args).code(1).stdout).unwrap();
    assert_eq!(check(&report, "jwks")["verdict"], "ok", "{report:#}");
    let checks = report["checks"].as_array().unwrap().iter();
    let checks = checks.filter(|check| check["id"] == "certificate");
    checks
        .map(|check| check["verdict"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_certificates_that_are_judged_are_those_that_brought_the_documents() {
    let (good, expired) = (chain(false), chain(true));
    for (first, last, expected) in [
        // What a third connection would meet counts for nothing.
        ([&expired, &expired], &good, &["failure"][..]),
        ([&good, &good], &expired, &["ok"]),
        // The keys' first, then the discovery document's.
        ([&expired, &good], &good, &["ok", "failure"]),
    ] {
        let home = Home::new();
        let first = first.into_iter().cloned().collect();
        let issuer = fleet(&home, first, Arc::clone(last));
        assert_eq!(certificates(&home, &issuer), expected);
    }
}
