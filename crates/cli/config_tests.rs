use super::*;

#[test]
fn a_whole_file_is_read() {
    let config = Config::parse(
        "# two clusters\nissuers:\n  - issuer: https://h/a\n    keys: [a.pub]\n  - issuer: https://h/b\n    \
         jwks_uri: https://h/b/openid/v1/jwks\n    keys:\n      - keys/b\nserve:\n  listen: [\"[::]:8443\"]\n  \
         max_age: 1h\n",
    )
    .unwrap();
    assert_eq!(config.issuers.len(), 2);
    assert_eq!(config.serve.max_age, Some(Seconds(Duration::from_hours(1))));
    assert_eq!(Config::parse("# nothing\n\n").unwrap(), Config::default());
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let error = Config::parse("serve:\n  max_agee: 5s\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2: unknown key \"max_agee\"");
    assert_eq!(error.help().as_deref(), Some("did you mean \"max_age\"?"));
    let error = Config::parse("zebra: 1\n").unwrap_err();
    assert!(error.help().unwrap().starts_with("known here: output, log"));
}

#[test]
fn a_value_of_the_wrong_form_is_told_with_its_key_and_the_right_one() {
    for (text, message) in [
        (
            "issuers:\n  - issuer: https://h\n    keys: sa.pub\n",
            "line 3: keys: expected a list",
        ),
        (
            "serve: {max_age: 5s, listen: \"127.0.0.1:8080\"}\n",
            "line 1: listen: expected a list",
        ),
        ("hello\n", "line 1: expected keys with values"),
        (
            "cluster:\n  name: a\n  publish: {to: dir:x}\n",
            "the key \"keys\" is missing near line 3",
        ),
    ] {
        let error = Config::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(error.help().is_some(), "{message}");
    }
}

#[test]
fn bad_values_and_repeated_keys_are_refused() {
    for text in [
        "serve:\n  max_age: 1500ms\n",
        "serve:\n  max_age: 5\n",
        "serve: 5\n",
        "log: a\nlog: b\n",
        "issuers:\n  - keys: []\n",
        "a: [\n",
    ] {
        assert!(Config::parse(text).is_err(), "{text}");
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let mut config =
        Config::parse("issuers: [{issuer: https://h, keys: [a.pub, /b.pub]}]\n").unwrap();
    config.resolve_paths(Path::new("/etc/irsa"));
    assert_eq!(
        config.issuers[0].keys,
        [Path::new("/etc/irsa/a.pub"), Path::new("/b.pub")]
    );
}

/// One of the two would be published, and the other written into kube-apiserver's flags.
#[test]
fn an_issuer_with_two_places_of_its_jwks_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("irsa.yaml");
    let write = |before: &str, cluster: &str| {
        let text = format!(
            "{before}issuers:\n  - issuer: https://h/a\n    jwks_uri: https://h/a/openid/v1/jwks\n    keys: [a.pub]\n\
             cluster:\n  name: a\n  issuer: https://h/a\n{cluster}  keys: {{adopt: [a.pub]}}\n  publish: {{to: dir:x}}\n"
        );
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    };
    let load = |cluster| write("", cluster);
    let load_after = |apiserver| write(apiserver, "");
    // One that a section leaves out is that of the other, so that no command publishes another.
    let cluster = load("").unwrap().cluster.unwrap();
    assert_eq!(
        cluster.jwks_uri.as_deref(),
        Some("https://h/a/openid/v1/jwks")
    );
    std::fs::write(
        &path,
        "issuers: [{issuer: 'https://h/a', keys: [a.pub]}]\ncluster:\n  name: a\n  issuer: https://h/a\n  \
         jwks_uri: https://h/a/openid/v1/jwks\n  keys: {adopt: [a.pub]}\n  publish: {to: 'dir:x'}\n",
    )
    .unwrap();
    let entry = Config::load(&path).unwrap().issuers.remove(0);
    assert_eq!(entry.jwks_uri, cluster.jwks_uri);
    assert!(load("  jwks_uri: https://h/a/openid/v1/jwks\n").is_ok());
    let error = load("  jwks_uri: https://h/a/keys.json\n").unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("two JWKS of one issuer"), "{cause}");
    let apiserver = "apiserver: {issuer: 'https://h/a', jwks_uri: 'https://h/a/third.json'}\n";
    let error = load_after(apiserver).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("issuers and apiserver name two"), "{cause}");
}
