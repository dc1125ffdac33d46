use std::fs;

use crate::tls::{Chain, free_port};
use crate::util::{Home, Server, eventually, get};

const FAST: [&str; 2] = ["--reload-interval", "100ms"];

fn serve(home: &Home, more: &[&str]) -> Server {
    let server = home
        .irsa(&[&["serve", "--listen", "127.0.0.1:0"], &FAST[..], more].concat())
        .start();
    server.address();
    server
}

fn one(home: &Home) -> Server {
    serve(
        home,
        &["--issuer", "https://oidc.example.com/a", "--keys", "keys"],
    )
}

fn with_key() -> Home {
    let home = Home::new();
    home.key_in("keys", "a", "ES256");
    home
}

#[test]
fn both_documents_are_served_at_the_path_of_the_issuer() {
    let home = with_key();
    let server = one(&home);
    let (head, body) = get(&server.address(), "/a/keys.json");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("cache-control: public, max-age=300"),
        "{head}"
    );
    assert_eq!(body + "\n", home.irsa(&["jwks", "keys"]).ok().stdout);
    let (_, discovery) = get(&server.address(), "/a/.well-known/openid-configuration");
    assert!(
        discovery.starts_with(r#"{"issuer":"https://oidc.example.com/a""#),
        "{discovery}"
    );
    assert!(
        get(&server.address(), "/keys.json")
            .0
            .starts_with("HTTP/1.1 404")
    );
}

#[test]
fn new_keys_are_taken_and_bad_ones_are_not() {
    let home = with_key();
    let server = one(&home);
    let address = server.address();
    let jwks_now = || get(&address, "/a/keys.json").1;
    let first = jwks_now();

    home.key_in("keys", "b", "ES384");
    let both = eventually("the second key", || {
        Some(jwks_now()).filter(|now| *now != first)
    });
    assert_eq!(both.matches("\"kid\"").count(), 2);

    home.write(
        "keys/c.pub",
        "-----BEGIN PUBLIC KEY-----\nno key\n-----END PUBLIC KEY-----\n",
    );
    let log = server.wait_for("new keys not taken");
    assert!(log.contains("last_good_kept=true"), "{log}");
    assert_eq!(jwks_now(), both);

    fs::remove_file(home.path("keys/c.pub")).unwrap();
    fs::remove_file(home.path("keys/a.pub")).unwrap();
    eventually("the withdrawal", || {
        Some(jwks_now()).filter(|now| now.matches("\"kid\"").count() == 1)
    });
}

#[test]
fn a_pipe_in_the_place_of_the_configuration_holds_up_nothing() {
    let home = with_key();
    home.write(
        "irsa.yaml",
        "issuers:\n  - issuer: https://h/a\n    keys: [keys]\n",
    );
    let server = serve(&home, &["--config", "irsa.yaml"]);
    let address = server.address();
    let first = get(&address, "/a/keys.json").1;
    fs::remove_file(home.path("irsa.yaml")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, home.path("irsa.yaml"), mode).unwrap();
    server.wait_for("expected a file");
    home.key_in("keys", "b", "ES384");
    eventually("the second key", || {
        Some(get(&address, "/a/keys.json").1).filter(|now| *now != first)
    });
}

#[test]
fn many_issuers_come_from_the_config_and_one_bad_one_disturbs_no_other() {
    let home = with_key();
    let entry =
        |name: &str, keys: &str| format!("  - issuer: https://h/{name}\n    keys: [{keys}]\n");
    let config = format!(
        "issuers:\n{}{}",
        entry("a", "keys"),
        entry("b", "missing.pub")
    );
    home.write("irsa.yaml", &config);
    let server = serve(&home, &["--config", "irsa.yaml"]);
    let address = server.address();
    let status = |path: &str| get(&address, path).0.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(status("/a/keys.json"), "200");
    assert_eq!(status("/b/keys.json"), "503");
    assert_eq!(status("/c/keys.json"), "404");

    home.write(
        "irsa.yaml",
        config.replace("missing.pub", "keys") + &entry("c", "keys"),
    );
    eventually("the new issuer", || {
        (status("/c/keys.json") == "200").then_some(())
    });
    assert_eq!(status("/b/keys.json"), "200");

    home.write("irsa.yaml", "issuers: [");
    server.wait_for("configuration not taken");
    assert_eq!(status("/a/keys.json"), "200");
}

#[test]
fn a_server_without_anything_to_serve_does_not_start() {
    let home = Home::new();
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--issuer",
        "https://h",
        "--keys",
        "missing.pub",
    ];
    let ran = home.irsa(&args).code(1);
    assert!(
        ran.stderr.contains("file \"missing.pub\" cannot be read"),
        "{}",
        ran.stderr
    );
}

#[test]
fn plain_http_stays_on_loopback_unless_told_otherwise() {
    let home = with_key();
    let args = [
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--issuer",
        "https://h",
        "--keys",
        "keys",
    ];
    let ran = home.irsa(&args).code(2);
    assert!(ran.stderr.contains("--behind-proxy"), "{}", ran.stderr);
    let ran = home
        .irsa(&[&args[..], &["--tls-cert", "x"]].concat())
        .code(2);
    assert!(
        ran.stderr
            .contains("TLS needs both a certificate and its key"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_address_is_listened_on_once() {
    let home = with_key();
    let addresses = "127.0.0.1:8443,[::1]:8443,127.0.0.1:8443";
    let args = ["serve", "--issuer", "https://h", "--keys", "keys"];
    let twice = ["--listen", addresses];
    let ran = home.irsa(&[&args[..], &twice].concat()).code(2);
    assert!(ran.stderr.contains("127.0.0.1:8443"), "{}", ran.stderr);
}

#[test]
fn what_nobody_will_reach_or_believe_is_said_at_the_start() {
    let (home, chain) = (Home::new(), Chain::new());
    let issuer = "https://oidc.prod.internal/a";
    let server = chain.serve(&home, &chain.whole(), issuer, "127.0.0.1:0");
    server.wait_for("AWS cannot reach the issuer");
    let unnamed = "the TLS certificate does not name the issuer's host";
    server.wait_for(unnamed);

    let home = Home::new();
    let issuer = format!("https://127.0.0.1:{}/a", free_port());
    let listen = issuer.trim_start_matches("https://").trim_end_matches("/a");
    let server = chain.serve(&home, &chain.whole(), &issuer, listen);
    server.wait_for("serving on");
    let said = server.log();
    assert!(!said.contains(unnamed), "{said}");
}

#[test]
fn signals_reload_and_end() {
    let home = with_key();
    let server = one(&home);
    server.signal("HUP");
    server.wait_for("SIGHUP: reading everything again");
    server.wait_for("read again: the documents are the same");
    home.key_in("keys", "b", "ES256");
    server.signal("HUP");
    server.wait_for("new documents are served");
    server.signal("TERM");
    assert_eq!(server.finish().1, Some(0));
}

#[test]
fn the_admin_port_tells_health_and_numbers() {
    let home = with_key();
    let server = serve(
        &home,
        &[
            "--issuer",
            "https://h/a",
            "--keys",
            "keys",
            "--admin-listen",
            "127.0.0.1:0",
        ],
    );
    let admin = &server.admin();
    get(&server.address(), "/a/keys.json");
    assert!(get(admin, "/livez").0.starts_with("HTTP/1.1 200"));
    assert!(get(admin, "/readyz").0.starts_with("HTTP/1.1 200"));
    let metrics = get(admin, "/metrics").1;
    assert!(metrics.contains("irsa_"), "{metrics}");
    assert!(metrics.contains("https://h/a"), "{metrics}");
}

#[test]
fn a_changed_max_age_is_followed_and_what_counts_at_a_start_is_named() {
    let home = with_key();
    let write = |section: &str| {
        let issuers = "issuers:\n  - {issuer: https://h/a, keys: [keys]}\n";
        home.write("irsa.yaml", format!("{issuers}serve: {{{section}}}\n"));
    };
    let max_age = |address: &str, path: &str| {
        let head = get(address, path).0;
        let (_, age) = head.split_once("max-age=").expect("a max-age");
        age.lines().next().unwrap().to_owned()
    };
    // Whether the file names the issuers, or flags name another: that one stays.
    let flags = ["--issuer", "https://h/b", "--keys", "keys"];
    for (flags, path) in [(&[][..], "/a/keys.json"), (&flags, "/b/keys.json")] {
        write("max_age: 60s");
        let server = serve(&home, &[&["--config", "irsa.yaml"], flags].concat());
        assert_eq!(max_age(&server.address(), path), "60");
        write("max_age: 90s, idle_timeout: 7s, max_connections: 9");
        server.signal("HUP");
        server.wait_for("max_connections idle_timeout");
        server.wait_for("read again: the documents are the same");
        assert_eq!(max_age(&server.address(), path), "90");
    }
}

#[test]
fn the_list_of_issuers_is_followed_whole_or_not_at_all() {
    let home = with_key();
    let entry = |url: &str| format!("  - issuer: {url}\n    keys: [keys]\n");
    let both = format!("issuers:\n{}{}", entry("https://h/a"), entry("https://h/b"));
    home.write("irsa.yaml", &both);
    let server = serve(&home, &["--config", "irsa.yaml"]);
    let address = server.address();
    let status = |path: &str| get(&address, path).0.split(' ').nth(1).unwrap().to_owned();

    // Cut to nothing, and a collision: neither is taken, and keys are still followed.
    home.write("irsa.yaml", "");
    server.wait_for("no issuer to serve");
    home.write("irsa.yaml", both.clone() + &entry("https://other/a"));
    server.wait_for("is already served for issuer");
    let before = get(&address, "/a/keys.json").1;
    home.key_in("keys", "b", "ES384");
    eventually("the second key", || {
        (get(&address, "/a/keys.json").1 != before).then_some(())
    });
    assert_eq!(
        (status("/a/keys.json"), status("/b/keys.json")),
        ("200".into(), "200".into())
    );

    home.write("irsa.yaml", format!("issuers:\n{}", entry("https://h/a")));
    eventually("the removal", || {
        (status("/b/keys.json") == "404").then_some(())
    });
    server.wait_for("issuer is served no more");
    assert_eq!(status("/a/keys.json"), "200");
}

#[test]
fn two_issuers_at_one_path_are_refused_at_start() {
    let home = with_key();
    let config = "issuers:\n  - {issuer: https://h/a, keys: [keys]}\n  - {issuer: https://i/a, keys: [keys]}\n";
    home.write("irsa.yaml", config);
    let ran = home
        .irsa(&["serve", "--listen", "127.0.0.1:0", "--config", "irsa.yaml"])
        .code(2);
    assert!(
        ran.stderr.contains("is already served for issuer"),
        "{}",
        ran.stderr
    );
}

#[test]
fn replicas_serve_what_was_published_and_follow_it() {
    let home = Home::new();
    for name in ["a", "b"] {
        home.key(name, "ES256");
    }
    let issuer = ["--issuer", "https://oidc.example.com/a"];
    let publish = |keys: &[&str]| {
        let to = ["publish", "--to", "dir:store"];
        home.irsa(&[&to[..], &issuer, keys].concat()).ok();
    };
    let args = [
        &[
            "serve",
            "--from",
            "dir:store",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ][..],
        &["--reload-interval", "100ms"],
        &issuer,
    ]
    .concat();
    // Nothing published yet: not started, and the message says what to do.
    let early = home.irsa(&args).code(1).stderr;
    assert!(early.contains("irsa publish"), "{early}");
    publish(&["a.pub"]);
    let replicas = [home.irsa(&args).start(), home.irsa(&args).start()];
    let jwks = |server: &Server| get(&server.address(), "/a/keys.json").1;
    for replica in &replicas {
        assert_eq!(jwks(replica), home.read("store/keys.json"));
    }
    publish(&["a.pub", "b.pub"]);
    for replica in &replicas {
        eventually("the second key", || {
            (jwks(replica) == home.read("store/keys.json")).then_some(())
        });
    }
    let good = home.read("store/keys.json");
    home.write("store/keys.json", "{\"keys\":[");
    replicas[0].wait_for("documents of the store not taken");
    assert_eq!(jwks(&replicas[0]), good);
    let admin = &replicas[0].admin();
    let metrics = get(admin, "/metrics").1;
    assert!(
        metrics.contains("irsa_source_age_seconds{issuer=\"https://oidc.example.com/a\"}"),
        "{metrics}"
    );
    home.irsa(&[&args[..], &["--keys", "a.pub"]].concat())
        .code(2);
}
