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
}

#[test]
fn it_serves_until_interrupted() {
    let home = Home::new();
    let server = home.irsa(&["quickstart", "--dir", "q"]).start();
    server.wait_for("serving until Ctrl-C");
    server.signal("INT");
    let (stdout, code) = server.finish();
    assert_eq!(code, Some(0));
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

/// From the log, because standard output is read only at the end.
fn port_of(server: &crate::util::Server) -> String {
    let log = server.wait_for("serving until Ctrl-C on ");
    let after = log.split("http://127.0.0.1:").nth(1).unwrap();
    after.chars().take_while(char::is_ascii_digit).collect()
}
