use crate::util::Home;

#[test]
fn the_jwks_is_one_line_and_drops_repetitions() {
    let home = Home::new();
    home.key("a", "ES256");
    let once = home.irsa(&["jwks", "a.pub"]).ok().stdout;
    assert_eq!(once.lines().count(), 1);
    assert_eq!(
        home.irsa(&["jwks", "a.pub", "a.key", "."]).ok().stdout,
        once
    );
    let twice = home
        .irsa(&["jwks", "--as-apiserver", "a.pub", "a.key"])
        .ok()
        .stdout;
    assert_eq!(twice.matches("\"kid\"").count(), 2);
    assert_eq!(
        home.irsa(&["jwks", "-"])
            .stdin(home.read("a.pub"))
            .ok()
            .stdout,
        once
    );
}

#[test]
fn what_is_no_usable_key_is_refused_by_name() {
    let home = Home::new();
    home.key("good", "ES256");
    let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    home.write("mixed.pub", home.read("good.pub") + ed25519);
    let ran = home.irsa(&["jwks", "mixed.pub"]).code(1);
    assert!(
        ran.stderr
            .contains("line 5: the block \"PUBLIC KEY\" is an Ed25519 key"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stdout, "");
    // kube-apiserver skips it without a word, and so does its imitation.
    home.irsa(&["jwks", "--as-apiserver", "mixed.pub"]).ok();
    home.write("empty.pub", "# nothing\n");
    let ran = home.irsa(&["jwks", "empty.pub"]).code(1);
    assert!(ran.stderr.contains("no PEM block found"), "{}", ran.stderr);
    let ran = home.irsa(&["jwks", "--as-apiserver", "empty.pub"]).code(1);
    assert!(
        ran.stderr.contains("kube-apiserver would not start"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_discovery_document_is_kube_apiservers() {
    let home = Home::new();
    home.key("a", "ES256");
    let ran = home
        .irsa(&[
            "discovery",
            "--issuer",
            "https://oidc.example.com/a",
            "a.pub",
        ])
        .ok();
    insta::assert_snapshot!(ran.stdout, @r#"{"issuer":"https://oidc.example.com/a","jwks_uri":"https://oidc.example.com/a/keys.json","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}"#);
}

#[test]
fn an_issuer_with_a_final_slash_is_refused_with_the_reason() {
    let home = Home::new();
    home.key("a", "ES256");
    let args = [
        "discovery",
        "--issuer",
        "https://oidc.example.com/a/",
        "a.pub",
    ];
    insta::assert_snapshot!(home.irsa(&args).code(2).stderr, @r#"
    error: issuer "https://oidc.example.com/a/" ends in a slash
     help: use "https://oidc.example.com/a": tokens, discovery document, --service-account-issuer, IAM provider and trust policies must hold the same string, and one of them usually loses the slash; if the cluster already signs with it, add --allow-trailing-slash
    "#);
    let ran = home
        .irsa(&[&args[..], &["--allow-trailing-slash"]].concat())
        .ok();
    assert!(ran.stdout.contains(r#""issuer":"https://oidc.example.com/a/","jwks_uri":"https://oidc.example.com/a/keys.json""#));
}

/// It is told when the issuer is chosen, and not by the first token that AWS refuses.
#[test]
fn an_issuer_that_aws_does_not_reach_is_told_at_once() {
    let home = Home::new();
    home.key("a", "ES256");
    for (issuer, said) in [
        (
            "https://oidc.corp.internal/a",
            "AWS cannot reach the issuer",
        ),
        ("https://10.0.0.1/a", "AWS cannot reach the issuer"),
        ("https://oidc.example.com:8443/a", "the issuer has a port"),
        ("https://oidc.example.com/a", ""),
        // A trial on this machine.
        ("http://127.0.0.1:8480", ""),
    ] {
        for command in [
            ["discovery", "--issuer", issuer, "a.pub"].as_slice(),
            &[
                "publish",
                "--dry-run",
                "--to",
                "dir:www",
                "--issuer",
                issuer,
                "a.pub",
            ],
        ] {
            let stderr = home.irsa(command).ok().stderr;
            let warned = stderr.contains(&format!("warning: {issuer}: {said}"));
            assert!(
                if said.is_empty() {
                    stderr.is_empty()
                } else {
                    warned
                },
                "{stderr}"
            );
        }
    }
}

#[test]
fn broken_pipes_are_no_error() {
    let home = Home::new();
    home.key("a", "RS256");
    let script = format!(
        "{0} jwks {1} | true; {0} jwks {1} > /dev/full",
        env!("CARGO_BIN_EXE_irsa"),
        home.path("a.pub").display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        stderr.matches("error: ").count(),
        1,
        "only the full disk is one: {stderr}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_key_that_is_given_twice_is_published_once_with_a_word() {
    let home = Home::new();
    home.key("a", "ES256");
    home.write("again.pub", home.read("a.pub"));
    let once = home.irsa(&["jwks", "a.pub"]).ok();
    assert_eq!(once.stderr, "");
    let ran = home.irsa(&["jwks", "a.pub", "again.pub"]).ok();
    assert_eq!(ran.stdout, once.stdout);
    assert_eq!(
        ran.stderr,
        "warning: again.pub:1: the same key again: published once, where kube-apiserver serves it twice\n"
    );
}
