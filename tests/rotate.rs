use crate::rotate_timers::{STATUS, ring};
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
    let served = ["--state", "www/keys", "--to", "dir:www"];
    let ran = home.irsa(&[&issuer[..], &served].concat()).code(2);
    assert!(ran.stderr.contains("which is served"), "{}", ran.stderr);
    let bucket = ["--state", "s3://bucket/state", "--to", "dir:www"];
    let ran = home.irsa(&[&issuer[..], &bucket].concat()).code(2);
    assert!(ran.stderr.contains("--private-keys"), "{}", ran.stderr);
    let yes = ["--state", "keys", "--to", "dir:www", "--yes"];
    let ran = home.irsa(&[&issuer[..], &yes].concat()).code(2);
    assert!(ran.stderr.contains("--compromised"), "{}", ran.stderr);
}

/// The kubeconfig of a cluster that is not there.
pub(crate) fn nobody(home: &Home) -> String {
    home.write(
        "kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
         clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n\
         users: [{name: a, user: {}}]\n\
         contexts: [{name: a, context: {cluster: a, user: a}}]\n",
    )
}

/// A run that comes as far as the world, and finds nobody there.
pub(crate) fn lonely<'a>(kubeconfig: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "rotate",
        "--kubeconfig",
        kubeconfig,
        "--server",
        "https://127.0.0.1:1",
        "--timeout",
        "1s",
    ];
    [&words, more].concat()
}

#[test]
fn nothing_that_is_secret_rests_below_what_is_served() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("www/inner")).unwrap();
    std::os::unix::fs::symlink("www/inner", home.path("link")).unwrap();
    std::os::unix::fs::symlink("www", home.path("served")).unwrap();
    let issuer = ["rotate", "--issuer", "https://h/a"];
    for (state, keys, to, what) in [
        ("link/keys", None, "dir:www", "the key ring"),
        ("www/inner/../keys", None, "dir:www", "the key ring"),
        ("www/keys", None, "dir:served", "the key ring"),
        ("ring", Some("link"), "dir:www", "private keys"),
        ("www/ring", Some("keys"), "dir:./www", "the key ring"),
    ] {
        let mut words = vec!["--state", state, "--to", to];
        words.extend(keys.iter().flat_map(|keys| ["--private-keys", keys]));
        let ran = home.irsa(&[&issuer[..], &words].concat()).code(2);
        assert!(
            ran.stderr.contains(&format!("{what} would rest")) && ran.stderr.contains("is served"),
            "{state}: {}",
            ran.stderr
        );
        assert!(!home.path("ring").exists() && !home.path("www/ring").exists());
    }
}

#[test]
fn two_issuers_never_share_a_place_of_private_keys() {
    let home = Home::new();
    let kubeconfig = nobody(&home);
    let of = |issuer: &'static str, state: &'static str| {
        let more = [
            "--issuer",
            issuer,
            "--state",
            state,
            "--private-keys",
            "keys",
            "--to",
            "dir:www",
        ];
        lonely(&kubeconfig, &more)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run = |words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        home.irsa(&words).any()
    };
    // The first one has the place, however far it came.
    run(&of("https://127.0.0.1:1/a", "ring-a"));
    assert_eq!(home.read("keys/issuer"), "https://127.0.0.1:1/a\n");
    let words = of("https://127.0.0.1:1/b", "ring-b");
    for more in [None, Some("--dry-run")] {
        let words: Vec<&str> = words.iter().map(String::as_str).chain(more).collect();
        let ran = home.irsa(&words).code(1);
        assert!(
            ran.stderr.contains("https://127.0.0.1:1/a") && ran.stderr.contains("--private-keys"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(home.read("keys/issuer"), "https://127.0.0.1:1/a\n");
}

#[test]
fn a_lease_outlives_the_last_write_of_its_run() {
    let home = Home::new();
    let kubeconfig = nobody(&home);
    let run = |endpoint: &str, lease: &str| {
        let more = [
            "--issuer",
            "https://127.0.0.1:1/a",
            "--state",
            "ring",
            "--to",
            "s3://bucket/a",
            "--lease",
            lease,
        ];
        let words = lonely(&kubeconfig, &more);
        home.irsa(&words)
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "s")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_MAX_ATTEMPTS", "1")
    };
    let ran = run("https://s3.example.invalid", "19m").code(2);
    assert!(
        ran.stderr.contains("a lease of 19m") && ran.stderr.contains("at least 20m"),
        "{}",
        ran.stderr
    );
    for (endpoint, lease) in [
        ("https://localhost:1", "8s"),
        ("https://[::1]:1", "8s"),
        ("https://127.0.0.1:1", "20m"),
    ] {
        let ran = run(endpoint, lease).any();
        assert!(!ran.stderr.contains("a lease of"), "{}", ran.stderr);
    }
}

#[test]
fn a_dry_run_makes_nothing() {
    let home = Home::new();
    let kubeconfig = nobody(&home);
    let words = [
        "rotate",
        "--issuer",
        "https://h/a",
        "--state",
        "keys",
        "--to",
        "dir:www",
        "--kubeconfig",
        &kubeconfig,
        "--server",
        "https://127.0.0.1:1",
        "--timeout",
        "1s",
    ];
    for more in ["--dry-run", "--check"] {
        home.irsa(&[&words[..], &[more]].concat()).any();
        assert!(
            !home.path("keys").exists() && !home.path("www").exists(),
            "{more}"
        );
    }
}

#[test]
fn only_what_has_a_picture_is_drawn() {
    let home = Home::new();
    let ran = home
        .irsa(&[
            "keys", "generate", "--out", "made", "--name", "a", "-o", "svg",
        ])
        .code(2);
    assert!(ran.stderr.contains("draws no picture"), "{}", ran.stderr);
    assert!(!home.path("made").exists());
}

#[test]
fn the_ring_is_told_as_a_table_a_timeline_and_a_picture() {
    let home = Home::new();
    ring(&home, "");
    let text = home.irsa(&STATUS).ok().stdout;
    for words in [
        "previous",
        "leaves the JWKS",
        "2026-01-04T00:30:00Z",
        "2027-01-03T00:30:00Z",
        "####",
        "====",
        "now",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json = home
        .irsa(&[&STATUS[..], &["-o", "json"]].concat())
        .ok()
        .stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let gates: Vec<&str> = json["gates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gate| gate["opens"].as_str().unwrap())
        .collect();
    assert_eq!(
        gates,
        ["leaves the JWKS", "is replaced", "leaves the API servers"]
    );
    let svg = home
        .irsa(&[&STATUS[..], &["-o", "svg"]].concat())
        .ok()
        .stdout;
    assert!(
        svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"),
        "{svg}"
    );
    assert!(
        svg.contains("leaves the API servers") && svg.contains("CCCCCCCC"),
        "{svg}"
    );
    assert!(!home.path("keys/lock").exists(), "looking locks nothing");
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
