//! Certificate files that change while they are served.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use irsa_issuer::serve::{Limits, validate_tls};

use super::running::{ANY_TLS, GET, Running, ask, certified, certify, files, tls};

const SUCCESS: &str = "irsa_reloads_total{what=\"certificate\",result=\"success\"}";
const FAILURE: &str = "irsa_reloads_total{what=\"certificate\",result=\"failure\"}";

fn often() -> Limits {
    Limits {
        certificate_poll: Duration::from_millis(20),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_new_pair_is_served_without_a_restart_and_open_connections_stay() {
    let directory = certified();
    let server = Running::start(often(), Some(directory.path())).await;
    let mut before = tls(server.addr, directory.path(), ANY_TLS, &[])
        .await
        .unwrap();
    assert_eq!(ask(&mut before, GET).await.status, 200);
    certify(directory.path());
    server.await_metric(SUCCESS, 1.0).await;
    // the client trusts only the certificate that is in the file now
    let mut after = tls(server.addr, directory.path(), ANY_TLS, &[])
        .await
        .unwrap();
    assert_eq!(ask(&mut after, GET).await.status, 200);
    assert_eq!(ask(&mut before, GET).await.status, 200);
}

#[tokio::test]
async fn a_bad_pair_keeps_the_last_good_one_and_is_counted_once() {
    let directory = certified();
    let server = Running::start(often(), Some(directory.path())).await;
    let trusted = tempfile::tempdir().unwrap();
    std::fs::copy(
        directory.path().join("tls.crt"),
        trusted.path().join("tls.crt"),
    )
    .unwrap();
    std::fs::write(directory.path().join("tls.crt"), "not a certificate").unwrap();
    server.await_metric(FAILURE, 1.0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.await_metric(FAILURE, 1.0).await;
    let mut io = tls(server.addr, trusted.path(), ANY_TLS, &[])
        .await
        .unwrap();
    assert_eq!(ask(&mut io, GET).await.status, 200);
    certify(directory.path());
    server.await_metric(SUCCESS, 1.0).await;
    tls(server.addr, directory.path(), ANY_TLS, &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_reload_on_request_says_what_is_wrong() {
    let directory = certified();
    let slow = Limits {
        certificate_poll: Duration::from_hours(1),
        ..Limits::default()
    };
    let server = Running::start(slow, Some(directory.path())).await;
    let other = certified();
    std::fs::copy(
        other.path().join("tls.key"),
        directory.path().join("tls.key"),
    )
    .unwrap();
    let error = server.reloader.reload().await.unwrap_err();
    let expected = format!(
        "private key {0}/tls.key does not fit certificate {0}/tls.crt",
        directory.path().display()
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.source().is_some());
    certify(directory.path());
    server.reloader.reload().await.unwrap();
    tls(server.addr, directory.path(), ANY_TLS, &[])
        .await
        .unwrap();
}

#[test]
fn files_are_checked_before_anything_starts() {
    let directory = certified();
    let expires = validate_tls(&files(directory.path())).unwrap();
    assert!(expires > SystemTime::now());
    for (file, content, expected) in [
        (
            "tls.key",
            Some("x"),
            "tls.key does not hold a private key in PEM",
        ),
        (
            "tls.crt",
            Some(""),
            "tls.crt does not hold a certificate in PEM",
        ),
        (
            "tls.crt",
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "tls.crt does not hold a certificate in PEM",
        ),
        ("tls.key", None, "cannot read"),
    ] {
        let directory = certified();
        let path = directory.path().join(file);
        match content {
            Some(content) => std::fs::write(path, content).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let error = validate_tls(&files(directory.path())).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
