//! The places of key rings and private keys: one suite for all of them. The directory and a double of S3 here; a Secret of
//! a real API server and a bucket of a real store when `tests/e2e/rotation` runs the ignored tests.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, also in its helpers"
)]

mod suite;

use std::path::Path;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_types::SdkConfig;
use irsa_core::change::Expected;
use irsa_core::store_url::S3Location;
use irsa_issuer::publish::s3::{S3Store, client};
use irsa_issuer::state::dir::StateDirectory;
use irsa_issuer::state::keys::{AnyKeys, KeysAtRest};
use irsa_issuer::state::s3::S3Ring;
use irsa_issuer::state::secret::{SecretKeys, SecretRing};
use irsa_issuer::state::{RingStore as _, StateError};
use irsa_testkit::s3::{Quirks, S3Double};

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

#[test]
fn a_directory() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    let store = StateDirectory::lock(&path).unwrap();
    block(suite::rings(&store, async || {
        std::fs::remove_file(path.join("ring.json")).unwrap();
    }));
    block(suite::keys(&AnyKeys::Directory(KeysAtRest::new(
        path.clone(),
    ))));
}

fn bucket(endpoint: &str, key: &str, secret: &str, ca: Option<&Path>, place: &str) -> S3Store {
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            key, secret, None, None, "test",
        )));
    if let Some(ca) = ca {
        let roots = TrustStore::empty().with_pem_certificate(std::fs::read(ca).unwrap());
        let tls = TlsContext::builder()
            .with_trust_store(roots)
            .build()
            .unwrap();
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(tls)
            .build_https();
        config = config.http_client(http);
    }
    let location = S3Location::parse(place).unwrap();
    S3Store::new(client(&config.build(), true), location, None).probed(false)
}

#[test]
fn a_double_of_s3() {
    let double = S3Double::start(Quirks::default());
    double.make_bucket("rings");
    let store = S3Ring::new(bucket(&double.url(), "k", "s", None, "s3://rings/prod"));
    block(suite::rings(&store, async || {
        let other = bucket(&double.url(), "k", "s", None, "s3://rings/prod");
        suite::remove(&other).await;
    }));
    assert!(!store.is_exclusive());
}

#[test]
fn a_save_whose_answer_was_lost_is_done_and_one_that_came_too_late_is_not() {
    let double = S3Double::start(Quirks::default());
    double.make_bucket("rings");
    let store = S3Ring::new(bucket(&double.url(), "k", "s", None, "s3://rings/prod"));
    let first = block(store.save(b"{\"n\":1}", &Expected::Absent)).unwrap();
    double.with_quirks(|quirks| quirks.lost_answer = Some("prod/ring.json".into()));
    let second = block(store.save(b"{\"n\":2}", &Expected::Unchanged(first))).unwrap();
    assert_eq!(
        double.object("rings", "prod/ring.json").unwrap(),
        b"{\"n\":2}"
    );
    double.with_quirks(|quirks| {
        quirks.race = Some(("prod/ring.json".into(), b"{\"n\":3}".to_vec()));
    });
    let late = block(store.save(b"{\"n\":4}", &Expected::Unchanged(second))).unwrap_err();
    assert!(matches!(late, StateError::Conflict(_)), "{late}");
    assert_eq!(
        double.object("rings", "prod/ring.json").unwrap(),
        b"{\"n\":3}"
    );
}

#[test]
fn a_store_that_does_not_compare_keeps_no_ring() {
    let double = S3Double::start(Quirks {
        ignores_conditions: true,
        ..Quirks::default()
    });
    double.make_bucket("rings");
    let store = S3Ring::new(bucket(&double.url(), "k", "s", None, "s3://rings/prod"));
    let refused = block(store.save(b"1", &Expected::Absent)).unwrap_err();
    assert!(
        refused.to_string().contains("ignores If-None-Match"),
        "{refused}"
    );
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

#[test]
#[ignore = "needs SeaweedFS: tests/e2e/rotation runs it"]
fn a_bucket_of_seaweedfs() {
    let open = || {
        bucket(
            &variable("AWS_ENDPOINT_URL"),
            &variable("AWS_ACCESS_KEY_ID"),
            &variable("AWS_SECRET_ACCESS_KEY"),
            Some(Path::new(&variable("IRSA_CA_FILE"))),
            &variable("IRSA_TEST_PLACE"),
        )
    };
    let store = S3Ring::new(open());
    block(suite::rings(&store, async || suite::remove(&open()).await));
}

#[test]
#[ignore = "needs a Kubernetes API server: tests/e2e/rotation runs it"]
fn a_secret_of_a_real_api_server() {
    use k8s_openapi::api::core::v1::Secret;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .unwrap();
    block(async {
        let client = kube::Client::try_default().await.unwrap();
        let store = SecretRing::new(client.clone(), "default", "irsa-suite");
        let api: kube::Api<Secret> = kube::Api::namespaced(client.clone(), "default");
        suite::rings(&store, async || {
            api.delete("irsa-suite", &kube::api::DeleteParams::default())
                .await
                .unwrap();
        })
        .await;
        // One that was made by hand is used, and what else is in it stays.
        let made = serde_json::json!({"metadata": {"name": "irsa-by-hand", "labels": {"team": "a"}}, "stringData": {"note": "keep"}});
        let made: Secret = serde_json::from_value(made).unwrap();
        api.create(&kube::api::PostParams::default(), &made)
            .await
            .unwrap();
        let by_hand = SecretRing::new(client.clone(), "default", "irsa-by-hand");
        by_hand.save(b"1", &Expected::Absent).await.unwrap();
        let found = api.get("irsa-by-hand").await.unwrap();
        assert_eq!(found.metadata.labels.unwrap().get("team").unwrap(), "a");
        assert_eq!(found.data.unwrap().get("note").unwrap().0, b"keep");
        let keys = SecretKeys::new(client, "default", "irsa-suite-keys");
        suite::keys(&AnyKeys::Secret(Box::new(keys))).await;
    });
}
