use crate::util::{Home, get};

#[test]
fn once_goes_through_all_steps_and_a_second_run_finds_the_key() {
    let home = Home::new();
    let ran = home.irsa(&["quickstart", "--once"]).ok();
    for expected in [
        "made: irsa-quickstart/sa.key",
        "accepted: system:serviceaccount:default:demo",
        "refused: its signature",
        "Next:",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}\n{}", ran.stdout);
    }
    let json = home
        .irsa(&["quickstart", "--once", "-o", "json"])
        .ok()
        .stdout;
    assert!(json.contains("found: irsa-quickstart/sa.key"), "{json}");
    assert!(!ran.stdout.contains("--dir"), "{}", ran.stdout);
    let ran = home.irsa(&["quickstart", "--once", "--dir", "q"]).ok();
    assert!(ran.stdout.contains("quickstart --dir q "), "{}", ran.stdout);
}

#[test]
fn it_serves_until_interrupted() {
    let home = Home::new();
    let server = home.irsa(&["quickstart", "--dir", "q"]).start();
    server.wait_for("serving until Ctrl-C");
    server.signal("INT");
    let (stdout, code) = server.finish();
    assert_eq!(code, Some(0));
    // What is typed next leaves its folders beside these.
    assert!(stdout.contains("rotate rehearse --dir q "), "{stdout}");
    assert!(stdout.contains("http://127.0.0.1:"), "{stdout}");
}

#[test]
fn what_it_says_to_type_next_works() {
    let home = Home::new();
    let server = home.irsa(&["quickstart", "--port", "0"]).start();
    server.wait_for("serving until Ctrl-C");
    // Standard output is complete before that line.
    let issuer = {
        let jwks = home.irsa(&["jwks", "irsa-quickstart"]).ok().stdout;
        let port = port_of(&server);
        let (_, body) = get(&format!("127.0.0.1:{port}"), "/keys.json");
        assert_eq!(body + "\n", jwks);
        format!("http://127.0.0.1:{port}")
    };
    let args = [
        "token",
        "mint",
        "--key",
        "irsa-quickstart/sa.key",
        "--issuer",
        &issuer,
        "--subject",
        "default/demo",
    ];
    home.write("token", home.irsa(&args).ok().stdout);
    home.irsa(&["token", "verify", "--issuer", &issuer, "token"])
        .ok();
}

/// A whole rotation for whoever has no cluster; and what it says to type next.
#[test]
fn a_rotation_is_rehearsed_under_load() {
    let home = Home::new();
    let ran = home
        .irsa(&["rotate", "rehearse", "--apiservers", "2", "-o", "json"])
        .ok();
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["safe"], true, "{told:#}");
    assert_eq!(told["refused"], serde_json::json!([]));
    assert_eq!(
        told["old_key_refused_by"],
        serde_json::json!(["the relying party", "api-1", "api-2"])
    );
    assert!(told["tokens_used"].as_u64().unwrap() > 100, "{told:#}");
    assert_ne!(told["old_key"], told["new_key"]);
    let (issuer, ring) = (
        told["issuer"].as_str().unwrap(),
        told["state"].as_str().unwrap(),
    );
    let ring = ["--issuer", issuer, "--state", ring];
    let history = home
        .irsa(&[&["rotate", "history"], &ring[..]].concat())
        .ok();
    for what in ["published", "promoted", "withdrawn", "distrusted"] {
        assert!(history.stdout.contains(what), "{what}\n{}", history.stdout);
    }
    let picture = ["rotate", "status", "-o", "svg"];
    let picture = home.irsa(&[&picture, &ring[..]].concat()).ok();
    assert!(picture.stdout.starts_with("<svg"), "{}", picture.stdout);
}

/// From the log, because standard output is read only at the end.
fn port_of(server: &crate::util::Server) -> String {
    let log = server.wait_for("serving until Ctrl-C on ");
    let after = log.split("http://127.0.0.1:").nth(1).unwrap();
    after.chars().take_while(char::is_ascii_digit).collect()
}
