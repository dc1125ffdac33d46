use crate::util::Home;

/// One schedule may have luck: what the real command refuses is not safe.
#[test]
fn timers_that_a_rotation_refuses_are_never_safe() {
    let home = Home::new();
    for more in [
        &["--drain", "8m", "--token-ttl", "5m", "--crash"][..],
        &["--drain", "22h"],
        &["--publish-wait", "22h"],
        &["--drain", "5m", "--crash"],
    ] {
        let words = [&["rotate", "simulate", "--cluster-token-ttl", "48h"], more].concat();
        let ran = home.irsa(&words).code(1);
        assert!(
            ran.stdout
                .contains("REFUSED: irsa rotate does not take these timers: the p"),
            "{more:?}: {}",
            ran.stdout
        );
        assert!(
            !ran.stdout.contains("safe: no valid"),
            "{more:?}: {}",
            ran.stdout
        );
        let json = home.irsa(&[&words[..], &["-o", "json"]].concat()).code(1);
        let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(value["safe"], false);
        assert!(value["refused"].is_string());
    }
    let words = [
        "rotate",
        "simulate",
        "--drain",
        "8m",
        "--cluster-token-ttl",
        "48h",
    ];
    let ran = home.irsa(&words).code(1);
    assert!(
        ran.stdout.contains("publish wait 1d 5m")
            && ran
                .stdout
                .contains("leave room for 4m between two clocks; here clocks may differ by 5m"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_reader_that_has_seen_enough_changes_no_exit_code() {
    let home = Home::new();
    // The reader is gone before anything is written.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_irsa"))
        .args([
            "rotate",
            "simulate",
            "--drain",
            "3h",
            "--cluster-token-ttl",
            "48h",
        ])
        .current_dir(home.path("."))
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.stderr.is_empty());
}
