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

/// What looks at a key ring in `keys`.
pub(crate) const STATUS: [&str; 6] = [
    "rotate",
    "status",
    "--issuer",
    "https://h/a",
    "--state",
    "keys",
];

/// A key ring in `keys`, with these members if any, one key that signs and one that drains: `B…` and `C…`.
pub(crate) fn ring(home: &Home, members: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let (new, old) = ("B".repeat(42) + "A", "C".repeat(42) + "A");
    let longest = r#"{"public": 60, "cluster": 60}"#;
    let members = [members, if members.is_empty() { "" } else { ", " }].concat();
    let ring = format!(
        r#"{{"format": 1, "issuer": "https://h/a", "generation": 7, "written": "2026-01-03T00:00:00Z", {members}"keys": [
        {{"kid": "{new}", "created": "2026-01-02T00:00:00Z", "stage": {{"signing": {{"since": "2026-01-03T00:10:00Z",
            "seen": {{"published": null, "trusted": null}}, "longest": {longest}}}}}}},
        {{"kid": "{old}", "created": "2026-01-01T00:00:00Z", "stage": {{"draining": {{"intent": 5, "quiet_since": "2026-01-03T00:20:00Z",
            "longest": {longest}, "public": "held", "cluster": "held"}}}}}}],
        "tombstones": [], "servers": {{}}, "history": []}}"#
    );
    home.write("keys/ring.json", ring);
    std::fs::set_permissions(home.path("keys"), std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn the_instants_are_those_of_the_timers_that_runs_had() {
    let home = Home::new();
    ring(
        &home,
        r#""timing": {"now": {"period": 864000, "publish": 3900, "public": 4200, "cluster": 7200, "skew": 300},
        "earlier": [{"timer": "public-drain", "wait": 90000, "until": "2026-01-03T00:30:00Z"}]}"#,
    );
    let own = home.irsa(&STATUS).ok().stdout;
    for words in [
        "2026-01-04T01:20:00Z",
        "2026-01-03T02:20:00Z",
        "2026-01-13T00:10:00Z",
        "note: the public drain was 1d 1h until 2026-01-03T00:30:00Z",
    ] {
        assert!(own.contains(words), "{words}: {own}");
    }
    let given = ["--cluster-token-ttl", "10h", "--period", "240h"];
    let given = home.irsa(&[&STATUS[..], &given].concat()).ok().stdout;
    assert!(given.contains("2026-01-03T10:30:00Z"), "{given}");
}

/// Of earlier versions, which saved the wait for what was served as that of the policy, and of this one.
#[test]
fn a_ring_whose_jwks_is_kept_for_a_year_is_shown() {
    let waits = r#""period": 2592000, "public": 87000, "cluster": 87000, "skew": 300"#;
    for (timing, noted) in [
        (r#""publish": 31536300"#, false),
        (r#""publish": 86700, "served": 31536000"#, true),
        (r#""publish": 86700, "served": 300"#, false),
    ] {
        let home = Home::new();
        ring(
            &home,
            &format!(r#""timing": {{"now": {{{waits}, {timing}}}}}"#),
        );
        let shown = home.irsa(&STATUS).ok().stdout;
        let note = "note: the JWKS is served with a max-age of 365d, which is longer than --cache: the publish wait is 365d 5m";
        assert_eq!(shown.contains(note), noted, "{timing}: {shown}");
        assert_eq!(shown.contains("is served"), noted, "{timing}: {shown}");
    }
}

#[test]
fn other_timers_may_be_asked_about_without_all_of_them() {
    let home = Home::new();
    ring(
        &home,
        r#""timing": {"now": {"period": 7776000, "publish": 86700, "public": 87000, "cluster": 87000, "skew": 300}}"#,
    );
    let asked = |more: &[&str]| home.irsa(&[&STATUS[..], more].concat());
    // Nothing was served so.
    let shown = asked(&["--cache", "1h"]).ok().stdout;
    assert!(!shown.contains("note:"), "{shown}");
    assert!(
        shown.contains("2026-04-03T00:10:00Z"),
        "the period that was: {shown}"
    );
    // The period that is left out grows with it, as in a run.
    let shown = asked(&["--cache", "2400h"]).ok().stdout;
    assert!(shown.contains("2026-07-22T00:20:00Z"), "{shown}");
    // What a run would refuse is refused.
    let ran = asked(&["--period", "1h"]).code(2);
    assert!(ran.stderr.contains("the period is 1h"), "{}", ran.stderr);

    // In the world of the ring, not in that of the defaults.
    let home = Home::new();
    ring(
        &home,
        r#""timing": {"now": {"period": 86400, "publish": 3900, "public": 4200, "cluster": 7200, "skew": 300}}"#,
    );
    let shown = home
        .irsa(&[&STATUS[..], &["--period", "12h"]].concat())
        .ok()
        .stdout;
    assert!(shown.contains("2026-01-03T12:10:00Z"), "{shown}");
}
