use crate::util::Home;

const ISSUER: &str = "https://oidc.example.com/a";

fn publish<'a>(home: &'a Home, more: &[&str]) -> crate::util::Irsa<'a> {
    home.irsa(&[&["publish", "--issuer", ISSUER, "--to", "dir:public"], more].concat())
}

#[test]
fn a_first_run_writes_a_second_changes_nothing() {
    let home = Home::new();
    home.key("a", "ES256");
    let dry = publish(&home, &["--dry-run", "a.pub"]).ok().stdout;
    assert!(dry.ends_with("nothing was written\n"), "{dry}");
    assert!(!home.path("public").exists());

    let wet = publish(&home, &["a.pub"]).ok().stdout;
    assert_eq!(
        wet.replace("written, and the files read again", ""),
        dry.replace("nothing was written", "")
    );
    assert_eq!(
        home.read("public/keys.json") + "\n",
        home.irsa(&["jwks", "a.pub"]).ok().stdout
    );
    let discovery = home
        .irsa(&["discovery", "--issuer", ISSUER, "a.pub"])
        .ok()
        .stdout;
    assert_eq!(
        home.read("public/.well-known/openid-configuration") + "\n",
        discovery
    );

    let modified = std::fs::metadata(home.path("public/keys.json"))
        .unwrap()
        .modified()
        .unwrap();
    let again = publish(&home, &["a.pub"]).ok().stdout;
    assert_eq!(
        again,
        "nothing to do: the documents are as they should be\n"
    );
    assert_eq!(
        std::fs::metadata(home.path("public/keys.json"))
            .unwrap()
            .modified()
            .unwrap(),
        modified
    );
    assert_eq!(
        std::fs::read_dir(home.path("public")).unwrap().count(),
        2,
        "nothing else is left"
    );
}

#[test]
fn a_published_key_is_never_dropped_by_accident() {
    let home = Home::new();
    home.key("a", "ES256");
    home.key("b", "ES256");
    publish(&home, &["a.pub", "b.pub"]).ok();
    let before = home.read("public/keys.json");
    let refused = publish(&home, &["b.pub"]).code(1).stderr;
    let kid = refused.split('"').nth(1).unwrap().to_owned();
    assert!(
        refused.contains(&format!("--withdraw \"{kid}\"")),
        "{refused}"
    );
    assert_eq!(home.read("public/keys.json"), before);
    let ran = publish(&home, &["b.pub", "--withdraw", &kid]).ok();
    assert!(
        ran.stdout.contains(&format!("- key \"{kid}\" ES256")),
        "{}",
        ran.stdout
    );
    assert!(!home.read("public/keys.json").contains(&kid));
}

#[test]
fn check_tells_by_exit_code() {
    let home = Home::new();
    home.key("a", "ES256");
    home.key("b", "ES384");
    publish(&home, &["--check", "a.pub"]).code(3);
    publish(&home, &["a.pub"]).ok();
    publish(&home, &["--check", "a.pub"]).ok();
    publish(&home, &["--check", "a.pub", "b.pub"]).code(3);
    publish(&home, &["--check", "b.pub"]).code(3);
    let ran = publish(&home, &["--check", "-o", "json", "b.pub"]).code(3);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let error = value["error"].as_str().unwrap();
    assert!(error.contains("would drop"), "{error}");
}

#[test]
fn a_document_that_is_a_link_is_not_replaced() {
    let home = Home::new();
    home.key("a", "ES256");
    home.key("b", "ES256");
    publish(&home, &["a.pub"]).ok();
    let real = home.path("real.json");
    std::fs::rename(home.path("public/keys.json"), &real).unwrap();
    std::os::unix::fs::symlink(&real, home.path("public/keys.json")).unwrap();
    publish(&home, &["--check", "a.pub"]).ok();
    let ran = publish(&home, &["a.pub", "b.pub"]).code(1);
    assert!(ran.stderr.contains("is a symbolic link"), "{}", ran.stderr);
    assert!(home.path("public/keys.json").is_symlink());
}

#[test]
fn documents_of_others_are_left_alone() {
    let home = Home::new();
    home.key("a", "ES256");
    home.write("public/keys.json", "<html>");
    publish(&home, &["a.pub"]).code(1);
    assert_eq!(home.read("public/keys.json"), "<html>");
    home.irsa(&[
        "publish",
        "--issuer",
        "https://h/b",
        "--to",
        "dir:other",
        "a.pub",
    ])
    .ok();
    let args = [
        "publish",
        "--issuer",
        "https://h/c",
        "--to",
        "dir:other",
        "a.pub",
    ];
    let ran = home.irsa(&args).code(1);
    assert!(
        ran.stderr
            .contains("names the issuer \"https://h/b\", expected \"https://h/c\""),
        "{}",
        ran.stderr
    );
}

#[test]
fn another_run_in_the_same_directory_is_waited_for_by_the_caller() {
    let home = Home::new();
    home.key("a", "ES256");
    std::fs::create_dir(home.path("public")).unwrap();
    let lock = std::fs::File::open(home.path("public")).unwrap();
    lock.lock().unwrap();
    let ran = publish(&home, &["a.pub"]).code(4);
    assert!(
        ran.stderr.contains("is being published to by another run"),
        "{}",
        ran.stderr
    );
}

#[test]
fn other_targets_are_refused() {
    let home = Home::new();
    home.key("a", "ES256");
    home.irsa(&["publish", "--issuer", ISSUER, "--to", "public", "a.pub"])
        .code(2);
    let uri = [
        "publish",
        "--issuer",
        ISSUER,
        "--jwks-uri",
        "https://h/k",
        "--to",
        "dir:public",
        "a.pub",
    ];
    assert!(
        home.irsa(&uri)
            .code(1)
            .stderr
            .contains("is not below the issuer")
    );
}

#[test]
fn a_kid_that_begins_with_a_hyphen_can_be_withdrawn() {
    let home = Home::new();
    home.key("a", "ES256");
    publish(&home, &["--withdraw", "-Iabc", "a.pub"]).ok();
}

#[test]
fn nothing_is_written_outside_the_directory() {
    let home = Home::new();
    home.key("a", "ES256");
    let outside = home.path("outside").display().to_string();
    for path in [
        format!("/{outside}"),
        "a%2Fb".to_owned(),
        "a//b".to_owned(),
        ".well-known".to_owned(),
    ] {
        let uri = format!("{ISSUER}/{path}");
        let ran = publish(&home, &["--jwks-uri", &uri, "a.pub"]).code(1);
        assert!(
            ran.stderr.contains("is not below the issuer"),
            "{}",
            ran.stderr
        );
    }
    assert!(!home.path("outside").exists() && !home.path("public").exists());
}

#[test]
fn another_place_for_the_jwks_drops_no_key() {
    let home = Home::new();
    home.key("a", "ES256");
    home.key("b", "ES256");
    let uri = format!("{ISSUER}/openid/v1/jwks");
    publish(&home, &["--jwks-uri", &uri, "a.pub", "b.pub"]).ok();
    let forgotten = publish(&home, &["b.pub"]).code(1).stderr;
    assert!(forgotten.contains("would drop a key"), "{forgotten}");
    publish(&home, &["a.pub", "b.pub"]).ok();
    assert!(
        home.read("public/.well-known/openid-configuration")
            .contains("/a/keys.json")
    );
}

#[test]
fn directories_are_public_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    home.key("a", "ES256");
    let script = format!(
        "umask 077; {} publish --issuer {ISSUER} --to dir:public a.pub",
        env!("CARGO_BIN_EXE_irsa")
    );
    let run = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(home.path("."))
        .status();
    assert!(run.unwrap().success());
    for (name, mode) in [
        ("public", 0o755),
        ("public/.well-known", 0o755),
        ("public/keys.json", 0o644),
    ] {
        let found = std::fs::metadata(home.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(found, mode, "{name}");
    }
}

#[test]
fn a_mistyped_withdrawal_is_warned_of() {
    let home = Home::new();
    home.key("a", "ES256");
    let ran = publish(&home, &["--withdraw", "typo", "a.pub"]).ok();
    assert!(
        ran.stderr
            .contains("key \"typo\" is to be withdrawn and is not published"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_means_nothing_for_a_directory_is_refused() {
    let home = Home::new();
    home.key("a", "ES256");
    for (flag, value, why) in [
        ("--region", "eu-central-1", "a directory is not on AWS"),
        ("--max-age", "60s", "a directory has no Cache-Control"),
        ("--ca-file", "a.pub", "a directory is not fetched from"),
    ] {
        let refused = publish(&home, &[flag, value, "a.pub"]).code(2);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    // A variable is for all commands.
    let arguments = [
        "publish",
        "--issuer",
        "https://h",
        "--to",
        "dir:public",
        "a.pub",
    ];
    home.irsa(&arguments).env("IRSA_CA_FILE", "a.pub").ok();
}
