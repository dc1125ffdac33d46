use irsa_testkit::s3::Quirks;
use serde_json::Value;

use crate::publish_s3::{Setting, TARGET};

#[test]
fn many_issuers_at_once_each_at_its_place() {
    let setting = Setting::new(Quirks::default());
    let entry = |at| {
        format!(
            "  - issuer: {}/oidc-bucket/prod/c{at}\n    keys: [a.pub]\n",
            setting.s3.url()
        )
    };
    let entries: Vec<String> = (0..20).map(entry).collect();
    let config = format!("issuers:\n{}", entries.concat());
    setting.home.write("irsa.yaml", &config);
    let all = ["--config", "irsa.yaml", "--create-bucket"];
    let ran = setting.publish(&all).ok();
    assert_eq!(
        ran.stdout
            .matches(": written and read back through the issuer URL")
            .count(),
        20,
        "{}",
        ran.stdout
    );
    assert_eq!(setting.s3.keys("oidc-bucket").len(), 40);
    setting.s3.take_requests();
    setting.publish(&["--config", "irsa.yaml"]).ok();
    assert_eq!(setting.s3.take_requests().len(), 40);

    // One that is bad does not stop the others.
    setting
        .s3
        .put("oidc-bucket", "prod/c7/keys.json", b"<html>");
    setting.s3.put(
        "oidc-bucket",
        "prod/c8/.well-known/openid-configuration",
        b"{}",
    );
    setting.home.key("c", "ES256");
    setting
        .home
        .write("irsa.yaml", config.replace("[a.pub]", "[a.pub, c.pub]"));
    let ran = setting
        .publish(&["--config", "irsa.yaml", "-o", "json"])
        .code(1);
    let run: Value = serde_json::from_str(&ran.stdout).unwrap();
    let failed = run["issuers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| !one["error"].is_null())
        .count();
    assert_eq!(failed, 2, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("2 of 20 issuers were not published"),
        "{}",
        ran.stderr
    );
    setting
        .publish(&["--config", "irsa.yaml", "--check"])
        .code(3);
}

#[test]
fn a_busy_store_is_a_reason_to_come_back() {
    let setting = Setting::created(Quirks::default());
    setting.s3.with_quirks(|quirks| quirks.busy = 1000);
    let ran = setting.publish(&["a.pub", "b.pub"]).code(4);
    assert!(ran.stderr.contains("come back later"), "{}", ran.stderr);
}

#[test]
fn a_replica_follows_the_bucket_and_survives_its_loss() {
    let setting = Setting::created(Quirks::default());
    let issuer = format!("{}/{}", setting.s3.url(), "oidc-bucket/prod");
    let serve = [
        "serve",
        "--from",
        TARGET,
        "--issuer",
        &issuer,
        "--listen",
        "127.0.0.1:0",
        "--reload-interval",
        "200ms",
    ];
    let replica = setting.irsa(&serve).env("IRSA_LOG", "info").start();
    let served = || crate::util::get(&replica.address(), "/oidc-bucket/prod/keys.json").1;
    assert_eq!(served(), setting.jwks());
    setting.publish(&["a.pub", "b.pub"]).ok();
    crate::util::eventually("the new key", || (served() == setting.jwks()).then_some(()));
    setting.s3.with_quirks(|quirks| quirks.busy = usize::MAX);
    replica.wait_for("documents of the store not taken");
    assert_eq!(served(), setting.jwks());
}
