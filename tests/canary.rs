use std::fs;

use irsa_testkit::canary;

use crate::util::Home;

/// Runs every command that touches a private key, with a key whose every spelling is known, as talkatively as it can.
#[test]
fn no_command_shows_a_private_key() {
    let home = Home::new();
    let canary = canary::private_key();
    home.write("sa.key", canary.expose_pem());
    home.write("sa.pub", canary.public_key().to_pem());
    home.write("lax.key", canary.expose_pem());
    home.write("cut.key", canary.expose_pem().get(..150).unwrap());
    home.write("irsa.yaml", canary.expose_pem());
    chmod(&home, "sa.key", 0o600);
    chmod(&home, "cut.key", 0o600);
    let issuer = ["--issuer", "https://oidc.example.com/a"];
    let mint = [
        &["token", "mint", "--key", "sa.key", "--subject", "a/b"],
        &issuer[..],
    ]
    .concat();
    let commands: [&[&str]; 17] = [
        &["keys", "inspect", "sa.key", "cut.key", "sa.pub"],
        &["keys", "inspect", "-o", "json", "sa.key", "cut.key"],
        &["keys", "generate", "--out", ".", "--name", "sa"],
        &["jwks", "sa.key"],
        &["jwks", "--as-apiserver", "sa.key"],
        &["jwks", "cut.key"],
        &[&["discovery"], &issuer[..], &["sa.key"]].concat(),
        &[&["publish", "--to", "dir:public"], &issuer[..], &["sa.key"]].concat(),
        &mint,
        &[
            "token",
            "mint",
            "--key",
            "lax.key",
            "--subject",
            "a/b",
            "--issuer",
            "https://h",
        ],
        &[
            "token",
            "mint",
            "--key",
            "cut.key",
            "--subject",
            "a/b",
            "--issuer",
            "https://h",
        ],
        &[
            "token",
            "verify",
            "--issuer",
            "https://h",
            "--jwks",
            "sa.key",
            "sa.key",
        ],
        &["token", "explain", "sa.key"],
        &["thumbprint", "--pem", "sa.key"],
        &["quickstart", "--once", "--dir", "."],
        &["config", "show", "--config", "irsa.yaml"],
        &[
            "serve",
            "--issuer",
            "https://h",
            "--keys",
            "cut.key",
            "--listen",
            "127.0.0.1:0",
        ],
    ];
    for args in commands {
        let ran = home.irsa(args).env("IRSA_LOG", "trace").any();
        for (stream, text) in [("stdout", ran.stdout), ("stderr", ran.stderr)] {
            assert_eq!(
                canary::found_in(&text),
                None,
                "irsa {} on {stream}",
                args.join(" ")
            );
        }
    }
    for name in [
        "public/keys.json",
        "public/.well-known/openid-configuration",
        "sa.pub",
    ] {
        assert_eq!(
            canary::found_in(&fs::read_to_string(home.path(name)).unwrap()),
            None,
            "{name}"
        );
    }
    // The net catches something: the key file itself.
    assert!(canary::found_in(canary.expose_pem()).is_some());
}

#[test]
fn the_endpoint_shows_no_private_key() {
    let home = Home::new();
    let canary = canary::private_key();
    home.write("sa.key", canary.expose_pem());
    let server = home
        .irsa(&[
            "serve",
            "--keys",
            "sa.key",
            "--listen",
            "127.0.0.1:0",
            "--issuer",
            "https://oidc.example.com/a",
        ])
        .env("IRSA_LOG", "trace")
        .start();
    let (head, body) = crate::util::get(&server.address(), "/a/keys.json");
    server.signal("TERM");
    server.wait_for("SIGTERM");
    for text in [head, body, server.log()] {
        assert_eq!(canary::found_in(&text), None, "irsa serve");
    }
}

fn chmod(home: &Home, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(home.path(name), fs::Permissions::from_mode(mode)).unwrap();
}
