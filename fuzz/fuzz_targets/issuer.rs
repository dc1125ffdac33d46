//! Issuer URLs: the text is kept, and what is derived from it is what a relying party fetches.
#![no_main]

use irsa_core::issuer::{DISCOVERY_PATH, IssuerUrl, JwksUri, TrailingSlash};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|text: &str| {
    if let Ok(uri) = JwksUri::parse(text) {
        assert_eq!(uri.as_str(), text);
    }
    let strict = IssuerUrl::parse(text, TrailingSlash::Refuse);
    let Ok(issuer) = IssuerUrl::parse(text, TrailingSlash::Allow) else {
        assert!(strict.is_err());
        return;
    };
    assert_eq!(issuer.as_str(), text);
    assert_eq!(strict.is_ok(), !text.ends_with('/'));
    assert!(issuer.is_https() || issuer.is_loopback());

    // The URL that is fetched is the text and the path appended: no part of it is normalised away.
    let fetched = Url::parse(&issuer.discovery_url()).expect("a URL");
    assert_eq!(fetched.path(), format!("{}{DISCOVERY_PATH}", issuer.path()));
    assert!(
        fetched.query().is_none() && fetched.fragment().is_none() && fetched.username().is_empty()
    );

    let uri = issuer.default_jwks_uri();
    assert_eq!(JwksUri::parse(uri.as_str()).as_ref(), Ok(&uri));
    assert_eq!(uri.below(&issuer), Some("keys.json"));

    let name = issuer.iam_name();
    assert!(issuer.as_str().len() > name.len() + "://".len());
    assert!(
        name.strip_suffix('/')
            .unwrap_or(&name)
            .ends_with(issuer.path())
    );
});
