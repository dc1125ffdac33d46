//! `irsa bootstrap` beside `irsa rotate`.

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
