use super::*;

fn accepts(text: &str) -> IssuerUrl {
    IssuerUrl::parse(text, TrailingSlash::Refuse).unwrap()
}

fn refuses(text: &str, because: &str) {
    let error = IssuerUrl::parse(text, TrailingSlash::Refuse).unwrap_err();
    assert!(error.to_string().contains(because), "{error}");
    assert!(error.help().is_some());
}

#[test]
fn the_text_is_kept_byte_for_byte() {
    for text in [
        "https://oidc.example.com",
        "https://oidc.example.com/clusters/prod",
        "https://OIDC.example.com/A%20b",
        "https://10.0.0.1:6443/x",
        "https://[2001:db8::1]/x",
        "http://127.0.0.1:8080",
        "http://[::1]:8080/a",
        "http://localhost:1/x",
        "https://h/a&b",
    ] {
        assert_eq!(accepts(text).as_str(), text);
    }
}

#[test]
fn each_fault_is_named() {
    refuses("oidc.example.com", "not an absolute URL");
    refuses("https://", "not an absolute URL");
    refuses("http://oidc.example.com", "not https");
    refuses("ftp://oidc.example.com", "not https");
    refuses("https://oidc.example.com/", "ends in a slash");
    refuses("https://oidc.example.com/a/", "ends in a slash");
    refuses("https://h/a?b", "query");
    refuses("https://h/a#", "fragment");
    refuses("https://u@h/a", "user info");
    refuses("https://h:443/a", "would be read as \"https://h/a\"");
    refuses("https://h/a/../b", "would be read as \"https://h/b\"");
    for scheme in ["httPs", "httpS", "HTTPS"] {
        refuses(&format!("{scheme}://h/a"), "upper-case scheme");
    }
    for odd in [
        "https://h/A%zz",
        "https://h/a%",
        "https://h/%2'/b",
        "https://`h/a",
        "https://10.0.0}1/a",
    ] {
        refuses(odd, "odd character");
    }
    refuses("https://a,https://b", "joins several issuers");
    refuses("https://a/x, https://b/y", "joins several issuers");
    refuses("https://h/a b", "would be read as");
    refuses(" https://h", "would be read as");
    refuses("https:\\\\h", "would be read as");
    refuses(&format!("https://h/{}", "a".repeat(300)), "characters");
}

#[test]
fn urls_are_derived_by_appending() {
    let issuer = accepts("https://h.example:8443/a/b");
    assert_eq!(
        issuer.discovery_url(),
        "https://h.example:8443/a/b/.well-known/openid-configuration"
    );
    assert_eq!(
        issuer.default_jwks_uri().as_str(),
        "https://h.example:8443/a/b/keys.json"
    );
    assert_eq!(
        (issuer.path(), issuer.iam_name().as_str()),
        ("/a/b", "h.example/a/b")
    );
    assert_eq!(accepts("https://h").path(), "");
}

#[test]
fn an_allowed_slash_stays_in_the_issuer_and_out_of_the_paths() {
    let issuer = IssuerUrl::parse("https://h/a/", TrailingSlash::Allow).unwrap();
    assert_eq!(issuer.as_str(), "https://h/a/");
    assert_eq!(
        issuer.discovery_url(),
        "https://h/a/.well-known/openid-configuration"
    );
    assert_eq!(issuer.iam_name(), "h/a/");
    assert!(IssuerUrl::parse("https://h/a//", TrailingSlash::Allow).is_err());
}

#[test]
fn a_jwks_uri_below_the_issuer_has_a_path() {
    let issuer = accepts("https://h/a");
    let below = |text: &str| {
        JwksUri::parse(text)
            .unwrap()
            .below(&issuer)
            .map(str::to_owned)
    };
    assert_eq!(
        below("https://h/a/openid/v1/jwks").as_deref(),
        Some("openid/v1/jwks")
    );
    assert_eq!(below("https://h/ab/keys"), None);
    assert_eq!(below("https://other/a/keys"), None);
    assert_eq!(below("https://h/a/.well-known/openid-configuration"), None);
    for odd in [
        "/",
        "//tmp/keys",
        "/a//b",
        "/a/",
        "/a%2Fb",
        "/.well-known",
        "/k?x",
        "/.well-known/openid-configuration/x",
    ] {
        assert_eq!(below(&format!("https://h/a{odd}")), None, "{odd}");
    }
    assert_eq!(
        below("https://h/a/.well-known/jwks.json").as_deref(),
        Some(".well-known/jwks.json")
    );
    assert!(JwksUri::parse("http://h/keys").is_err());
    assert!(JwksUri::parse("http://evil.localhost/keys").is_err());
}
