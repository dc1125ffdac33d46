//! Where a rotation keeps things, and what is left of a place that is not the right one.

use crate::rotate::{lonely, nobody};
use crate::rotate_timers::ring;
use crate::util::Home;

/// A run with everything in directories.
const RUN: [&str; 6] = [
    "--issuer",
    "https://h/a",
    "--state",
    "keys",
    "--to",
    "dir:www",
];

#[test]
fn a_place_of_private_keys_that_is_mistyped_is_not_made() {
    let home = Home::new();
    let kubeconfig = nobody(&home);
    let run = |keys| {
        let words = [
            "--issuer",
            "https://h/a",
            "--state",
            "keys",
            "--private-keys",
            keys,
            "--to",
            "dir:www",
        ];
        home.irsa(&lonely(&kubeconfig, &words)).any();
    };
    ring(&home, r#""keys_place": "first""#);
    run("mistyped");
    assert!(!home.path("mistyped").exists());
    // The one that the ring knows is taken, also where only its name is left.
    home.write("right/place", "first\n");
    run("right");
    assert!(home.path("right/issuer").exists());
    assert_eq!(home.read("right/place"), "first\n");
}

#[test]
fn where_the_jwks_stands_is_one_thing_for_every_command_and_not_moved_by_a_rotation() {
    let home = Home::new();
    let kubeconfig = nobody(&home);
    home.irsa(&["keys", "generate", "--out", "k", "--algorithm", "ES256"])
        .ok();
    let issuer = "https://h/a";
    let uri = "https://h/a/openid/v1/jwks";
    let config = format!("issuers:\n  - issuer: {issuer}\n    jwks_uri: {uri}\n    keys: [k]\n");
    home.write("irsa.yaml", config);
    let named = ["--issuer", issuer, "--config", "irsa.yaml"];
    // The file says where the JWKS of an issuer stands, whoever names the issuer.
    let publish = [&["publish", "--to", "dir:www"][..], &named, &["k"]].concat();
    home.irsa(&publish).ok();
    assert!(home.path("www/openid/v1/jwks").exists() && !home.path("www/keys.json").exists());
    let discovery = home.irsa(&[&["discovery"][..], &named, &["k"]].concat());
    assert_eq!(
        discovery.ok().stdout.trim_end(),
        home.read("www/.well-known/openid-configuration")
    );
    // Without the file nobody says so but the discovery document, and that is not written anew.
    let ran = home.irsa(&lonely(&kubeconfig, &RUN)).code(2);
    assert!(
        ran.stderr.contains(&format!("--jwks-uri {uri}")),
        "{}",
        ran.stderr
    );
    let ran = home
        .irsa(&[&lonely(&kubeconfig, &RUN)[..], &["--config", "irsa.yaml"]].concat())
        .any();
    assert!(!ran.stderr.contains("jwks-uri"), "{}", ran.stderr);
}

#[test]
fn what_the_webhook_lacks_is_nothing_to_a_rotation() {
    let home = Home::new();
    let kubeconfig = nobody(&home);
    home.write("irsa.yaml", "webhook: {compose_role_arn: true}\n");
    let file = ["--config", "irsa.yaml"];
    let ran = home
        .irsa(&[&lonely(&kubeconfig, &RUN)[..], &file].concat())
        .any();
    assert!(!ran.stderr.contains("compose"), "{}", ran.stderr);
    let ran = home
        .irsa(
            &[
                &["doctor", "--issuer", "https://h/a", "--no-aws"][..],
                &file,
            ]
            .concat(),
        )
        .any();
    assert!(!ran.stderr.contains("compose"), "{}", ran.stderr);
    // To the webhook itself it is.
    let ran = home
        .irsa(&[&["webhook", "review", "-"][..], &file].concat())
        .code(2);
    assert!(ran.stderr.contains("--account-id ID"), "{}", ran.stderr);
}
