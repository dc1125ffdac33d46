use irsa_core::issuer::TrailingSlash;
use irsa_core::private::PrivateKeyPem;
use irsa_issuer::keygen::{self, KeyKind};

use super::*;

fn key() -> PrivateKeyPem {
    keygen::generate(KeyKind::Rsa2048).unwrap()
}

fn server(name: &str, accepts: &[&PrivateKeyPem], signs: &PrivateKeyPem) -> StandIn {
    StandIn {
        name: name.to_owned(),
        accepts: accepts.iter().map(|key| key.public_key().clone()).collect(),
        signer: Signer::new(signs).unwrap(),
    }
}

fn traffic(published: &[&PrivateKeyPem]) -> Traffic {
    let issuer = IssuerUrl::parse("http://127.0.0.1:1", TrailingSlash::Refuse).unwrap();
    let keys: Vec<_> = published.iter().map(|key| key.public_key()).collect();
    let mut traffic = Traffic::new(issuer).unwrap();
    // A JWKS that it may keep for the whole test: nothing is fetched.
    traffic.held = Some((Timestamp::MAX, JwkSet::from_keys(keys)));
    traffic
}

/// Without this a rehearsal that looks at nothing would be safe.
#[tokio::test]
async fn what_a_wrong_order_breaks_is_counted() {
    let (old, new) = (key(), key());
    let good = [
        server("api-1", &[&old, &new], &old),
        server("api-2", &[&old, &new], &new),
    ];
    let mut calm = traffic(&[&old, &new]);
    calm.round(good.iter()).await.unwrap();
    assert_eq!((calm.issued, calm.used, calm.refused.len()), (4, 2 + 4, 0));

    let mut unpublished = traffic(&[&old]);
    unpublished.round(good.iter()).await.unwrap();
    assert_eq!(unpublished.refused.len(), 1, "{:?}", unpublished.refused);
    assert!(unpublished.refused[0].starts_with("the relying party, a token of api-2: "));

    let untrusted = [
        server("api-1", &[&old], &old),
        server("api-2", &[&old, &new], &new),
    ];
    let mut traffic = traffic(&[&old, &new]);
    traffic.round(untrusted.iter()).await.unwrap();
    assert_eq!(traffic.refused.len(), 1, "{:?}", traffic.refused);
    assert!(traffic.refused[0].starts_with("api-1, a token of api-2: "));
}
