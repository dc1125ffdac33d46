//! A set-up in which everything fits, and what it is made of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::facts::*;
use super::super::*;
use crate::bucket::PublicAccessBlock;
use crate::issuer::{IssuerUrl, TrailingSlash};
use crate::provider::{ProviderArn, ProviderState};
use crate::store_url::S3Location;
use crate::thumbprint::Chain;
use crate::token::Token;
use crate::token::claims::ServiceAccount;
use crate::trust::TrustPolicy;

/// What kube-apiserver 1.36 signed and served; its issuer and the instants are in it.
pub(super) const ISSUER: &str = "https://localhost:17010/demo";
pub(super) const NAME: &str = "localhost/demo";
pub(super) const TOKEN: &str =
    include_str!("../../../../keys-example/kube-apiserver-1.36/token.rs256.aud-sts.jwt");
pub(super) const SA: &str = include_str!("../../../../keys-example/kube-apiserver-1.36/sa.pub");
pub(super) const OTHER: &str = include_str!("../../../../keys-example/kube-apiserver-1.36/sa2.pub");
/// A leaf for oidc.example.com and its CA, good until 2076.
pub(super) const CHAIN: &str = "\
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
pub(super) const NOW: i64 = 1_795_310_700;
pub(super) const ROLE: &str = "arn:aws:iam::123456789012:role/app";
pub(super) const SUBJECT: &str = "system:serviceaccount:demo:app";

pub(super) fn jwks(pem: &str) -> JwkSet {
    let file = crate::block::KeyFile::parse(pem.as_bytes());
    let keys: Vec<_> = file.apiserver_keys().unwrap();
    JwkSet::from_keys(keys.iter().map(|(_, key)| key))
}

pub(super) fn look(path: &str, body: &[u8]) -> Look {
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

pub(super) fn discovery_body(issuer: &str) -> Vec<u8> {
    json!({"issuer": issuer, "jwks_uri": format!("{ISSUER}/keys.json"), "id_token_signing_alg_values_supported": ["RS256"]})
        .to_string()
        .into_bytes()
}

pub(super) fn trust(condition: &Value) -> Result<TrustPolicy, crate::trust::TrustError> {
    TrustPolicy::parse(
        &json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Federated": arn().to_string()}, "Action": crate::trust::ACTION, "Condition": condition,
        }]})
        .to_string(),
    )
}

pub(super) fn arn() -> ProviderArn {
    ProviderArn::parse(&format!("arn:aws:iam::123456789012:oidc-provider/{NAME}")).unwrap()
}

pub(super) fn annotations(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = list
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    pairs.collect()
}

pub(super) fn role(condition: &Value) -> Seen<RoleSeen> {
    Seen::Found(RoleSeen {
        arn: ROLE.into(),
        found: Some(RoleFound {
            arn: ROLE.into(),
            trust: trust(condition),
        }),
    })
}

pub(super) fn provider(client_ids: &[&str], thumbprints: &[&str]) -> Seen<ProviderSeen> {
    let list = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Seen::Found(ProviderSeen {
        arn: arn(),
        state: Some(ProviderState {
            url: NAME.into(),
            client_ids: list(client_ids),
            ca_thumbprints: list(thumbprints),
            tags: BTreeMap::new(),
        }),
        others: vec![arn()],
    })
}

pub(super) fn bucket() -> BucketSeen {
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

pub(super) fn bucket_policy(resources: &[&str]) -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resources},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::oidc-bucket/*"],
         "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    ]})
    .to_string()
}

pub(super) fn chain() -> Chain {
    Chain::from_pem(CHAIN.as_bytes()).unwrap()
}

pub(super) fn good() -> Value {
    json!({"StringEquals": {format!("{NAME}:aud"): "sts.amazonaws.com", format!("{NAME}:sub"): SUBJECT}})
}

pub(super) fn healthy() -> Facts {
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

pub(super) fn named(facts: &Facts) -> Vec<(Verdict, &'static str)> {
    let bad = |check: &Check| check.verdict >= Verdict::Warning;
    let checks = diagnose(facts).into_iter();
    checks
        .filter(bad)
        .map(|check| (check.verdict, check.id))
        .collect()
}

/// What is broken, the verdict, the check that names it, and how it is done.
pub(super) type Break = (&'static str, Verdict, &'static str, fn(&mut Facts));

pub(super) fn answer(look: &mut Look) -> &mut Answer {
    look.outcome.as_mut().unwrap()
}

pub(super) fn fails(look: &mut Look, kind: NoAnswerKind) {
    let reason = "reason".into();
    look.outcome = Err(NoAnswer { kind, reason });
}

pub(super) fn found<T>(seen: &mut Seen<T>) -> &mut T {
    match seen {
        Seen::Found(found) => found,
        Seen::Unseen(unseen) => panic!("{unseen:?}"),
    }
}

pub(super) fn private_ca(facts: &mut Facts) {
    facts.hosts[0].tls.as_mut().unwrap().public_root = false;
}

/// What anonymous readers of a closed bucket get.
pub(super) fn denied(facts: &mut Facts) {
    let answer = answer(&mut facts.discovery);
    (answer.status, answer.body) = (403, b"<Code>AccessDenied</Code>".to_vec());
    facts.jwks = None;
}
