use super::*;
use crate::algorithm::Curve;
use crate::issuer::TrailingSlash;
use crate::keys::PublicKey;
use crate::private::PrivateKeyPem;

fn key(scalar: u8) -> PublicKey {
    PrivateKeyPem::from_scalar(Curve::P256, &[scalar])
        .unwrap()
        .public_key()
        .clone()
}

fn documents(issuer: &str, keys: &[PublicKey]) -> IssuerDocuments {
    let issuer = IssuerUrl::parse(issuer, TrailingSlash::Refuse).unwrap();
    IssuerDocuments::render(issuer, None, keys).unwrap()
}

fn wanted(keys: &[u8]) -> IssuerDocuments {
    documents(
        "https://h/a",
        &keys.iter().map(|scalar| key(*scalar)).collect::<Vec<_>>(),
    )
}

fn holding(documents: &IssuerDocuments) -> Observed {
    let stored = |name| {
        Some(Stored {
            bytes: documents.bytes(name).to_vec(),
            tag: "t".into(),
        })
    };
    Observed {
        discovery: stored(DocumentName::Discovery),
        jwks: stored(DocumentName::Jwks),
        other_jwks: None,
    }
}

#[test]
fn an_empty_store_gets_the_keys_first() {
    let changes = plan(&wanted(&[1]), &Observed::default(), &[]).unwrap();
    let names: Vec<_> = changes.iter().map(|change| change.name).collect();
    assert_eq!(names, DocumentName::ALL);
    assert!(
        changes
            .iter()
            .all(|change| change.expected == Expected::Absent)
    );
}

#[test]
fn a_second_run_changes_nothing() {
    assert!(
        plan(&wanted(&[1, 2]), &holding(&wanted(&[1, 2])), &[])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn adding_a_key_rewrites_the_jwks_that_was_read() {
    let changes = plan(&wanted(&[1, 2]), &holding(&wanted(&[1])), &[]).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].expected, Expected::Unchanged("t".into()));
    assert_eq!(changes[0].keys.added[0].kid, key(2).kid().as_str());
    assert!(
        changes[0].to_string().contains("\n  + key "),
        "{}",
        changes[0]
    );
}

#[test]
fn a_published_key_is_dropped_only_by_name() {
    let observed = holding(&wanted(&[1, 2]));
    let error = plan(&wanted(&[2]), &observed, &[]).unwrap_err();
    let kid = key(1).kid().to_string();
    assert!(error.to_string().contains(&kid), "{error}");
    assert!(
        error
            .help()
            .unwrap()
            .contains(&format!("--withdraw \"{kid}\""))
    );
    let changes = plan(&wanted(&[2]), &observed, std::slice::from_ref(&kid)).unwrap();
    assert_eq!(changes[0].keys.removed[0].kid, kid);
    let both = plan(&wanted(&[1, 2]), &observed, &[kid]);
    assert!(matches!(
        both,
        Err(PublicationError::WithdrawnButGiven { .. })
    ));
}

#[test]
fn entries_that_we_cannot_use_are_not_lost_either() {
    let mut observed = holding(&wanted(&[1]));
    let stored = observed.jwks.as_mut().unwrap();
    stored.bytes = br#"{"keys":[{"kty":"OKP","kid":"edwards"}]}"#.to_vec();
    assert!(
        plan(&wanted(&[1]), &observed, &[])
            .unwrap_err()
            .to_string()
            .contains("edwards")
    );
    assert!(plan(&wanted(&[1]), &observed, &["edwards".into()]).is_ok());
}

#[test]
fn the_seeds_duplicate_with_an_empty_kid_goes_only_by_name() {
    let mut observed = holding(&wanted(&[1]));
    let stored = observed.jwks.as_mut().unwrap();
    let text = String::from_utf8(stored.bytes.clone()).unwrap();
    let entry = text
        .trim_start_matches("{\"keys\":[")
        .trim_end_matches("]}");
    let empty = entry.replace(key(1).kid().as_str(), "");
    stored.bytes = format!("{{\"keys\":[{entry},{empty}]}}").into_bytes();
    let error = plan(&wanted(&[1]), &observed, &[]).unwrap_err();
    assert!(
        error.help().unwrap().ends_with("--withdraw \"\""),
        "{:?}",
        error.help()
    );
    assert_eq!(
        plan(&wanted(&[1]), &observed, &[String::new()])
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn keys_at_another_place_are_not_forgotten() {
    let issuer = wanted(&[1]).issuer().clone();
    let uri = JwksUri::parse("https://h/a/openid/v1/jwks").unwrap();
    let before = IssuerDocuments::render(issuer, Some(uri), &[key(1), key(2)]).unwrap();
    let mut observed = holding(&before);
    let discovery = observed.discovery.clone().unwrap();
    assert_eq!(
        other_jwks_path(&wanted(&[1]), &discovery).as_deref(),
        Some("openid/v1/jwks")
    );
    assert_eq!(other_jwks_path(&before, &discovery), None);

    observed.other_jwks = observed.jwks.take();
    assert_eq!(
        left_behind(&wanted(&[1, 2]), &observed).as_deref(),
        Some("openid/v1/jwks")
    );
    assert_eq!(left_behind(&before, &holding(&before)), None);
    let error = plan(&wanted(&[1]), &observed, &[]).unwrap_err();
    assert!(
        matches!(error, PublicationError::WouldDrop { .. }),
        "{error}"
    );
    assert_eq!(plan(&wanted(&[1, 2]), &observed, &[]).unwrap().len(), 2);
    observed.other_jwks = None;
    let error = plan(&wanted(&[1, 2]), &observed, &[]).unwrap_err();
    assert!(
        matches!(error, PublicationError::JwksElsewhere { .. }),
        "{error}"
    );
}

#[test]
fn a_mistyped_withdrawal_is_noticed() {
    let typed = [key(1).kid().to_string(), "typo".to_owned()];
    assert_eq!(not_published(&holding(&wanted(&[1])), &typed), ["typo"]);
}

#[test]
fn another_issuers_store_and_unreadable_keys_are_left_alone() {
    let other = documents("https://h/b", &[key(1)]);
    let error = plan(&wanted(&[1]), &holding(&other), &[]).unwrap_err();
    assert!(matches!(error, PublicationError::ForeignDiscovery { .. }));
    let mut observed = holding(&wanted(&[1]));
    observed.jwks.as_mut().unwrap().bytes = b"<html>".to_vec();
    let error = plan(&wanted(&[1]), &observed, &[]).unwrap_err();
    assert!(matches!(error, PublicationError::ForeignJwks { .. }));
}
