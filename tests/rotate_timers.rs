use crate::util::Home;

#[test]
fn a_period_that_no_rotation_fits_into_is_refused_as_in_the_real_world() {
    let home = Home::new();
    for (more, words) in [
        (&["--period", "1s"][..], "the period is 1s"),
        (
            &["--token-ttl", "8760h", "--period", "25h"],
            "more than 90 keys",
        ),
        (&["--cache", "999999999999h"], "the cache lifetime is"),
    ] {
        let ran = home.irsa(&[&["rotate", "simulate"], more].concat()).code(2);
        assert!(ran.stderr.contains(words), "{more:?}: {}", ran.stderr);
    }
}

#[test]
fn documents_that_outlive_the_wait_for_caches_are_refused() {
    let home = Home::new();
    let words = ["rotate", "--issuer", "https://h/a", "--state", "keys"];
    let run = |more: &[&str]| home.irsa(&[&words[..], more].concat());
    let bucket = ["--to", "s3://bucket/a", "--max-age", "48h"];
    let ran = run(&bucket).code(2);
    assert!(
        ran.stderr.contains("kept for 2d (--max-age)") && ran.stderr.contains("--cache 172800s"),
        "{}",
        ran.stderr
    );
    assert!(!home.path("keys").exists());
    // Nothing says so in a directory.
    let ran = run(&["--to", "dir:www", "--max-age", "48h"]).any();
    assert!(!ran.stderr.contains("--max-age"), "{}", ran.stderr);
}

#[test]
fn the_instants_are_those_of_the_timers_that_runs_had() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let (new, old) = ("B".repeat(42) + "A", "C".repeat(42) + "A");
    let longest = r#"{"public": 60, "cluster": 60}"#;
    let timing = r#"{"now": {"period": 864000, "publish": 3900, "public": 4200, "cluster": 7200, "skew": 300},
        "earlier": [{"timer": "public-drain", "wait": 90000, "until": "2026-01-03T00:30:00Z"}]}"#;
    let ring = format!(
        r#"{{"format": 1, "issuer": "https://h/a", "generation": 7, "written": "2026-01-03T00:00:00Z", "timing": {timing}, "keys": [
        {{"kid": "{new}", "created": "2026-01-02T00:00:00Z", "stage": {{"signing": {{"since": "2026-01-03T00:10:00Z",
            "seen": {{"published": null, "trusted": null}}, "longest": {longest}}}}}}},
        {{"kid": "{old}", "created": "2026-01-01T00:00:00Z", "stage": {{"draining": {{"intent": 5, "quiet_since": "2026-01-03T00:20:00Z",
            "longest": {longest}, "public": "held", "cluster": "held"}}}}}}],
        "tombstones": [], "servers": {{}}, "history": []}}"#
    );
    home.write("keys/ring.json", ring);
    std::fs::set_permissions(home.path("keys"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let status = [
        "rotate",
        "status",
        "--issuer",
        "https://h/a",
        "--state",
        "keys",
    ];
    let own = home.irsa(&status).ok().stdout;
    for words in [
        "2026-01-04T01:20:00Z",
        "2026-01-03T02:20:00Z",
        "2026-01-13T00:10:00Z",
        "note: the public drain was 1d 1h until 2026-01-03T00:30:00Z",
    ] {
        assert!(own.contains(words), "{words}: {own}");
    }
    let given = ["--cluster-token-ttl", "10h", "--period", "240h"];
    let given = home.irsa(&[&status[..], &given].concat()).ok().stdout;
    assert!(given.contains("2026-01-03T10:30:00Z"), "{given}");
}
