use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use irsa_core::block::KeyFile;
use irsa_core::issuer::TrailingSlash;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://oidc.example.com/prod";

fn example(name: &str) -> String {
    std::fs::read_to_string(format!(
        "{}/../../keys-example/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

fn kid(name: &str) -> Kid {
    KeyFile::parse(example(name).as_bytes())
        .apiserver_keys()
        .unwrap()[0]
        .1
        .kid()
}

fn token(issuer: &str, kid: &str) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.AAAA",
        part(json!({"alg": "ES256", "kid": kid})),
        part(json!({"iss": issuer}))
    )
}

fn goal(phase: Phase) -> Goal {
    Goal {
        phase,
        issuer: IssuerUrl::parse(ISSUER, TrailingSlash::Refuse).unwrap(),
        kids: [kid("p256.pub")].into(),
        gone: BTreeSet::new(),
        signing: Some(kid("p256.pub")),
        elsewhere: vec![300.0],
    }
}

fn reached() -> Seen {
    let discovery = json!({"issuer": ISSUER, "jwks_uri": "https://oidc.example.com/prod/keys.json", "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"]});
    Seen {
        started: Some(200.0),
        ready: true,
        discovery: Some(discovery.to_string()),
        jwks: Some(example("p256.jwks.json")),
        token: Some(token(ISSUER, kid("p256.pub").as_str())),
        canary: Some(Review {
            authenticated: true,
            error: None,
        }),
    }
}

#[test]
fn a_server_that_shows_everything_has_arrived() {
    assert_eq!(missing(&goal(Phase::Accept), &reached(), Some(100.0)), None);
    assert_eq!(missing(&goal(Phase::Sign), &reached(), Some(100.0)), None);
    assert_eq!(
        missing(&goal(Phase::Sign), &reached(), None),
        None,
        "nothing was changed"
    );
}

#[test]
fn each_thing_that_is_missing_is_named() {
    let no = Review {
        authenticated: false,
        error: Some("no keys found".to_owned()),
    };
    let cases: [(Seen, &str); 8] = [
        (
            Seen {
                started: Some(100.0),
                ..reached()
            },
            "the old process still runs",
        ),
        (
            Seen {
                started: None,
                ..reached()
            },
            "the old process still runs",
        ),
        (
            Seen {
                ready: false,
                ..reached()
            },
            "it is not ready",
        ),
        (
            Seen {
                jwks: None,
                ..reached()
            },
            "it serves no JWKS",
        ),
        (
            Seen {
                jwks: Some(example("rsa2048.jwks.json")),
                ..reached()
            },
            "its JWKS does not have key",
        ),
        (
            Seen {
                canary: Some(no),
                ..reached()
            },
            "no keys found",
        ),
        (
            Seen {
                discovery: None,
                ..reached()
            },
            "its discovery document says",
        ),
        (
            Seen {
                token: Some(token("https://old", "k")),
                ..reached()
            },
            "issuer \"https://old\" and key k",
        ),
    ];
    for (seen, expected) in cases {
        let found = missing(&goal(Phase::Sign), &seen, Some(100.0))
            .unwrap()
            .to_string();
        assert!(found.contains(expected), "{found}");
    }
    // A load balancer has gone over to another node, which has the new state already.
    let elsewhere = Seen {
        started: Some(300.0),
        ..reached()
    };
    let found = missing(&goal(Phase::Sign), &elsewhere, Some(100.0));
    assert_eq!(found, Some(Missing::Elsewhere));
    let retired = Goal {
        kids: BTreeSet::new(),
        gone: [kid("p256.pub")].into(),
        ..goal(Phase::Retire)
    };
    assert!(matches!(
        missing(&retired, &reached(), Some(100.0)),
        Some(Missing::StillServed(_))
    ));
}

#[test]
fn two_others_must_be_healthy() {
    let health = |states: &[bool]| -> Vec<(String, Result<(), String>)> {
        states
            .iter()
            .map(|well| {
                (
                    "https://x".to_owned(),
                    if *well {
                        Ok(())
                    } else {
                        Err("refused".to_owned())
                    },
                )
            })
            .collect()
    };
    assert_eq!(may_begin(&health(&[true, true]), false), Ok(()));
    assert_eq!(may_begin(&health(&[true, true, false]), false), Ok(()));
    let error = may_begin(&health(&[true, false]), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 other API servers are healthy, 2 are needed while this one restarts; https://x: refused"
    );
    assert!(error.retryable());
    assert_eq!(may_begin(&health(&[]), true), Ok(()));
}

#[test]
fn what_still_signs_is_not_retired() {
    let gone = [kid("p256.pub")].into();
    let issuers = ["https://old".to_owned()];
    assert!(has_stopped_signing("s", &token("https://old", "k"), &issuers, &gone).is_err());
    assert!(
        has_stopped_signing(
            "s",
            &token(ISSUER, kid("p256.pub").as_str()),
            &issuers,
            &gone
        )
        .is_err()
    );
    assert_eq!(
        has_stopped_signing("s", &token(ISSUER, "k"), &issuers, &gone),
        Ok(())
    );
    assert!(has_stopped_signing("s", "", &issuers, &gone).is_err());
}
