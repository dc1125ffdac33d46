use irsa_testkit::web::{Answer, Web};

use crate::util::Home;

const ISSUER: &str = "https://oidc.example.com/a";

/// What mints a token with a key.
fn mint(key: &str) -> [&str; 8] {
    [
        "token",
        "mint",
        "--key",
        key,
        "--issuer",
        ISSUER,
        "--subject",
        "demo/app",
    ]
}

/// What verifies one by `keys.json`.
const VERIFY: [&str; 6] = ["token", "verify", "--issuer", ISSUER, "--jwks", "keys.json"];

fn minted(algorithm: &str) -> Home {
    let home = Home::new();
    home.key("sa", algorithm);
    let token = home.irsa(&mint("sa.key")).ok();
    home.write("token", token.stdout);
    home.write("keys.json", home.irsa(&["jwks", "sa.pub"]).ok().stdout);
    home
}

fn verify(home: &Home, more: &[&str], code: i32) -> String {
    let ran = home.irsa(&[&VERIFY[..], more].concat()).code(code);
    ran.stdout + &ran.stderr
}

#[test]
fn tokens_of_every_algorithm_verify() {
    for algorithm in ["RS256", "ES256", "ES384", "ES512"] {
        let home = minted(algorithm);
        let text = verify(&home, &["token"], 0);
        assert!(
            text.starts_with("accepted\nsubject  system:serviceaccount:demo:app\n"),
            "{text}"
        );
        assert!(text.contains(&format!("({algorithm})")), "{text}");
    }
}

#[test]
fn each_refusal_says_what_differs() {
    let home = minted("ES256");
    let refused = |more: &[&str]| verify(&home, &[more, &["token"]].concat(), 1);
    assert!(
        refused(&["--audience", "vault"])
            .contains("its audience is \"sts.amazonaws.com\", expected \"vault\"")
    );
    assert!(refused(&["--at", "2099-01-01T00:00:00Z"]).contains("it expired at"));
    assert!(refused(&["--at", "2020-01-01T00:00:00Z"]).contains("ahead of this clock"));
    let other = [
        "token",
        "verify",
        "--issuer",
        "https://oidc.example.com/b",
        "--jwks",
        "keys.json",
        "token",
    ];
    assert!(home.irsa(&other).code(1).stderr.contains(
        "its issuer is \"https://oidc.example.com/a\", expected \"https://oidc.example.com/b\""
    ));
    home.key("other", "ES256");
    home.write("keys.json", home.irsa(&["jwks", "other.pub"]).ok().stdout);
    assert!(refused(&[]).contains("is not in the JWKS"));
}

#[test]
fn a_private_key_that_others_can_read_signs_nothing() {
    let home = minted("ES256");
    std::process::Command::new("chmod")
        .args(["644"])
        .arg(home.path("sa.key"))
        .status()
        .unwrap();
    let ran = home.irsa(&mint("sa.key")).code(1);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: private key "sa.key" can be read by others (mode 0644, expected 0600)
     help: chmod 600 sa.key, and rotate it if this host is shared
    "#);
}

#[test]
fn a_token_is_explained_without_being_verified() {
    let home = minted("RS256");
    let text = home.irsa(&["token", "explain", "token"]).ok().stdout;
    assert!(
        text.contains("the ServiceAccount app of namespace demo"),
        "{text}"
    );
    assert!(text.contains("no problem seen"), "{text}");
    let text = home
        .irsa(&["token", "explain", "--at", "2099-01-01T00:00:00Z", "token"])
        .ok()
        .stdout;
    assert!(
        text.contains("AWS STS and kube-apiserver: it expired"),
        "{text}"
    );
    assert!(
        home.irsa(&["token", "explain", "-"])
            .stdin("x")
            .code(1)
            .stderr
            .contains("1 parts")
    );
}

#[test]
fn lifetimes_are_those_of_kube_apiserver() {
    let home = minted("ES256");
    for (ttl, code) in [("10m", 0), ("24h", 0), ("9m", 2), ("25h", 2), ("1", 2)] {
        let args = [&mint("sa.key")[..], &["--ttl", ttl]].concat();
        home.irsa(&args).code(code);
    }
}

#[test]
fn a_token_cannot_forge_a_line_or_move_the_cursor() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims = r#"{"sub":"a\nno problem seen","iss":"\u001b[31mred"}"#;
    let home = Home::new();
    home.write(
        "token",
        format!("{}.{}.AA", encode(r#"{"alg":"none"}"#), encode(claims)),
    );
    let text = home.irsa(&["token", "explain", "token"]).ok().stdout;
    assert!(
        !text.contains('\u{1b}') && !text.contains("\nno problem"),
        "{text}"
    );
    let refused = verify(&minted("ES256"), &["--audience", "\u{1b}[31m", "token"], 1);
    assert!(!refused.contains('\u{1b}'), "{refused}");
}

#[test]
fn keys_over_plain_http_are_refused_for_an_https_issuer() {
    let home = minted("ES256");
    let args = [
        "discovery",
        "--issuer",
        ISSUER,
        "--jwks-uri",
        "http://127.0.0.1:1/k",
        "sa.pub",
    ];
    assert!(home.irsa(&args).code(2).stderr.contains("is not https"));
}

#[test]
fn a_refusal_is_json_for_programs() {
    let home = minted("ES256");
    let more = ["-o", "json", "--audience", "vault", "token"];
    let ran = home.irsa(&[&VERIFY[..], &more].concat()).code(1);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["accepted"], false);
    let reason = value["reason"].as_str().unwrap();
    assert!(reason.contains("expected \"vault\""), "{reason}");
    assert!(ran.stderr.contains(reason), "{}", ran.stderr);
}

#[test]
fn a_token_or_key_given_for_a_file_name_is_not_repeated() {
    let home = minted("ES256");
    let token = home.read("token");
    let key = home.read("sa.key");
    let explain = ["token", "explain", token.trim()];
    let mint = ["token", "mint", "--key", &key, "--issuer", ISSUER];
    for arguments in [&explain[..], &mint[..]] {
        let ran = home.irsa(arguments).code(2);
        let shown = ran.stdout + &ran.stderr;
        assert!(shown.contains("not the name of a file"), "{shown}");
        assert!(!shown.contains(token.trim()), "{shown}");
        let inside = key.lines().nth(1).unwrap();
        assert!(!shown.contains(inside), "{shown}");
    }
}

#[test]
fn a_public_key_is_not_taken_for_an_exposed_private_one() {
    let home = minted("ES256");
    let ran = home.irsa(&mint("sa.pub")).code(1);
    assert!(ran.stderr.contains("is no signing key"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("rotate"), "{}", ran.stderr);
}

#[test]
fn the_expiry_that_is_told_is_that_of_the_token() {
    let home = minted("ES256");
    let args = [&mint("sa.key")[..], &["-o", "json"]].concat();
    let value: serde_json::Value = serde_json::from_str(&home.irsa(&args).ok().stdout).unwrap();
    let expires = value["expires"].as_str().unwrap();
    assert!(!expires.contains('.'), "{expires}");
}

/// Whoever answers for an issuer chooses how long the place is to which it redirects.
#[test]
fn a_redirect_is_refused_and_told_in_part() {
    let long = format!("https://elsewhere.example/{}", "x".repeat(5_000));
    let location = long.clone();
    let web = Web::start(move |_| Answer {
        status: 302,
        headers: vec![("location", location.clone())],
        body: Vec::new(),
    });
    let home = minted("ES256");
    let issuer = web.url();
    let args = ["token", "verify", "--issuer", &issuer, "token"];
    let ran = home.irsa(&args).code(1);
    let told = format!("(redirect to {})", &long[..300]);
    assert!(ran.stderr.contains(&told), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("need not follow redirects"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.len() < 1_500, "{}", ran.stderr);
}
