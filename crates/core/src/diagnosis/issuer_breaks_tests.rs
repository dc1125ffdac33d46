//! Ways to break the issuer: flags, API servers, documents, hosts.

use jiff::Timestamp;
use serde_json::Value;

use super::super::Verdict::{Failure, Warning};
use super::super::facts::*;
use super::healthy::*;

/// What is broken, how it is named, and how it is done.
pub(super) const BREAKS: &[Break] = &[
    ("slash in the flags", Failure, "flags-issuer", |facts| {
        found(&mut facts.flags)[0].issuers[0].push('/');
    }),
    (
        "commas in the flags, and what comes of it",
        Failure,
        "flags-issuer",
        |facts| {
            let joined = format!("{ISSUER},https://old");
            found(&mut facts.flags)[0].issuers = vec![joined.clone()];
            found(&mut facts.servers)[0].discovery =
                Some(String::from_utf8(discovery_body(&joined)).unwrap());
        },
    ),
    (
        "an API server of another issuer",
        Failure,
        "apiserver-issuer",
        |facts| {
            found(&mut facts.servers)[0].discovery =
                Some(String::from_utf8(discovery_body("https://kubernetes.default.svc")).unwrap());
        },
    ),
    (
        "the STS audience in the flags",
        Warning,
        "flags-audiences",
        |facts| {
            found(&mut facts.flags)[0]
                .audiences
                .push("sts.amazonaws.com".into());
        },
    ),
    (
        "a key of the API server that is not published",
        Warning,
        "apiserver-keys",
        |facts| {
            let both = jwks(SA).merge(&jwks(OTHER));
            found(&mut facts.servers)[0].jwks = Some(String::from_utf8(both.to_bytes()).unwrap());
        },
    ),
    (
        "slash in the discovery document",
        Warning,
        "discovery-issuer",
        |facts| {
            answer(&mut facts.discovery).body = discovery_body(&format!("{ISSUER}/"));
        },
    ),
    (
        "another issuer in the discovery document",
        Failure,
        "discovery-issuer",
        |facts| {
            answer(&mut facts.discovery).body = discovery_body("https://localhost:17010/other");
        },
    ),
    ("plain jwks_uri", Failure, "jwks-uri", |facts| {
        let body = String::from_utf8(discovery_body(ISSUER)).unwrap();
        let plain = body.replace(&format!("{ISSUER}/keys.json"), "http://localhost/keys.json");
        answer(&mut facts.discovery).body = plain.into_bytes();
        facts.jwks = None;
    }),
    ("no discovery document", Failure, "discovery", |facts| {
        answer(&mut facts.discovery).status = 404;
        facts.jwks = None;
    }),
    ("a redirect", Failure, "discovery", |facts| {
        answer(&mut facts.discovery).status = 301;
        answer(&mut facts.discovery).location = Some("https://www".into());
        facts.jwks = None;
    }),
    (
        "a page instead of a document",
        Failure,
        "discovery",
        |facts| {
            answer(&mut facts.discovery).body = b"<html>".to_vec();
            facts.jwks = None;
        },
    ),
    ("a host that is gone", Failure, "discovery", |facts| {
        fails(&mut facts.discovery, NoAnswerKind::Name);
        facts.jwks = None;
        facts.hosts[0].tls = Err(Unseen::not_asked("no handshake", ""));
    }),
    ("a host that hangs", Failure, "jwks", |facts| {
        fails(facts.jwks.as_mut().unwrap(), NoAnswerKind::Timeout);
    }),
    ("a bucket that is gone", Failure, "takeover", |facts| {
        answer(&mut facts.discovery).status = 404;
        answer(&mut facts.discovery).body = b"<Code>NoSuchBucket</Code>".to_vec();
        facts.jwks = None;
        found(&mut facts.bucket).existence = Seen::Found(Existence::Missing);
    }),
    ("a slow host", Warning, "latency", |facts| {
        facts.discovery.millis = 4000;
    }),
    (
        "documents that nobody may keep",
        Warning,
        "cache",
        |facts| {
            answer(facts.jwks.as_mut().unwrap()).cache_control = Some("No-Store".into());
        },
    ),
    (
        "documents that are kept for a year",
        Warning,
        "cache",
        |facts| {
            answer(facts.jwks.as_mut().unwrap()).cache_control = Some("max-age=31536000".into());
        },
    ),
    (
        "documents that caches of many keep for a year",
        Warning,
        "cache",
        |facts| {
            answer(facts.jwks.as_mut().unwrap()).cache_control =
                Some("max-age = 300, s-maxage=\"31536000\"".into());
        },
    ),
    ("a private key in public", Failure, "jwks", |facts| {
        answer(facts.jwks.as_mut().unwrap()).body = br#"{"keys":[{"kty":"RSA","d":"x"}]}"#.to_vec();
    }),
    ("no key", Failure, "jwks", |facts| {
        answer(facts.jwks.as_mut().unwrap()).body = br#"{"keys":[]}"#.to_vec();
    }),
    (
        "the doubled key of older guides",
        Warning,
        "jwks-keys",
        |facts| {
            let mut set: Value = serde_json::from_slice(&jwks(SA).to_bytes()).unwrap();
            let mut copy = set["keys"][0].clone();
            copy["kid"] = "".into();
            set["keys"].as_array_mut().unwrap().push(copy);
            answer(facts.jwks.as_mut().unwrap()).body = set.to_string().into_bytes();
        },
    ),
    ("an old certificate", Failure, "certificate", |facts| {
        facts.hosts[0].tls.as_mut().unwrap().problem = Some("it has expired".into());
    }),
    (
        "a certificate that is about to expire",
        Warning,
        "certificate",
        |facts| {
            let end = chain().certificates()[0].not_after;
            facts.now = Timestamp::from_second(end - 3600).unwrap();
            answer(&mut facts.discovery).date = Some(end - 3600);
            found(&mut facts.tokens).clear();
        },
    ),
    (
        "a private CA without thumbprint",
        Failure,
        "thumbprint",
        private_ca,
    ),
    ("a clock that is wrong", Warning, "clock", |facts| {
        facts.now = Timestamp::from_second(NOW + 7200).unwrap();
    }),
];
