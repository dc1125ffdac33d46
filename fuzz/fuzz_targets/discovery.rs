//! Discovery documents: the first line is the issuer, the rest the document.
#![no_main]

use irsa_core::algorithm::Algorithm;
use irsa_core::discovery;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (issuer, document) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(issuer) = IssuerUrl::parse(issuer, TrailingSlash::Allow) else {
        return;
    };
    if let Ok(read) = discovery::parse(document.as_bytes(), &issuer) {
        let again = discovery::to_bytes(&issuer, &read.jwks_uri, &[]);
        let again = discovery::parse(&again, &issuer).expect("what we write is read");
        assert_eq!(again.jwks_uri, read.jwks_uri);
    }
    let uri = issuer.default_jwks_uri();
    let written = discovery::to_bytes(&issuer, &uri, &Algorithm::ALL);
    let read = discovery::parse(&written, &issuer).expect("what we write is read");
    assert_eq!(read.jwks_uri, uri);
    assert_eq!(
        read.algorithms,
        Algorithm::ALL.map(|algorithm| algorithm.name().to_owned())
    );
});
