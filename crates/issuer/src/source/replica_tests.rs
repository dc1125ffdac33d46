use std::collections::HashMap;
use std::sync::Mutex;

use irsa_core::algorithm::Curve;
use irsa_core::documents::IssuerDocuments;
use irsa_core::issuer::TrailingSlash;
use irsa_core::private::PrivateKeyPem;

use super::*;

#[derive(Default)]
struct Store {
    documents: Mutex<HashMap<String, Vec<u8>>>,
    asked: Mutex<Vec<(String, bool)>>,
    down: Mutex<bool>,
}

impl DocumentStore for &Store {
    async fn look(&self, path: &str, seen: Option<&str>) -> Result<Look, PublishError> {
        if *self.down.lock().unwrap() {
            return Err(PublishError::Conflict("the store".into()));
        }
        let found = self.documents.lock().unwrap().get(path).cloned();
        let tag = format!("{found:?}");
        let unchanged = seen == Some(tag.as_str());
        self.asked
            .lock()
            .unwrap()
            .push((path.to_owned(), unchanged));
        Ok(match found {
            None => Look::Absent,
            Some(_) if unchanged => Look::Unchanged,
            Some(bytes) => Look::Found(Stored { bytes, tag }),
        })
    }
}

impl Store {
    fn publish(&self, issuer: &IssuerUrl, scalars: &[u8]) {
        let key = |scalar: &u8| PrivateKeyPem::from_scalar(Curve::P256, &[*scalar]).unwrap();
        let keys: Vec<_> = scalars.iter().map(key).collect();
        let public = keys.iter().map(PrivateKeyPem::public_key);
        let documents = IssuerDocuments::render(issuer.clone(), None, public).unwrap();
        for name in DocumentName::ALL {
            self.put(documents.path(name), documents.bytes(name));
        }
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        self.documents
            .lock()
            .unwrap()
            .insert(path.to_owned(), bytes.to_vec());
    }
}

fn issuer() -> IssuerUrl {
    IssuerUrl::parse("https://h/a", TrailingSlash::Refuse).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn replica(store: &Store) -> Replica<&Store> {
    Replica::new(vec![(issuer(), store)], Duration::from_mins(5)).unwrap()
}

#[tokio::test]
async fn what_is_unchanged_is_not_sent_again() {
    let store = Store::default();
    store.publish(&issuer(), &[1]);
    let mut replica = replica(&store);
    assert_eq!(replica.site().unwrap().up(), (0, 1));
    assert_eq!(replica.look(at(1)).await.reloaded.len(), 1);
    assert_eq!(replica.site().unwrap().up(), (1, 1));
    store.asked.lock().unwrap().clear();
    assert!(replica.look(at(2)).await.is_empty());
    let asked = store.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|(_, unchanged)| *unchanged), "{asked:?}");
    assert_eq!(replica.seen(), [("https://h/a".to_owned(), at(2))]);
}

#[tokio::test]
async fn the_last_good_documents_stay_and_their_age_shows() {
    let store = Store::default();
    store.publish(&issuer(), &[1, 2]);
    let mut replica = replica(&store);
    replica.look(at(1)).await;
    let jwks = store.documents.lock().unwrap()["keys.json"].clone();
    for bad in [&b"<html>"[..], br#"{"keys":[]}"#] {
        store.put("keys.json", bad);
        let changes = replica.look(at(2)).await;
        assert!(changes.refused[0].last_good_kept);
        assert!(replica.look(at(3)).await.is_empty(), "reported once");
        assert_eq!(replica.site().unwrap().up(), (1, 1));
        assert_eq!(replica.seen()[0].1, at(1), "not counted as seen");
    }
    *store.down.lock().unwrap() = true;
    assert!(replica.look(at(4)).await.refused[0].error.retryable());
    *store.down.lock().unwrap() = false;
    store.put("keys.json", &jwks);
    assert_eq!(replica.look(at(5)).await.reloaded.len(), 1);
    assert_eq!(replica.seen()[0].1, at(5));
    store.publish(&issuer(), &[2]);
    assert_eq!(replica.look(at(6)).await.reloaded[0].withdrawn.len(), 1);
}

#[tokio::test]
async fn documents_of_another_issuer_are_not_served() {
    let store = Store::default();
    let other = IssuerUrl::parse("https://h/b", TrailingSlash::Refuse).unwrap();
    store.publish(&other, &[1]);
    let mut replica = replica(&store);
    let changes = replica.look(at(1)).await;
    assert!(!changes.refused[0].last_good_kept);
    assert!(
        changes.refused[0]
            .error
            .to_string()
            .contains("is not that of https://h/a")
    );
    let elsewhere = r#"{"issuer":"https://h/a","jwks_uri":"https://other/keys.json"}"#;
    store.put(".well-known/openid-configuration", elsewhere.as_bytes());
    let changes = replica.look(at(2)).await;
    assert!(
        changes.refused[0]
            .error
            .to_string()
            .contains("which is not below it")
    );
}
