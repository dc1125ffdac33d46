//! `irsa bootstrap` beside `irsa rotate`.

use irsa_testkit::iam::Provider;
use irsa_testkit::s3::ACCOUNT;
use serde_json::Value;

use crate::bootstrap_setting::{CLUSTER, Setting};

/// `irsa rotate` has published another key and withdrawn the one that this cluster began with.
#[test]
fn keys_that_are_rotated_are_left_to_the_rotation() {
    let rotated = CLUSTER.replace(
        "    generate: keys\n",
        "    generate: keys\n    rotated: true\n",
    );
    let setting = Setting::done(&rotated);
    setting.home.key("next", "ES256");
    let first = setting
        .home
        .irsa(&["keys", "inspect", "keys/sa.pub", "-o", "json"])
        .ok();
    let first: Value = serde_json::from_str(&first.stdout).unwrap();
    let kid = first["blocks"][0]["kid"].as_str().unwrap();
    let publish = [
        "publish",
        "--to",
        "s3://oidc-bucket/prod",
        "next.pub",
        "--withdraw",
        kid,
    ];
    setting.irsa(&publish).ok();
    setting.cloud.take_writes();
    let jwks = || {
        let objects = setting.cloud.objects().into_iter();
        objects
            .filter(|(_, key, _)| key.ends_with("keys.json"))
            .collect::<Vec<_>>()
    };
    let before = jwks();

    setting.bootstrap(&["--check"]).ok();
    setting.bootstrap(&["--yes"]).ok();
    assert_eq!((setting.cloud.take_writes(), jwks()), (0, before.clone()));

    // Roles and the rest still follow the file.
    setting
        .home
        .write("irsa.yaml", rotated.replace("payments/api", "payments/app"));
    setting.bootstrap(&["--check"]).code(3);
    setting.bootstrap(&["--yes"]).ok();
    assert_eq!(jwks(), before);

    // Without the word, nothing is dropped and the word is named.
    setting.home.write("irsa.yaml", CLUSTER);
    let refused = setting.bootstrap(&["--check"]).code(1).stderr;
    assert!(refused.contains("rotated: true"), "{refused}");
    assert_eq!(jwks(), before);
}

/// The key files are those that the cluster began with: of what `irsa rotate` published since they know nothing.
#[test]
fn what_was_published_once_is_not_published_again_from_key_files() {
    let setting = Setting::new(
        "cluster:\n  name: prod\n  issuer: https://oidc.example.com/prod\n  keys:\n    generate: keys\n    \
         algorithm: ES256\n    rotated: true\n  publish:\n    to: dir:www\n    read_back: false\n",
    );
    // The documents stand then, and the AWS of the test reaches no issuer but its own.
    setting.bootstrap(&["--yes"]).code(1);
    setting.bootstrap(&["--check"]).code(3);
    let jwks = setting.home.path("www/keys.json");
    let stands = std::fs::read_to_string(&jwks).unwrap();

    // An entry that irsa does not read is not taken for a reason to say the word that was said.
    let other = stands.replacen(
        '[',
        r#"[{"kty":"OKP","kid":"other","crv":"Ed25519","x":"AA"},"#,
        1,
    );
    std::fs::write(&jwks, &other).unwrap();
    let refused = setting.bootstrap(&["--check"]).code(1).stderr;
    assert!(
        !refused.contains("say rotated: true") && refused.contains("irsa rotate stops at them too"),
        "{refused}"
    );

    // It stands elsewhere than the configuration says now.
    std::fs::write(&jwks, &stands).unwrap();
    let config = setting.home.read("irsa.yaml");
    let moved = "  issuer: https://oidc.example.com/prod\n  jwks_uri: https://oidc.example.com/prod/openid/v1/jwks\n";
    let elsewhere = config.replace("  issuer: https://oidc.example.com/prod\n", moved);
    setting.home.write("irsa.yaml", elsewhere);
    let refused = setting.bootstrap(&["--check"]).code(1).stderr;
    assert!(
        refused.contains("names the JWKS https://oidc.example.com/prod/keys.json")
            && refused.contains(
                "jwks_uri: https://oidc.example.com/prod/keys.json where the configuration"
            ),
        "{refused}"
    );
    setting.home.write("irsa.yaml", config);

    // What stands there is of before, and holds what was withdrawn since: the JWKS is elsewhere now.
    let discovery = setting.home.path("www/.well-known/openid-configuration");
    let named = std::fs::read_to_string(&discovery).unwrap();
    let moved = named.replace("/keys.json", "/openid/v1/jwks");
    std::fs::write(&discovery, &moved).unwrap();
    for more in ["--check", "--yes"] {
        let refused = setting.bootstrap(&[more]).code(1).stderr;
        assert!(
            refused.contains("names the JWKS https://oidc.example.com/prod/openid/v1/jwks"),
            "{refused}"
        );
        assert_eq!(std::fs::read_to_string(&discovery).unwrap(), moved);
    }
    std::fs::write(&discovery, named).unwrap();

    std::fs::remove_file(&jwks).unwrap();
    for more in ["--check", "--yes"] {
        let refused = setting.bootstrap(&[more]).code(1).stderr;
        assert!(
            refused.contains("is not published, and its discovery document is published"),
            "{refused}"
        );
        assert!(!jwks.exists());
    }
}

/// The key files are read for every step, and what is odd about them is said at one.
#[test]
fn what_is_odd_about_a_key_file_is_said_once() {
    let setting = Setting::new(
        "cluster:\n  name: prod\n  issuer: https://oidc.example.com/prod\n  keys:\n    adopt: [twice.pub]\n  \
         publish:\n    to: dir:www\n    read_back: false\n",
    );
    setting.home.key("sa", "ES256");
    setting
        .home
        .write("twice.pub", setting.home.read("sa.pub").repeat(2));
    let said = |stderr: &str| stderr.matches("the same key again").count();
    let checked = setting.bootstrap(&["--check"]).code(3).stderr;
    assert_eq!(said(&checked), 1, "{checked}");
    // The documents stand then, and the AWS of the test reaches no issuer but its own.
    let made = setting.bootstrap(&["--yes"]).code(1).stderr;
    assert_eq!(said(&made), 1, "{made}");
    let again = setting.bootstrap(&["--yes"]).code(1).stderr;
    assert_eq!(said(&again), 1, "{again}");
}

/// A JWKS that is gone leaves a trace in IAM too: the provider that the first run made.
#[test]
fn a_provider_that_exists_shows_that_keys_were_published_once() {
    let setting = Setting::new(
        "cluster:\n  name: prod\n  issuer: https://oidc.example.com/prod\n  keys:\n    adopt: [sa.pub]\n    \
         rotated: true\n  publish:\n    to: dir:www\n    read_back: false\n",
    );
    setting.home.key("sa", "ES256");
    // Of a cluster that does not exist yet the keys are published.
    setting.bootstrap(&["--check"]).code(3);
    let arn = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example.com/prod");
    let provider = Provider {
        url: "https://oidc.example.com/prod".to_owned(),
        client_ids: vec!["sts.amazonaws.com".to_owned()],
        ..Provider::default()
    };
    setting
        .cloud
        .with_iam(|iam| drop(iam.providers.insert(arn, provider)));
    for more in ["--check", "--yes"] {
        let refused = setting.bootstrap(&[more]).code(1).stderr;
        assert!(
            refused.contains("is not published, and its OIDC provider exists"),
            "{refused}"
        );
        assert!(!setting.home.path("www").exists());
    }
    assert_eq!(setting.cloud.take_writes(), 0);
}
