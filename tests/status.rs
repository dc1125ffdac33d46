use crate::util::{Home, eventually, get};

const ISSUER: &str = "https://oidc.example.com/prod";

/// A home with two keys, and both published into `same`, one of them into `lagging`.
fn published() -> Home {
    let home = Home::new();
    for name in ["a", "b"] {
        home.key_in("keys", name, "ES256");
    }
    for (place, keys) in [("dir:same", "keys"), ("dir:lagging", "keys/a.pub")] {
        let publish = [
            "publish",
            "--no-read-back",
            "--issuer",
            ISSUER,
            "--to",
            place,
            keys,
        ];
        home.irsa(&publish).ok();
    }
    home
}

const SERVE: [&str; 9] = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--issuer",
    ISSUER,
    "--compare-interval",
    "1s",
];

#[test]
fn other_places_are_compared_on_the_page_and_in_the_metrics() {
    let home = published();
    for source in [["--keys", "keys"], ["--from", "dir:same"]] {
        let sinks = [
            "--compare",
            "dir:same,dir:lagging",
            "--compare",
            "dir:nowhere",
        ];
        let server = home.irsa(&[&SERVE[..], &source, &sinks].concat()).start();
        let admin = server.admin();
        let page = eventually("a comparison", || {
            let (_, page) = get(&admin, "/");
            page.contains("Other keys.").then_some(page)
        });
        for part in [
            "The same keys.",
            "only here",
            "there is no keys.json",
            "1 of 1 served",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        let (_, metrics) = get(&admin, "/metrics");
        for (metric, sink, value) in [
            ("agrees", "same", 1),
            ("agrees", "lagging", 0),
            ("readable", "lagging", 1),
            ("readable", "nowhere", 0),
        ] {
            let line =
                format!("irsa_sink_{metric}{{issuer=\"{ISSUER}\",sink=\"dir:{sink}\"}} {value}\n");
            assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
        }
        assert!(!metrics.contains(
            "irsa_sink_agrees{issuer=\"https://oidc.example.com/prod\",sink=\"dir:nowhere\"}"
        ));
        // What lagged has caught up.
        let publish = [
            "publish",
            "--no-read-back",
            "--issuer",
            ISSUER,
            "--to",
            "dir:lagging",
            "keys",
        ];
        home.irsa(&publish).ok();
        eventually("agreement", || {
            let (_, page) = get(&admin, "/");
            (!page.contains("Other keys.")).then_some(())
        });
        drop(server);
        home.irsa(&[
            "publish",
            "--no-read-back",
            "--issuer",
            ISSUER,
            "--to",
            "dir:lagging",
            "--withdraw",
            &kid(&home),
            "keys/a.pub",
        ])
        .ok();
    }
}

/// The kid of the second key.
fn kid(home: &Home) -> String {
    let jwks: serde_json::Value =
        serde_json::from_str(&home.irsa(&["jwks", "keys/b.pub"]).ok().stdout).unwrap();
    jwks["keys"][0]["kid"].as_str().unwrap().to_owned()
}

#[test]
fn a_rotation_and_errors_are_shown_and_the_public_page_says_little() {
    let home = published();
    home.write(
        "rotation.json",
        format!(
            r#"{{"issuer":"{ISSUER}","generation":3,"written":"2026-11-01T00:00:00Z","servers":[],"keys":[{{"kid":"{}",
               "state":"previous","since":"2026-11-01T00:00:00Z","compromised":false,"next":"leaves the JWKS","opens":"2026-11-02T00:00:00Z"}}]}}"#,
            kid(&home)
        ),
    );
    let more = [
        "--keys",
        "keys",
        "--rotation-status",
        "rotation.json,missing.json",
        "--public-status",
    ];
    let server = home.irsa(&[&SERVE[..], &more].concat()).start();
    let (address, admin) = (server.address(), server.admin());
    let page = eventually("the rotation", || {
        let (_, page) = get(&admin, "/");
        page.contains("<svg").then_some(page)
    });
    for part in [
        "leaves the JWKS, not before 2026-11-02 00:00 UTC",
        "<dt>previous</dt>",
        "missing.json",
        "cannot be read: No such file",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    home.write("keys/a.pub", "nonsense");
    eventually("the bad key", || {
        get(&admin, "/")
            .1
            .contains("no PEM block found")
            .then_some(())
    });
    let (_, metrics) = get(&admin, "/metrics");
    assert!(
        metrics.contains("irsa_rotation_gate_timestamp_seconds{"),
        "{metrics}"
    );
    let (head, page) = get(&address, "/status");
    assert!(
        head.starts_with("HTTP/1.1 200")
            && head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    assert!(
        page.contains("1 of 1") && !page.contains("oidc.example.com") && !page.contains("PEM"),
        "{page}"
    );
    let (head, _) = get(&address, "/");
    assert!(
        head.starts_with("HTTP/1.1 404"),
        "the page with details is not public: {head}"
    );
}

#[test]
fn what_nobody_would_see_is_refused() {
    let home = published();
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--issuer",
        ISSUER,
        "--keys",
        "keys",
    ];
    for flags in [["--compare", "public"], ["--rotation-status", "x.json"]] {
        let ran = home.irsa(&[&serve[..], &flags].concat()).code(2);
        assert!(
            ran.stderr
                .contains("shows on the admin port, and there is none"),
            "{}",
            ran.stderr
        );
    }
    let ran = home
        .irsa(&[&serve[..], &["--compare", "ftp://x"]].concat())
        .code(2);
    assert!(ran.stderr.contains("or public"), "{}", ran.stderr);
    let server = home.irsa(&serve).start();
    let (head, _) = get(&server.address(), "/status");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

/// A file that cannot be read is one line of the log, however often it is looked at; and again one when it went bad anew.
#[test]
fn what_is_wrong_with_a_followed_file_is_said_once() {
    let home = published();
    let status = |text: &str| home.write("rotation.json", text);
    let good = r#"{"issuer":"https://h","written":"2026-11-22T10:00:00Z","keys":[]}"#;
    status("nonsense");
    let source = ["--keys", "keys", "--rotation-status", "rotation.json"];
    let compare = ["--compare", "dir:nowhere"];
    let server = home.irsa(&[&SERVE[..], &source, &compare].concat()).start();
    let admin = server.admin();
    let page_has = |text: &'static str| {
        eventually(text, || get(&admin, "/").1.contains(text).then_some(()));
    };
    let lines = |text: &str| server.log().matches(text).count();
    let wrong = "is not what irsa rotate status -o json prints";
    // The page counts the looks.
    page_has(", 3 times");
    assert_eq!(lines(wrong), 1, "{}", server.log());
    assert_eq!(lines("there is no keys.json"), 1, "{}", server.log());
    status(good);
    page_has("https://h<");
    status("{}");
    eventually("the second fault", || (lines(wrong) == 2).then_some(()));
}
