use irsa_core::issuer::{IssuerUrl, TrailingSlash};

use super::*;
use crate::edit::Path;

const OLD: &str = "https://kubernetes.default.svc.cluster.local";

fn occurrences(flags: &[(Flag, &str)]) -> Vec<Occurrence> {
    flags
        .iter()
        .map(|(flag, value)| Occurrence {
            flag: *flag,
            value: (*value).to_owned(),
            path: Path::root(),
        })
        .collect()
}

fn messages(flags: &[(Flag, &str)], wanted: Option<&Wanted>) -> Vec<String> {
    let occurrences = occurrences(flags);
    let token_flags = TokenFlags::new(
        flags
            .iter()
            .map(|(flag, value)| (*flag, (*value).to_owned())),
    );
    let inspected = Inspected {
        role: Role::ApiServer,
        occurrences: &occurrences,
        flags: &token_flags,
        key_files: Vec::new(),
        signing: None,
    };
    of_component(&inspected, wanted)
        .into_iter()
        .map(|finding| finding.message)
        .collect()
}

fn key_file(text: &str) -> Seen<KeyFile> {
    Seen::Read(KeyFile::parse(text.as_bytes()))
}

fn example(name: &str) -> String {
    std::fs::read_to_string(format!(
        "{}/../../keys-example/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

#[test]
fn a_stock_cluster_has_no_fault() {
    let none: [String; 0] = [];
    assert_eq!(
        messages(&[(Flag::Issuer, OLD), (Flag::KeyFile, "/a")], None),
        none
    );
}

#[test]
fn each_fault_is_named() {
    let cases: [(&[(Flag, &str)], &str); 8] = [
        (
            &[(Flag::Issuer, "https://a,https://b")],
            "never splits at commas",
        ),
        (
            &[
                (Flag::Issuer, OLD),
                (Flag::Issuer, OLD),
                (Flag::ApiAudiences, "a"),
            ],
            "is given twice",
        ),
        (
            &[(Flag::Issuer, "kubernetes/serviceaccount")],
            "expected an https URL",
        ),
        (&[], "is not set"),
        (
            &[
                (Flag::Issuer, OLD),
                (Flag::ApiAudiences, "x,sts.amazonaws.com"),
            ],
            "accepted by the cluster too",
        ),
        (
            &[(Flag::Issuer, OLD), (Flag::JwksUri, "http://x")],
            "expected an https URL",
        ),
        (
            &[
                (Flag::Issuer, OLD),
                (Flag::SigningKeyFile, "/a"),
                (Flag::SigningKeyFile, "/b"),
            ],
            "\"/b\" is used, \"/a\" is not",
        ),
        (
            &[(Flag::Issuer, OLD), (Flag::Issuer, "https://b")],
            "it follows the issuers",
        ),
    ];
    for (flags, expected) in cases {
        let found = messages(flags, None);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn what_differs_from_what_is_wanted_is_named() {
    let wanted = Wanted {
        issuer: IssuerUrl::parse("https://h/p", TrailingSlash::Refuse).unwrap(),
        jwks_uri: None,
        key_files: vec!["/new.pub".to_owned()],
        signing_key_file: Some("/new.key".to_owned()),
        api_audiences: Vec::new(),
        remove_issuers: Vec::new(),
        remove_key_files: Vec::new(),
    };
    let found = messages(
        &[(Flag::Issuer, "https://h/p/"), (Flag::KeyFile, "/sa.pub")],
        Some(&wanted),
    );
    assert_eq!(
        found,
        [
            "the first --service-account-issuer is \"https://h/p/\", expected \"https://h/p\"",
            "no --service-account-key-file is \"/new.pub\"",
            "--service-account-signing-key-file is \"not set\", expected \"/new.key\"",
        ]
    );
}

#[test]
fn keys_are_compared_by_kid_and_not_by_name() {
    let other = KeyFile::parse(example("rsa2048.pub").as_bytes())
        .apiserver_keys()
        .unwrap()[0]
        .1
        .kid();
    let flags = occurrences(&[(Flag::Issuer, OLD), (Flag::KeyFile, "/a.pub")]);
    let token_flags = TokenFlags::new([(Flag::Issuer, OLD.to_owned())]);
    let inspected = |role, signing: &Kid| Inspected {
        role,
        occurrences: &flags,
        flags: &token_flags,
        key_files: vec![("/a.pub".to_owned(), key_file(&example("p256.pub")))],
        signing: Some(("/a.key".to_owned(), Seen::Read(signing.clone()))),
    };
    let found = of_component(&inspected(Role::ApiServer, &other), None);
    assert!(
        found[0]
            .message
            .contains("is in no --service-account-key-file"),
        "{found:?}"
    );
    let verified = KeyFile::parse(example("p256.pub").as_bytes())
        .apiserver_keys()
        .unwrap()[0]
        .1
        .kid();
    assert_eq!(
        of_component(&inspected(Role::ApiServer, &verified), None),
        []
    );
    let found = between(
        &inspected(Role::ApiServer, &verified),
        &inspected(Role::ControllerManager, &other),
    );
    assert_eq!(found[0].severity, Severity::Problem);
    assert_eq!(
        between(
            &inspected(Role::ApiServer, &other),
            &inspected(Role::ControllerManager, &other)
        ),
        []
    );
}

#[test]
fn blocks_that_are_passed_over_are_shown() {
    let flags = occurrences(&[(Flag::Issuer, OLD)]);
    let token_flags = TokenFlags::new([(Flag::Issuer, OLD.to_owned())]);
    let text = format!(
        "{}-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        example("p256.pub")
    );
    let inspected = Inspected {
        role: Role::ApiServer,
        occurrences: &flags,
        flags: &token_flags,
        key_files: vec![
            ("/a.pub".to_owned(), key_file(&text)),
            ("/b.pub".to_owned(), Seen::NotMounted),
        ],
        signing: None,
    };
    let found = of_component(&inspected, None);
    assert!(found[0].message.starts_with("/a.pub:"), "{found:?}");
    assert!(found[1].message.contains("in no volume"), "{found:?}");
}
