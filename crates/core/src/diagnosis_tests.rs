//! A set-up in which everything fits, and ways to break it: each is named, and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Verdict::{Failure, Warning};
use super::facts::*;
use super::*;
use crate::bucket::PublicAccessBlock;
use crate::issuer::{IssuerUrl, TrailingSlash};
use crate::provider::{ProviderArn, ProviderState};
use crate::store_url::S3Location;
use crate::thumbprint::Chain;
use crate::token::Token;
use crate::token::claims::ServiceAccount;
use crate::trust::TrustPolicy;

/// What kube-apiserver 1.36 signed and served; its issuer and the instants are in it.
const ISSUER: &str = "https://localhost:17010/demo";
const NAME: &str = "localhost/demo";
const TOKEN: &str =
    include_str!("../../../keys-example/kube-apiserver-1.36/token.rs256.aud-sts.jwt");
const SA: &str = include_str!("../../../keys-example/kube-apiserver-1.36/sa.pub");
const OTHER: &str = include_str!("../../../keys-example/kube-apiserver-1.36/sa2.pub");
/// A leaf for oidc.example.com and its CA, good until 2076.
const CHAIN: &str = "\
-----BEGIN CERTIFICATE-----
MIIBojCCAUegAwIBAgIUeCXZFAHEGKu9EfclyQJYv28yaM4wCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKRXhhbXBsZSBDQTAgFw0yNjExMjIxMDE1NDJaGA8yMDc2MTEw
OTEwMTU0MlowGzEZMBcGA1UEAwwQb2lkYy5leGFtcGxlLmNvbTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABBcBl9FFJUltlyOAR9WcdSWz/kVLB2/O7TynHJJGxif8
co1sec8HWQ1o2wS5euJ0QahGoPse7x8pSyZSF7N41DOjbTBrMAwGA1UdEwEB/wQC
MAAwGwYDVR0RBBQwEoIQb2lkYy5leGFtcGxlLmNvbTAdBgNVHQ4EFgQUxtp5mKfW
Kq5UvJZ6TilmQCKxJCMwHwYDVR0jBBgwFoAUXHDZ0iw7ITc7LZwVttntvcgjA4Ew
CgYIKoZIzj0EAwIDSQAwRgIhAKMD08X3cZ5rfaMtotR7xUEuprNEoPgY5OI6nBCO
NCyEAiEAyDEdk9MCaYbnZ5VMVwBGjhtja69w1SSZz+9Q9v44k4Y=
-----END CERTIFICATE-----
-----BEGIN CERTIFICATE-----
MIIBgDCCASegAwIBAgIUQ8oXrTnqoG5Vfwky5X57XngCncYwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKRXhhbXBsZSBDQTAgFw0yNjExMjIxMDE1NDJaGA8yMDc2MTEw
OTEwMTU0MlowFTETMBEGA1UEAwwKRXhhbXBsZSBDQTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABLx0X7txqIqaRTc0VDa1HX2fGoDAYEk5aoGpd2H6K1ZNcnk4mOUv
37EeIqT+ZsBg2bl5uFfNgigAKvGtzwAvGBujUzBRMB0GA1UdDgQWBBRccNnSLDsh
NzstnBW22e29yCMDgTAfBgNVHSMEGDAWgBRccNnSLDshNzstnBW22e29yCMDgTAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCICxrI8hN/xVSjxRUxnsm
4JM+Sl69eYZFAf5rV6YvlcIKAiBR/GIhL+ja/U8/nk75KDtbpP2aL3V9UKq5f3dl
G/ItWw==
-----END CERTIFICATE-----
";
const NOW: i64 = 1_795_310_700;
const ROLE: &str = "arn:aws:iam::123456789012:role/app";
const SUBJECT: &str = "system:serviceaccount:demo:app";

fn jwks(pem: &str) -> JwkSet {
    let file = crate::block::KeyFile::parse(pem.as_bytes());
    let keys: Vec<_> = file.apiserver_keys().unwrap();
    JwkSet::from_keys(keys.iter().map(|(_, key)| key))
}

fn look(path: &str, body: &[u8]) -> Look {
    Look {
        url: format!("{ISSUER}/{path}"),
        millis: 20,
        outcome: Ok(Answer {
            status: 200,
            content_type: Some("application/json".into()),
            cache_control: Some("public, max-age=300".into()),
            date: Some(NOW),
            body: body.to_vec(),
            ..Answer::default()
        }),
    }
}

fn discovery_body(issuer: &str) -> Vec<u8> {
    json!({"issuer": issuer, "jwks_uri": format!("{ISSUER}/keys.json"), "id_token_signing_alg_values_supported": ["RS256"]})
        .to_string()
        .into_bytes()
}

fn trust(condition: &Value) -> Result<TrustPolicy, crate::trust::TrustError> {
    TrustPolicy::parse(
        &json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Federated": arn().to_string()}, "Action": crate::trust::ACTION, "Condition": condition,
        }]})
        .to_string(),
    )
}

fn arn() -> ProviderArn {
    ProviderArn::parse(&format!("arn:aws:iam::123456789012:oidc-provider/{NAME}")).unwrap()
}

fn annotations(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = list
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    pairs.collect()
}

fn role(condition: &Value) -> Seen<RoleSeen> {
    Seen::Found(RoleSeen {
        arn: ROLE.into(),
        found: Some(RoleFound {
            arn: ROLE.into(),
            trust: trust(condition),
        }),
    })
}

fn provider(client_ids: &[&str], thumbprints: &[&str]) -> Seen<ProviderSeen> {
    let list = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Seen::Found(ProviderSeen {
        arn: arn(),
        state: Some(ProviderState {
            url: NAME.into(),
            client_ids: list(client_ids),
            thumbprints: list(thumbprints),
            tags: BTreeMap::new(),
        }),
        others: vec![arn()],
    })
}

fn bucket() -> BucketSeen {
    BucketSeen {
        location: S3Location::parse("s3://oidc-bucket/demo").unwrap(),
        existence: Seen::Found(Existence::Ours),
        block: Seen::Found(PublicAccessBlock {
            block_public_acls: true,
            ignore_public_acls: true,
            ..PublicAccessBlock::OPEN
        }),
        account_block: Seen::Unseen(Unseen::not_asked("not asked", "ask")),
        policy: Seen::Found(Some(bucket_policy(&[
            "arn:aws:s3:::oidc-bucket/demo/.well-known/openid-configuration",
            "arn:aws:s3:::oidc-bucket/demo/keys.json",
        ]))),
    }
}

fn bucket_policy(resources: &[&str]) -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resources},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::oidc-bucket/*"],
         "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    ]})
    .to_string()
}

fn chain() -> Chain {
    Chain::from_pem(CHAIN.as_bytes()).unwrap()
}

fn good() -> Value {
    json!({"StringEquals": {format!("{NAME}:aud"): "sts.amazonaws.com", format!("{NAME}:sub"): SUBJECT}})
}

fn healthy() -> Facts {
    Facts {
        issuer: IssuerUrl::parse(ISSUER, TrailingSlash::Allow).unwrap(),
        now: Timestamp::from_second(NOW).unwrap(),
        relying_party: RelyingParty::Other,
        discovery: look(".well-known/openid-configuration", &discovery_body(ISSUER)),
        jwks: Some(look("keys.json", &jwks(SA).to_bytes())),
        hosts: vec![HostSeen {
            host: "localhost:17010".into(),
            serves_keys: true,
            tls: Ok(TlsSeen {
                chain: chain(),
                public_root: true,
                problem: None,
            }),
        }],
        flags: Seen::Found(vec![FlagsSeen {
            file: "kube-apiserver.yaml".into(),
            issuers: vec![ISSUER.into(), "https://old".into()],
            audiences: vec![ISSUER.into()],
            others: Vec::new(),
        }]),
        servers: Seen::Found(vec![ServerSeen {
            url: "https://10.0.0.1:6443".into(),
            discovery: Some(String::from_utf8(discovery_body(ISSUER)).unwrap()),
            jwks: Some(String::from_utf8(jwks(SA).to_bytes()).unwrap()),
        }]),
        tokens: Seen::Found(vec![TokenSeen {
            from: "token".into(),
            token: Token::parse(TOKEN),
        }]),
        provider: provider(&["sts.amazonaws.com"], &[]),
        role: role(&good()),
        bucket: Seen::Found(bucket()),
        account: Seen::Found(AccountSeen {
            account: ServiceAccount::parse("demo/app").unwrap(),
            annotations: Some(annotations(&[("eks.amazonaws.com/role-arn", ROLE)])),
            namespace: BTreeMap::new(),
            prefix: "eks.amazonaws.com".into(),
        }),
        webhook: Seen::Found(WebhookSeen {
            registrations: vec!["pod-identity-webhook".into()],
            problems: Vec::new(),
            pods: Seen::Found(Vec::new()),
        }),
        exchange: Seen::Found(Exchange {
            answer: Ok("arn:aws:sts::123456789012:assumed-role/app/x".into()),
        }),
    }
}

fn named(facts: &Facts) -> Vec<(Verdict, &'static str)> {
    let bad = |check: &Check| check.verdict >= Warning;
    let checks = diagnose(facts).into_iter();
    checks
        .filter(bad)
        .map(|check| (check.verdict, check.id))
        .collect()
}

#[test]
fn a_set_up_in_which_everything_fits_has_no_finding() {
    let checks = diagnose(&healthy());
    let other: Vec<_> = checks
        .iter()
        .filter(|check| check.verdict != Verdict::Ok)
        .collect();
    assert!(other.is_empty(), "{other:#?}");
    assert!(checks.len() >= 20, "{}", checks.len());
}

#[test]
fn with_the_issuer_alone_the_rest_is_unseen() {
    let unseen = || Unseen::not_asked("not given", "--option");
    let facts = Facts {
        flags: Seen::Unseen(unseen()),
        servers: Seen::Unseen(unseen()),
        tokens: Seen::Unseen(unseen()),
        provider: Seen::Unseen(unseen()),
        role: Seen::Unseen(unseen()),
        bucket: Seen::Unseen(unseen()),
        account: Seen::Unseen(unseen()),
        webhook: Seen::Unseen(unseen()),
        exchange: Seen::Unseen(unseen()),
        ..healthy()
    };
    assert_eq!(named(&facts), []);
    let checks = diagnose(&facts);
    let unseen = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Unseen);
    assert_eq!(unseen.count(), 9);
}

type Break = (&'static str, Verdict, &'static str, fn(&mut Facts));

fn answer(look: &mut Look) -> &mut Answer {
    look.outcome.as_mut().unwrap()
}

fn fails(look: &mut Look, kind: NoAnswerKind) {
    let reason = "reason".into();
    look.outcome = Err(NoAnswer { kind, reason });
}

fn found<T>(seen: &mut Seen<T>) -> &mut T {
    match seen {
        Seen::Found(found) => found,
        Seen::Unseen(unseen) => panic!("{unseen:?}"),
    }
}

fn private_ca(facts: &mut Facts) {
    facts.hosts[0].tls.as_mut().unwrap().public_root = false;
}

/// What is broken, how it is named, and how it is done.
const BREAKS: &[Break] = &[
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

#[test]
fn each_cause_is_named_and_nothing_else() {
    for (what, verdict, id, change) in BREAKS {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(named(&facts), [(*verdict, *id)], "{what}");
    }
}

/// What anonymous readers of a closed bucket get.
fn denied(facts: &mut Facts) {
    let answer = answer(&mut facts.discovery);
    (answer.status, answer.body) = (403, b"<Code>AccessDenied</Code>".to_vec());
    facts.jwks = None;
}

fn the(facts: &Facts, id: &str) -> Check {
    let mut found = diagnose(facts).into_iter().filter(|check| check.id == id);
    found.next().unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn the_two_strings_are_shown_with_the_difference() {
    let mut facts = healthy();
    found(&mut facts.flags)[0].issuers[0].push('/');
    let strings = the(&facts, "flags-issuer").strings.unwrap();
    assert_eq!(strings.found, format!("{ISSUER}/"));
    assert_eq!(strings.expected, ISSUER);
    assert_eq!(strings.common, ISSUER.len());
    assert!(strings.difference.contains("slash"), "{strings:?}");
    let mut facts = healthy();
    facts.role = role(&json!({"StringEquals": {format!("{NAME}/:sub"): SUBJECT}}));
    let check = the(&facts, "trust");
    let strings = check.strings.unwrap();
    assert_eq!(
        (strings.found, strings.expected),
        (format!("{NAME}/:sub"), format!("{NAME}:sub"))
    );
    assert!(check.message.contains("statement 1"), "{}", check.message);
    assert!(check.help.unwrap().contains("--service-account demo/app"));
}

#[test]
fn a_thumbprint_is_needed_for_a_private_ca_only() {
    let [leaf, ca] = [0, 1].map(|at| chain().certificates()[at].thumbprint.to_string());
    let zero = "0".repeat(40);
    for (thumbprints, alone, expected) in [
        (vec![], false, Failure),
        (vec![&zero], false, Failure),
        (vec![&leaf], false, Failure),
        (vec![&zero, &ca.to_uppercase()], false, Verdict::Ok),
        // pinned to a certificate that will be renewed
        (vec![&leaf], true, Warning),
    ] {
        let mut facts = healthy();
        private_ca(&mut facts);
        if alone {
            let end = CHAIN.find("-----END").unwrap() + "-----END CERTIFICATE-----".len();
            facts.hosts[0].tls.as_mut().unwrap().chain =
                Chain::from_pem(&CHAIN.as_bytes()[..end]).unwrap();
        }
        let thumbprints: Vec<&str> = thumbprints.into_iter().map(String::as_str).collect();
        facts.provider = provider(&["sts.amazonaws.com"], &thumbprints);
        assert_eq!(
            the(&facts, "thumbprint").verdict,
            expected,
            "{thumbprints:?}"
        );
    }
    let mut facts = healthy();
    private_ca(&mut facts);
    facts.provider = Seen::Unseen(Unseen::not_asked("no credentials", "log in"));
    let check = the(&facts, "thumbprint");
    assert_eq!(check.verdict, Verdict::Unseen);
    assert!(check.message.contains(&ca), "{}", check.message);
}

#[test]
fn aws_reaches_no_loopback_and_documents_no_port() {
    let mut facts = healthy();
    facts.relying_party = RelyingParty::Aws;
    assert_eq!(named(&facts), [(Failure, "issuer-url")]);
    facts.issuer =
        IssuerUrl::parse("https://oidc.example.com:8443/demo", TrailingSlash::Allow).unwrap();
    assert_eq!(the(&facts, "issuer-url").verdict, Warning);
    facts.issuer = IssuerUrl::parse("http://127.0.0.1/demo", TrailingSlash::Allow).unwrap();
    assert_eq!(the(&facts, "issuer-url").verdict, Failure);
}

#[test]
fn what_may_pass_is_told_from_what_does_not() {
    let mut facts = healthy();
    answer(&mut facts.discovery).status = 503;
    facts.jwks = None;
    assert!(the(&facts, "discovery").retryable);
    answer(&mut facts.discovery).status = 404;
    assert!(!the(&facts, "discovery").retryable);
    // A name without address behind a provider is a danger, not a passing thing.
    fails(&mut facts.discovery, NoAnswerKind::Name);
    let check = the(&facts, "discovery");
    assert!(!check.retryable && check.why.unwrap().contains("whoever gets it"));
}

#[test]
fn the_answer_of_sts_is_no_news_beside_its_cause() {
    let mut facts = healthy();
    facts.role = role(&json!({"StringEquals": {format!("{NAME}:sub"): "x"}}));
    let denied = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
    found(&mut facts.exchange).answer = Err(("AccessDenied".into(), denied.into()));
    assert_eq!(named(&facts), [(Failure, "trust")]);
    let check = the(&facts, "sts");
    assert_eq!(check.sts, Some(StsAnswer::Denied));
    assert!(
        check.message.ends_with("because of trust"),
        "{}",
        check.message
    );
}

#[test]
fn a_token_without_claims_is_told_which() {
    let encode = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let text = format!(
        "{}.{}.AA",
        encode(r#"{"alg":"RS256"}"#),
        encode(r#"{"iss":"kubernetes/serviceaccount","sub":"a"}"#)
    );
    let mut facts = healthy();
    found(&mut facts.tokens)[0].token = Token::parse(&text);
    assert_eq!(named(&facts), [(Failure, "token")]);
    let check = the(&facts, "token");
    assert!(check.message.contains("aud, exp, iat"), "{}", check.message);
    assert!(check.help.unwrap().contains("legacy"));
}

#[test]
fn without_a_token_the_service_account_is_judged() {
    let mut facts = healthy();
    facts.tokens = Seen::Unseen(Unseen::not_asked("no token", "--token-file"));
    assert_eq!(named(&facts), []);
    facts.provider = provider(&["openshift"], &[]);
    let ids: Vec<_> = named(&facts).into_iter().map(|(_, id)| id).collect();
    // The audience that pods ask for is no client ID, and the policy names it.
    assert_eq!(ids, ["client-ids", "trust"]);
    facts.account = Seen::Unseen(Unseen::not_asked("no account", "--service-account"));
    assert_eq!(the(&facts, "trust").verdict, Verdict::Unseen);
}
