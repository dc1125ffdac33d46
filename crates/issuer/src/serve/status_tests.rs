use std::sync::Arc;
use std::time::SystemTime;

use jiff::SignedDuration;

use super::*;
use crate::serve::{Metrics, ServedIssuer, ServedKey, Site};

const NASTY: &str = "</h3><script>alert(\"1\")</script><img src=x onerror='a'>&";

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

fn issuer(url: &str, documents: Result<(), &str>) -> ServedIssuer {
    ServedIssuer {
        issuer: url.into(),
        documents: documents.map(|()| Vec::new()).map_err(Into::into),
        paths: Vec::new(),
        keys: vec![ServedKey {
            kid: format!("kid of {url}"),
            since: SystemTime::from(now() - hours(49)),
        }],
    }
}

fn show(site: &Site, board: &Board, certificate: Option<Timestamp>) -> String {
    render(&View {
        now: now(),
        site,
        board,
        draining: false,
        certificate,
        looks: Vec::new(),
    })
}

fn look(found: Agreement) -> SinkLook {
    SinkLook {
        issuer: "https://h/a".into(),
        sink: "s3://bucket/a".into(),
        found,
        at: now() - hours(1),
    }
}

#[test]
fn all_is_well_when_nothing_is_wrong() {
    let site = Site::new(vec![issuer("https://h/a", Ok(()))]).unwrap();
    let board = Board::default();
    board.sinks_seen(vec![look(Agreement::Agrees)]);
    let page = show(&site, &board, Some(now() + hours(24 * 60)));
    for part in [
        "All is well.",
        "1 of 1 served",
        "<code>kid of https://h/a</code>, 2 d 1 h old",
        "The same keys.",
        "in 60 d.",
        "None since the start.",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
}

#[test]
fn every_trouble_is_named_at_the_top() {
    let site = Site::new(vec![
        issuer("https://h/a", Ok(())),
        issuer("https://h/b", Err("no usable key")),
    ])
    .unwrap();
    let board = Board::default();
    board.sinks_seen(vec![
        look(Agreement::Differs {
            missing: vec!["ours".into()],
            foreign: vec!["theirs".into()],
        }),
        look(Agreement::Unreadable("access is denied".into())),
    ]);
    board.rotations_seen(vec![Rotation {
        issuer: "https://h/a".into(),
        written: now() - hours(72),
        keys: vec![RotatingKey {
            kid: "kid of https://h/a".into(),
            state: "previous".into(),
            since: None,
            next: "leaves the JWKS".into(),
            opens: Some(now() - hours(30)),
            compromised: false,
        }],
    }]);
    let page = show(&site, &board, Some(now() + hours(24 * 3)));
    for part in [
        "Needs a person:",
        "<li>1 issuer not served</li>",
        "<li>s3://bucket/a of https://h/a holds other keys</li>",
        "<li>s3://bucket/a of https://h/a cannot be read</li>",
        "the rotation of https://h/a is late: &quot;leaves the JWKS&quot; was possible 1 d 6 h ago",
        "<li>the TLS certificate expires in 3 d</li>",
        "Not served: no usable key",
        "<dt>previous</dt>",
        "<dt>only here</dt><dd><code>ours</code></dd>",
        "<dt>only there</dt><dd><code>theirs</code></dd>",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(!page.contains("All is well"));
    let expired = show(&site, &board, Some(now()));
    assert!(expired.contains("the TLS certificate has expired"));
}

#[test]
fn whatever_is_foreign_is_escaped() {
    let site = Site::new(vec![issuer(NASTY, Err(NASTY))]).unwrap();
    let board = Board::default();
    board.problem(now(), NASTY, NASTY);
    let text = NASTY.to_owned();
    board.sinks_seen(vec![
        SinkLook {
            issuer: text.clone(),
            sink: text.clone(),
            found: Agreement::Unreadable(text.clone()),
            at: now(),
        },
        look(Agreement::Differs {
            missing: vec![text.clone()],
            foreign: vec![text.clone()],
        }),
    ]);
    board.rotations_seen(vec![Rotation {
        issuer: text.clone(),
        written: now(),
        keys: vec![RotatingKey {
            kid: text.clone(),
            state: text.clone(),
            since: None,
            next: text.clone(),
            opens: None,
            compromised: true,
        }],
    }]);
    let page = show(&site, &board, None);
    assert!(
        !page.contains("<script") && !page.contains("<img"),
        "{page}"
    );
    assert!(page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn the_style_sheet_is_the_one_that_the_policy_names() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let page = show(&Site::new(Vec::new()).unwrap(), &Board::default(), None);
    let style = page
        .split("<style>")
        .nth(1)
        .unwrap()
        .split("</style>")
        .next()
        .unwrap();
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
    assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{}", *POLICY);
    assert_eq!(page.matches("<style").count(), 1);
    assert!(
        !page.contains(" style=") && !page.contains("<link") && !page.contains("://fonts"),
        "{page}"
    );
}

#[test]
fn the_page_is_bounded_whatever_there_is() {
    let many = (0..5_000).map(|n| issuer(&format!("https://h/{n}"), Ok(())));
    let bad = issuer("https://h/bad", Err("no key"));
    let site = Site::new(many.chain([bad]).collect()).unwrap();
    let board = Board::default();
    for n in 0..1_000 {
        board.problem(now(), &format!("subject {n}"), &"x".repeat(100_000));
    }
    let page = show(&site, &board, None);
    assert!(page.len() < 100_000, "{}", page.len());
    assert!(
        page.contains("4901 more; /metrics has all of them"),
        "{page}"
    );
    assert!(
        page.contains("https://h/bad"),
        "the one with a problem is shown"
    );
}

#[test]
fn the_same_problem_again_is_one_entry_that_counts() {
    let board = Board::default();
    board.problem(now(), "a", "one");
    board.problem(now(), "b", "two");
    board.problem(now() + hours(1), "a", "one");
    let problems = board.problems();
    assert_eq!(problems.len(), 2);
    assert_eq!((problems[0].subject.as_str(), problems[0].times), ("a", 2));
    assert_eq!(problems[0].at, now() + hours(1));
}

#[tokio::test]
async fn the_public_page_names_nothing() {
    use http_body_util::BodyExt as _;
    let site = Arc::new(
        Site::new(vec![
            issuer("https://h/secret-tenant", Ok(())),
            issuer("https://h/b", Err("/etc/keys")),
        ])
        .unwrap(),
    );
    let metrics = Metrics::new();
    metrics.board().problem(now(), "subject", "what happened");
    metrics.certificate_expires(4_000_000_000);
    let answer = public_answer(&site, &metrics, &http::Method::GET);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-security-policy"], POLICY.as_str());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(body.to_vec()).unwrap();
    assert!(
        page.contains("Partly in trouble.") && page.contains("1 of 2"),
        "{page}"
    );
    for secret in [
        "secret-tenant",
        "kid of",
        "/etc/keys",
        "what happened",
        env!("CARGO_PKG_VERSION"),
    ] {
        assert!(!page.contains(secret), "{secret} in {page}");
    }
    // Kept for seconds: another site does not change it at once, and costs nothing.
    let none = Site::new(Vec::new()).unwrap();
    assert_eq!(
        public_answer(&none, &metrics, &http::Method::GET).status(),
        200
    );
    assert_eq!(
        public_answer(&none, &Metrics::new(), &http::Method::GET).status(),
        503
    );
    assert_eq!(
        public_answer(&none, &metrics, &http::Method::POST).status(),
        405
    );
    let head = public_answer(&site, &metrics, &http::Method::HEAD);
    assert_eq!(
        head.headers()["content-length"],
        page.len().to_string().as_str()
    );
    let body = head.into_body().collect().await.unwrap().to_bytes();
    assert!(body.is_empty());
}
