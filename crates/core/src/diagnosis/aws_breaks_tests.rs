//! Ways to break what is behind the issuer: provider, tokens, role, bucket, service account, webhook.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::super::Verdict::{Failure, Warning};
use super::super::facts::*;
use super::healthy::*;
use crate::bucket::PublicAccessBlock;
use crate::issuer::{IssuerUrl, TrailingSlash};
use crate::provider::ProviderArn;
use crate::token::Token;

/// What is broken, how it is named, and how it is done.
pub(super) const BREAKS: &[Break] = &[
    ("no provider", Failure, "provider", |facts| {
        let seen = found(&mut facts.provider);
        (seen.state, seen.others) = (None, Vec::new());
    }),
    ("a provider with a slash", Failure, "provider", |facts| {
        let seen = found(&mut facts.provider);
        seen.state = None;
        seen.others = vec![ProviderArn::parse(&format!("{}/", arn())).unwrap()];
    }),
    ("a provider of another URL", Failure, "provider", |facts| {
        found(&mut facts.provider).state.as_mut().unwrap().url = "localhost/Demo".into();
    }),
    ("another client ID", Failure, "token-audience", |facts| {
        facts.provider = provider(&["openshift"], &[]);
        facts.role = role(
            &json!({"StringEquals": {format!("{NAME}:aud"): "openshift", format!("{NAME}:sub"): SUBJECT}}),
        );
    }),
    (
        "a key that is not published",
        Failure,
        "token-key",
        |facts| {
            answer(facts.jwks.as_mut().unwrap()).body = jwks(OTHER).to_bytes();
        },
    ),
    (
        "a token of another cluster",
        Failure,
        "token-issuer",
        |facts| {
            facts.issuer =
                IssuerUrl::parse("https://localhost:17010/other", TrailingSlash::Allow).unwrap();
            answer(&mut facts.discovery).body = discovery_body("https://localhost:17010/other");
            answer(facts.jwks.as_mut().unwrap()).body = jwks(OTHER).to_bytes();
            found(&mut facts.flags).clear();
            found(&mut facts.servers).clear();
            found(&mut facts.provider).state.as_mut().unwrap().url = "localhost/other".into();
        },
    ),
    ("an old token", Failure, "token-time", |facts| {
        facts.now = Timestamp::from_second(NOW + 7200).unwrap();
        answer(&mut facts.discovery).date = Some(NOW + 7200);
    }),
    ("a token of the future", Failure, "token-time", |facts| {
        facts.now = Timestamp::from_second(NOW - 7200).unwrap();
        answer(&mut facts.discovery).date = Some(NOW - 7200);
    }),
    ("no token", Failure, "token", |facts| {
        found(&mut facts.tokens)[0].token = Token::parse("a.b");
    }),
    ("no role", Failure, "role", |facts| {
        found(&mut facts.role).found = None;
    }),
    ("a role without its path", Failure, "role", |facts| {
        found(&mut facts.role).found.as_mut().unwrap().arn = ROLE.replace("role/", "role/team/");
    }),
    ("another subject", Failure, "trust", |facts| {
        facts.role = role(
            &json!({"StringEquals": {format!("{NAME}:aud"): "sts.amazonaws.com", format!("{NAME}:sub"): "system:serviceaccount:demo:other"}}),
        );
    }),
    ("a slash in a condition key", Failure, "trust", |facts| {
        facts.role = role(&json!({"StringEquals": {format!("{NAME}/:sub"): SUBJECT}}));
    }),
    ("a star that is only a star", Failure, "trust", |facts| {
        facts.role = role(
            &json!({"StringEquals": {format!("{NAME}:aud"): "sts.amazonaws.com", format!("{NAME}:sub"): "system:serviceaccount:demo:*"}}),
        );
    }),
    ("what only AWS knows", Warning, "trust", |facts| {
        facts.role = role(&json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}));
    }),
    (
        "no condition on the audience",
        Warning,
        "trust-policy",
        |facts| {
            facts.role = role(&json!({"StringEquals": {format!("{NAME}:sub"): SUBJECT}}));
        },
    ),
    ("somebody else's bucket", Failure, "bucket", |facts| {
        found(&mut facts.bucket).existence = Seen::Found(Existence::Foreign("123456789012".into()));
    }),
    (
        "Block Public Access of the bucket",
        Failure,
        "bucket-access-block",
        |facts| {
            denied(facts);
            found(&mut facts.bucket).block = Seen::Found(PublicAccessBlock::CLOSED);
        },
    ),
    (
        "Block Public Access of the account, seen",
        Failure,
        "account-access-block",
        |facts| {
            denied(facts);
            found(&mut facts.bucket).account_block = Seen::Found(PublicAccessBlock::CLOSED);
        },
    ),
    (
        "Block Public Access of the account, inferred",
        Failure,
        "account-access-block",
        denied,
    ),
    ("no bucket policy", Failure, "bucket-policy", |facts| {
        denied(facts);
        found(&mut facts.bucket).policy = Seen::Found(None);
    }),
    (
        "a policy of another prefix",
        Failure,
        "bucket-policy",
        |facts| {
            denied(facts);
            found(&mut facts.bucket).policy =
                Seen::Found(Some(bucket_policy(&["arn:aws:s3:::oidc-bucket/other/*"])));
        },
    ),
    (
        "a policy that opens everything",
        Warning,
        "bucket-policy",
        |facts| {
            found(&mut facts.bucket).policy =
                Seen::Found(Some(bucket_policy(&["arn:aws:s3:::oidc-bucket/*"])));
        },
    ),
    ("no service account", Failure, "service-account", |facts| {
        found(&mut facts.account).annotations = None;
    }),
    ("no annotation", Failure, "service-account", |facts| {
        found(&mut facts.account).annotations = Some(BTreeMap::new());
    }),
    (
        "another role in the annotation",
        Failure,
        "service-account",
        |facts| {
            let other = annotations(&[(
                "eks.amazonaws.com/role-arn",
                "arn:aws:iam::123456789012:role/other",
            )]);
            found(&mut facts.account).annotations = Some(other);
        },
    ),
    (
        "an annotation of kube2iam",
        Warning,
        "annotations",
        |facts| {
            found(&mut facts.account).namespace =
                annotations(&[("iam.amazonaws.com/permitted", ".*")]);
        },
    ),
    ("no webhook", Warning, "webhook", |facts| {
        found(&mut facts.webhook).registrations.clear();
    }),
    ("a pod without its role", Warning, "pods", |facts| {
        found(&mut facts.webhook).pods =
            Seen::Found(vec![("demo/a".into(), "fault".into(), "help".into())]);
    }),
    ("STS says what nobody sees", Failure, "sts", |facts| {
        found(&mut facts.exchange).answer = Err(("AccessDenied".into(), "no".into()));
    }),
];
