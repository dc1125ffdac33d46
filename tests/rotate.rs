use crate::util::Home;

#[test]
fn default_timers_are_safe_and_the_story_is_told() {
    let home = Home::new();
    let ran = home
        .irsa(&[
            "rotate",
            "simulate",
            "--apiservers",
            "2",
            "--cluster-token-ttl",
            "48h",
        ])
        .ok();
    assert!(ran.stdout.contains("promoted"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("safe: no valid token was refused"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("2 JWKS writes"), "{}", ran.stdout);
}

#[test]
fn short_timers_end_in_a_counter_example() {
    let home = Home::new();
    for (timer, words) in [
        (
            "--publish-wait",
            "a relying party may hold a JWKS without it",
        ),
        (
            "--drain",
            "for an external audience is alive, and its key is not published",
        ),
        (
            "--cluster-drain",
            "for the API server is alive, and API server",
        ),
    ] {
        let arguments = [
            "rotate",
            "simulate",
            "--cluster-token-ttl",
            "48h",
            timer,
            "3h",
        ];
        let ran = home.irsa(&arguments).code(1);
        assert!(
            ran.stdout.contains("UNSAFE: after "),
            "{timer}: {}",
            ran.stdout
        );
        assert!(ran.stdout.contains(words), "{timer}: {}", ran.stdout);
    }
}

#[test]
fn a_seed_tells_the_same_story_to_programs() {
    let home = Home::new();
    let arguments = [
        "rotate",
        "simulate",
        "--crash",
        "--seed",
        "5",
        "--cluster-token-ttl",
        "48h",
        "-o",
        "json",
    ];
    let first = home.irsa(&arguments).ok().stdout;
    assert_eq!(first, home.irsa(&arguments).ok().stdout);
    let value: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(value["safe"], true);
    assert!(value["crashes"].as_u64().unwrap() > 0);
}

#[test]
fn a_rotation_says_what_it_lacks() {
    let home = Home::new();
    let issuer = ["rotate", "--issuer", "https://oidc.example.com/a"];
    let ran = home.irsa(&issuer).code(2);
    assert!(ran.stderr.contains("--state DIR"), "{}", ran.stderr);
    let ran = home
        .irsa(&[&issuer[..], &["--state", "keys"]].concat())
        .code(2);
    assert!(ran.stderr.contains("--to dir:PATH"), "{}", ran.stderr);
    let short = ["--state", "keys", "--to", "dir:www", "--publish-wait", "1h"];
    let ran = home.irsa(&[&issuer[..], &short].concat()).code(2);
    assert!(
        ran.stderr
            .contains("the publish wait is 1h, expected at least 1d 5m"),
        "{}",
        ran.stderr
    );
    let stolen = [
        "--state",
        "keys",
        "--compromised",
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
    ];
    let ran = home.irsa(&[&issuer[..], &stolen].concat()).code(2);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
}

#[test]
fn there_is_nothing_to_look_at_before_the_first_run() {
    let home = Home::new();
    for command in ["status", "history"] {
        let arguments = [
            "rotate",
            command,
            "--issuer",
            "https://h/a",
            "--state",
            "keys",
        ];
        let ran = home.irsa(&arguments).code(2);
        assert!(
            ran.stderr.contains("there is no key ring"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_directory_that_others_may_enter_keeps_no_keys() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    std::fs::create_dir(home.path("keys")).unwrap();
    std::fs::set_permissions(home.path("keys"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let ran = home
        .irsa(&[
            "rotate",
            "--issuer",
            "https://h/a",
            "--state",
            "keys",
            "--to",
            "dir:www",
        ])
        .code(1);
    assert!(ran.stderr.contains("chmod 700 keys"), "{}", ran.stderr);
}
