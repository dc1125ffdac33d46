use crate::util::Home;

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let home = Home::new();
    home.write("irsa.yaml", "serve:\n  max_age: 60s\n  idle_timeout: 61s\n  drain_timeout: 62s\nissuers:\n  - issuer: https://h\n    keys: [a.pub]\n");
    let ran = home
        .irsa(&[
            "config",
            "show",
            "--config",
            "irsa.yaml",
            "--drain-timeout",
            "5s",
        ])
        .env("IRSA_IDLE_TIMEOUT", "7s")
        .ok();
    insta::assert_snapshot!(ran.stdout, @r"
    SETTING                VALUE           ORIGIN
    output                 text            default
    log                    info            default
    log_format             text            default
    allow_trailing_slash   false           default
    serve.listen           127.0.0.1:8080  default
    serve.tls_cert                         default
    serve.tls_key                          default
    serve.behind_proxy     false           default
    serve.admin_listen                     default
    serve.max_age          60s             file
    serve.reload_interval  2s              default
    serve.max_connections  8192            default
    serve.header_timeout   10s             default
    serve.idle_timeout     7s              environment
    serve.drain_timeout    5s              flag
    issuers[0].issuer      https://h       file
    issuers[0].jwks_uri                    default
    issuers[0].keys        a.pub           file
    ");
}

#[test]
fn what_only_some_commands_read_is_shown_too() {
    let home = Home::new();
    home.write(
        "irsa.yaml",
        "apiserver:\n  issuer: https://h\n  key_files: [/etc/a.pub, /etc/b.pub]\n",
    );
    let ran = home
        .irsa(&["config", "show", "--config", "irsa.yaml"])
        .env("IRSA_FROM", "dir:public")
        .ok();
    let row = |name: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(name));
        line.map(|line| {
            line.split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" ")
        })
    };
    let held = |name: &str| row(name).unwrap_or_default();
    assert_eq!(held("apiserver.issuer"), "https://h file");
    assert_eq!(held("apiserver.key_files"), "/etc/a.pub,/etc/b.pub file");
    assert_eq!(held("serve --from"), "--from dir:public environment");
    assert_eq!(held("apiserver.jwks_uri"), "default");
}

#[test]
fn a_variable_that_other_commands_need_stops_nothing_that_does_not() {
    let home = Home::new();
    let show = ["config", "show"];
    let ran = home.irsa(&show).env("IRSA_ISSUER", "https://h/a").ok();
    assert!(ran.stdout.contains("issuers[0].issuer"), "{}", ran.stdout);
    assert!(
        ran.stderr
            .contains("issuer \"https://h/a\" (from IRSA_ISSUER) has no keys"),
        "{}",
        ran.stderr
    );
    home.write(
        "irsa.yaml",
        "issuers:\n  - issuer: https://h/b\n    keys: [a.pub]\n",
    );
    let ran = home
        .irsa(&["serve", "--config", "irsa.yaml"])
        .env("IRSA_ISSUER", "https://h/a")
        .code(2);
    assert!(ran.stderr.contains("unset IRSA_ISSUER"), "{}", ran.stderr);
    let ran = home
        .irsa(&["publish", "--to", "dir:x", "--config", "irsa.yaml"])
        .env("IRSA_ISSUER", "https://h/a")
        .code(2);
    assert!(ran.stderr.contains("(from IRSA_ISSUER)"), "{}", ran.stderr);
}

#[test]
fn a_wrong_variable_is_named_and_not_the_option_that_nobody_typed() {
    let home = Home::new();
    let serve = |words: &[&str]| {
        let words = [&["serve", "--issuer", "https://h"], words].concat();
        let ran = home.irsa(&words).env("IRSA_IDLE_TIMEOUT", "soon").code(2);
        ran.stderr
    };
    let said = serve(&[]);
    let named = "invalid value 'soon' for 'IRSA_IDLE_TIMEOUT, which stands for --idle-timeout <";
    assert!(said.contains(named), "{said}");
    // A flag wins over its variable: then it is the flag that is wrong.
    for typed in [&["--idle-timeout", "later"][..], &["--idle-timeout=soon"]] {
        let said = serve(typed);
        assert!(said.contains("for '--idle-timeout <"), "{said}");
    }
    let said = serve(&["--idle-timeout", "7s", "--drain-timeout", "soon"]);
    assert!(said.contains("for '--drain-timeout <"), "{said}");
    // One of several that the variable holds.
    let ran = home.irsa(&["serve", "--issuer", "https://h"]);
    let ran = ran.env("IRSA_LISTEN", "127.0.0.1:0,nowhere").code(2);
    assert!(
        ran.stderr.contains("'nowhere' for 'IRSA_LISTEN, "),
        "{}",
        ran.stderr
    );
    let ran = home.irsa(&["jwks", "a.pub"]).env("IRSA_LOG_FORMAT", "xml");
    let said = ran.code(2).stderr;
    assert!(said.contains("'IRSA_LOG_FORMAT, which stands"), "{said}");
}

#[test]
fn the_webhook_and_the_cluster_are_shown_with_what_they_leave_out() {
    let home = Home::new();
    home.write(
        "irsa.yaml",
        "webhook:\n  port: 8443\ncluster:\n  name: prod\n  keys: {adopt: [sa.pub]}\n  publish: {to: dir:www}\n",
    );
    let ran = home.irsa(&["config", "show", "--config", "irsa.yaml"]).ok();
    let row = |name: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(name));
        let words: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
        words.join(" ")
    };
    assert_eq!(row("webhook.port"), "webhook.port 8443 file");
    assert_eq!(
        row("webhook.metrics_port"),
        "webhook.metrics_port 9999 default"
    );
    assert_eq!(
        row("cluster.keys.rotated"),
        "cluster.keys.rotated false default"
    );
}

#[test]
fn the_issuer_of_the_file_is_that_of_every_command() {
    let home = Home::new();
    home.key("sa", "es256");
    let discovery = |file: &str| {
        home.write("irsa.yaml", file);
        home.irsa(&["discovery", "--config", "irsa.yaml", "sa.pub"])
    };
    let one = "issuers: [{issuer: https://h/a, jwks_uri: https://h/a/k, keys: [sa.pub]}]\n";
    let ran = discovery(one).ok();
    assert!(ran.stdout.contains("\"https://h/a\"") && ran.stdout.contains("\"https://h/a/k\""));
    let cluster = "cluster: {name: p, issuer: https://h/c, keys: {adopt: [sa.pub]}, publish: {to: dir:www}}\n";
    assert!(discovery(cluster).ok().stdout.contains("\"https://h/c\""));
    let ran = discovery("issuers: [{issuer: https://h/a}, {issuer: https://h/b}]\n").code(2);
    assert!(
        ran.stderr.contains("one of https://h/a, https://h/b"),
        "{}",
        ran.stderr
    );
    home.write("irsa.yaml", cluster);
    let words = "token mint --key sa.key --subject a/b --config irsa.yaml";
    home.irsa(&words.split(' ').collect::<Vec<_>>()).ok();
    let words = "iam role trust-policy --service-account a/b --account-id 111122223333 --region eu-west-1 --config irsa.yaml";
    let ran = home.irsa(&words.split(' ').collect::<Vec<_>>()).ok();
    assert!(ran.stdout.contains("oidc-provider/h/c"), "{}", ran.stdout);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_one() {
    let home = Home::new();
    home.write("irsa.yaml", "serve:\n  listenn: [\"127.0.0.1:0\"]\n");
    let ran = home
        .irsa(&["config", "show"])
        .env("IRSA_CONFIG", "irsa.yaml")
        .code(2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: configuration file "irsa.yaml" is refused
      why: line 2: unknown key "listenn"
     help: did you mean "listen"?
    "#);
}

#[test]
fn usage_errors_exit_with_2() {
    let home = Home::new();
    home.irsa(&["no-such-command"]).code(2);
    home.irsa(&["jwks"]).code(2);
    home.irsa(&["serve"]).code(2);
    home.irsa(&["serve", "--issuer", "https://h"]).code(2);
    home.irsa(&["--config", "missing.yaml", "version"]).code(2);
    assert!(home.irsa(&["--help"]).ok().stdout.contains("Exit codes:"));
}

#[test]
fn a_switch_of_the_file_can_be_turned_off_by_variable() {
    let home = Home::new();
    home.write("irsa.yaml", "allow_trailing_slash: true\n");
    let show = ["config", "show", "--config", "irsa.yaml"];
    let line = |text: &str| {
        text.lines()
            .find(|l| l.starts_with("allow_trailing_slash"))
            .unwrap()
            .to_owned()
    };
    assert!(line(&home.irsa(&show).ok().stdout).contains("true"));
    let off = home
        .irsa(&show)
        .env("IRSA_ALLOW_TRAILING_SLASH", "false")
        .ok()
        .stdout;
    assert!(
        line(&off).contains("false") && line(&off).ends_with("environment"),
        "{off}"
    );
}

#[test]
fn show_refuses_what_serve_would_refuse() {
    let home = Home::new();
    home.write(
        "irsa.yaml",
        "issuers:\n  - issuer: https://h/a/\n    keys: [a.pub]\n",
    );
    home.irsa(&["config", "show", "--config", "irsa.yaml"])
        .code(2);
    home.irsa(&["config", "show", "--jwks-uri", "https://h/keys"])
        .code(2);
    home.irsa(&["serve", "--config", "/dev/zero"]).code(2);
}
