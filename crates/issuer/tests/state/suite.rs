//! What every place must do.

use std::collections::BTreeSet;

use irsa_core::algorithm::Curve;
use irsa_core::change::Expected;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use irsa_core::private::PrivateKeyPem;
use irsa_issuer::publish::Publisher as _;
use irsa_issuer::publish::s3::S3Store;
use irsa_issuer::state::keys::AnyKeys;
use irsa_issuer::state::{RingStore, StateError};

/// A place of key rings, empty at first. `lose` makes somebody else remove the record.
pub(crate) async fn rings(store: &impl RingStore, lose: impl AsyncFn()) {
    assert_eq!(store.load().await.unwrap(), None);
    // It is not there yet, and nothing can be written over it.
    let nothing = Expected::Unchanged("1".into());
    conflict(store, b"0", &nothing).await;
    let first = store
        .save(b"{\"generation\":1}", &Expected::Absent)
        .await
        .unwrap();
    let found = store.load().await.unwrap().unwrap();
    assert_eq!(
        (found.bytes.as_slice(), &found.tag),
        (&b"{\"generation\":1}"[..], &first)
    );
    // A second maker is told so.
    conflict(store, b"{\"generation\":1,\"by\":2}", &Expected::Absent).await;
    // Each save is over the one before.
    let second = store
        .save(b"{\"generation\":2}", &Expected::Unchanged(first.clone()))
        .await
        .unwrap();
    assert_ne!(first, second);
    conflict(
        store,
        b"{\"generation\":2,\"by\":2}",
        &Expected::Unchanged(first),
    )
    .await;
    let tag = race(store, &Expected::Unchanged(second)).await;
    // A record as large as they get.
    let large = vec![b'x'; 600_000];
    let tag = store.save(&large, &Expected::Unchanged(tag)).await.unwrap();
    assert_eq!(store.load().await.unwrap().unwrap().bytes, large);
    // It is lost: the run that still knows it is stopped, and another one begins anew.
    lose().await;
    assert_eq!(store.load().await.unwrap(), None);
    conflict(store, b"{\"generation\":5}", &Expected::Unchanged(tag)).await;
    store
        .save(b"{\"generation\":0}", &Expected::Absent)
        .await
        .unwrap();
    assert_eq!(
        store.load().await.unwrap().unwrap().bytes,
        b"{\"generation\":0}"
    );
}

/// Of eight at once one wins, and its record stands whole; the tag of what stands.
async fn race(store: &impl RingStore, over: &Expected) -> String {
    let racers: Vec<String> = (0..8)
        .map(|by| format!("{{\"generation\":3,\"by\":{by}}}"))
        .collect();
    let saves = racers
        .iter()
        .map(|bytes| store.save(bytes.as_bytes(), over));
    let ended = futures_util::future::join_all(saves).await;
    let winners: Vec<&String> = racers
        .iter()
        .zip(&ended)
        .filter(|(_, ended)| ended.is_ok())
        .map(|(bytes, _)| bytes)
        .collect();
    assert_eq!(winners.len(), 1, "{ended:?}");
    let losers = ended.iter().filter_map(|ended| ended.as_ref().err());
    for error in losers {
        assert!(matches!(error, StateError::Conflict(_)), "{error}");
    }
    let found = store.load().await.unwrap().unwrap();
    assert_eq!(found.bytes, winners.first().unwrap().as_bytes());
    found.tag
}

async fn conflict(store: &impl RingStore, bytes: &[u8], expected: &Expected) {
    let before = store.load().await.unwrap();
    let error = store.save(bytes, expected).await.unwrap_err();
    assert!(matches!(error, StateError::Conflict(_)), "{error}");
    assert_eq!(store.load().await.unwrap(), before);
}

/// Somebody removes the record from a bucket.
pub(crate) async fn remove(store: &S3Store) {
    let found = store.get("ring.json").await.unwrap().unwrap();
    store.remove_if("ring.json", &found.tag).await.unwrap();
}

/// A place of private keys, empty at first.
pub(crate) async fn keys(place: &AnyKeys) {
    assert!(place.kids().await.unwrap().is_empty());
    let key = |scalar| PrivateKeyPem::from_scalar(Curve::P256, &[scalar]).unwrap();
    let (first, second) = (key(7), key(8));
    let kid = |key: &PrivateKeyPem| key.public_key().kid();
    assert!(place.read(&kid(&first)).await.is_err());
    place.store(&first).await.unwrap();
    place.store(&second).await.unwrap();
    let both = BTreeSet::from([kid(&first), kid(&second)]);
    assert_eq!(place.kids().await.unwrap(), both);
    let read = place.read(&kid(&second)).await.unwrap();
    assert_eq!(read.expose_pem(), second.expose_pem());
    place.erase(&kid(&second)).await.unwrap();
    place.erase(&kid(&second)).await.unwrap();
    assert_eq!(place.kids().await.unwrap(), BTreeSet::from([kid(&first)]));
    assert!(place.read(&kid(&second)).await.is_err());
    assert_eq!(place.names().await.unwrap(), BTreeSet::from([kid(&first)]));
    // It belongs to one issuer, from the first that comes; eight may come at once.
    let issuer =
        |n: usize| IssuerUrl::parse(&format!("https://h/{n}"), TrailingSlash::Refuse).unwrap();
    let issuers: Vec<IssuerUrl> = (0..8).map(issuer).collect();
    let binds = issuers.iter().map(|issuer| place.bind(issuer));
    let ended = futures_util::future::join_all(binds).await;
    let bound = ended.iter().filter(|ended| ended.is_ok()).count();
    assert_eq!(bound, 1, "{ended:?}");
    for (issuer, ended) in issuers.iter().zip(&ended) {
        assert_eq!(place.bind(issuer).await.is_ok(), ended.is_ok());
        assert_eq!(place.demand(issuer).await.is_ok(), ended.is_ok());
    }
    assert_eq!(place.kids().await.unwrap(), BTreeSet::from([kid(&first)]));
}
