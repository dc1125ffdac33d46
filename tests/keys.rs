use std::os::unix::fs::PermissionsExt as _;

use crate::util::Home;

#[test]
fn a_pair_of_every_algorithm_is_made_and_inspected() {
    for (algorithm, label, key) in [
        ("RS256", "RSA PRIVATE KEY", "RSA 2048, RS256"),
        ("ES256", "EC PRIVATE KEY", "EC P-256, ES256"),
        ("ES384", "EC PRIVATE KEY", "EC P-384, ES384"),
        ("ES512", "EC PRIVATE KEY", "EC P-521, ES512"),
    ] {
        let home = Home::new();
        let made = home
            .irsa(&[
                "keys",
                "generate",
                "--out",
                "keys",
                "--algorithm",
                algorithm,
            ])
            .ok();
        let kid = made
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix("kid"))
            .unwrap()
            .trim();
        assert_eq!(kid.len(), 43);
        let permissions = std::fs::metadata(home.path("keys/sa.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(permissions & 0o777, 0o600);
        assert!(
            home.read("keys/sa.key")
                .starts_with(&format!("-----BEGIN {label}-----\n"))
        );
        let inspected = home
            .irsa(&["keys", "inspect", "keys/sa.key", "keys/sa.pub"])
            .ok()
            .stdout;
        assert_eq!(inspected.matches(key).count(), 2, "{inspected}");
        assert_eq!(inspected.matches(kid).count(), 2, "{inspected}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let home = Home::new();
    home.key("sa", "ES256");
    let before = home.read("sa.key");
    let again = home
        .irsa(&["keys", "generate", "--out", ".", "--algorithm", "ES256"])
        .code(1);
    assert!(
        again
            .stderr
            .contains("\"./sa.key\" exists already and is not overwritten"),
        "{}",
        again.stderr
    );
    assert_eq!(home.read("sa.key"), before);
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    let home = Home::new();
    for name in ["../sa", "a/b", "", ".sa", "a\nb"] {
        home.irsa(&["keys", "generate", "--out", ".", "--name", name])
            .code(2);
    }
}

#[test]
fn the_table_of_kube_apiservers_two_readers() {
    let home = Home::new();
    home.key("ec", "ES256");
    let report = home.irsa(&["keys", "inspect", "ec.pub"]).ok().stdout;
    insta::assert_snapshot!(report.replace(kid_of(&report), "[kid]"), @r"
    ec.pub:1  PUBLIC KEY
      is                                  public key (PKIX)
      key                                 EC P-256, ES256
      kid                                 [kid]
      --service-account-key-file          used
      --service-account-signing-key-file  refused: not a private key; no other block will do, so kube-apiserver exits
    ");
    let json = home
        .irsa(&["keys", "inspect", "ec.key", "-o", "json"])
        .ok()
        .stdout;
    assert!(json.contains("\"verdict\": \"used\""), "{json}");
    assert!(!json.contains("PRIVATE KEY-----"));
}

#[test]
fn a_file_without_blocks_is_a_failure_with_a_reason() {
    let home = Home::new();
    home.write("ssh.pub", "ssh-rsa AAAAB3Nza\n");
    let ran = home.irsa(&["keys", "inspect", "ssh.pub"]).code(1);
    assert!(ran.stderr.contains("no PEM block"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(" help: ") && ran.stderr.contains("openssl pkey -in"),
        "{}",
        ran.stderr
    );
    let ran = home.irsa(&["keys", "inspect", "ssh.pub", "-o", "json"]);
    assert!(ran.code(1).stdout.contains("\"blocks\": []"));
    let ran = home.irsa(&["keys", "inspect", "missing"]).code(1);
    assert!(
        ran.stderr.contains("file \"missing\" cannot be read"),
        "{}",
        ran.stderr
    );
}

fn kid_of(report: &str) -> &str {
    report
        .lines()
        .find_map(|line| line.trim().strip_prefix("kid"))
        .unwrap()
        .trim()
}
