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
        whole: false,
        key_files: &[],
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
    let cases: [(&[(Flag, &str)], &str); 13] = [
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
            &[
                (Flag::Issuer, OLD),
                (Flag::Issuer, ""),
                (Flag::ApiAudiences, "a"),
            ],
            "\"\" is empty",
        ),
        (
            &[(Flag::Issuer, "https://a https://b")],
            "has a blank in it",
        ),
        (
            &[
                (Flag::Issuer, "https://h/p"),
                (Flag::Issuer, "https://h/p/"),
                (Flag::ApiAudiences, "a"),
            ],
            "differ in a slash at the end",
        ),
        (
            &[(Flag::Issuer, OLD), (Flag::ApiAudiences, "x,x")],
            "--api-audiences=x,x names an audience twice",
        ),
        (
            &[(Flag::Issuer, OLD), (Flag::ApiAudiences, ",")],
            "--api-audiences=, has an empty audience",
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

fn kid(name: &str) -> Kid {
    let file = KeyFile::parse(example(name).as_bytes());
    file.apiserver_keys().unwrap()[0].1.kid()
}

#[test]
fn keys_are_compared_by_kid_and_not_by_name() {
    let flags = occurrences(&[(Flag::Issuer, OLD), (Flag::KeyFile, "/a.pub")]);
    let token_flags = TokenFlags::new([(Flag::Issuer, OLD.to_owned())]);
    let key_files = [("/a.pub".to_owned(), key_file(&example("p256.pub")))];
    let verified = ("/a.key".to_owned(), Seen::Read(kid("p256.pub")));
    let other = ("/b.key".to_owned(), Seen::Read(kid("rsa2048.pub")));
    let api_server = |signing| Inspected {
        role: Role::ApiServer,
        occurrences: &flags,
        flags: &token_flags,
        whole: false,
        key_files: &key_files,
        signing: Some(signing),
    };
    let manager = |signing| Inspected {
        role: Role::ControllerManager,
        ..api_server(signing)
    };
    let found = of_component(&api_server(&other), None);
    assert!(
        found[0]
            .message
            .contains("is in no --service-account-key-file"),
        "{found:?}"
    );
    assert_eq!(of_component(&api_server(&verified), None), []);
    let found = between(&api_server(&verified), &manager(&other));
    assert_eq!(found[0].severity, Severity::Problem);
    assert_eq!(between(&api_server(&other), &manager(&other)), []);
}

#[test]
fn blocks_that_are_passed_over_are_shown() {
    let flags = occurrences(&[(Flag::Issuer, OLD)]);
    let token_flags = TokenFlags::new([(Flag::Issuer, OLD.to_owned())]);
    let damaged = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let key_files = [
        (
            "/a.pub".to_owned(),
            key_file(&format!("{}{damaged}", example("p256.pub"))),
        ),
        ("/b.pub".to_owned(), Seen::NotMounted),
    ];
    let inspected = Inspected {
        role: Role::ApiServer,
        occurrences: &flags,
        flags: &token_flags,
        whole: false,
        key_files: &key_files,
        signing: None,
    };
    let found = of_component(&inspected, None);
    assert!(found[0].message.starts_with("/a.pub:"), "{found:?}");
    assert!(found[1].message.contains("in no volume"), "{found:?}");
}

const CURRENT: &str = "/pki/sa.key";

#[test]
fn what_is_not_there_and_what_cannot_be_seen_are_told_apart() {
    let flags = occurrences(&[
        (Flag::Issuer, OLD),
        (Flag::KeyFile, "/a.pub"),
        (Flag::SigningKeyFile, CURRENT),
    ]);
    let token_flags = TokenFlags::new(flags.iter().map(|one| (one.flag, one.value.clone())));
    let looked = |seen: Seen<KeyFile>| {
        let key_files = [("/a.pub".to_owned(), seen)];
        let signing = (CURRENT.to_owned(), Seen::Denied);
        let inspected = Inspected {
            role: Role::ApiServer,
            occurrences: &flags,
            flags: &token_flags,
            whole: true,
            key_files: &key_files,
            signing: Some(&signing),
        };
        let text = |list: Vec<Finding>| list.into_iter().map(|one| one.message).collect::<Vec<_>>();
        [
            text(of_component(&inspected, None)),
            text(not_looked_at(&inspected)),
        ]
    };
    let denied =
        "\"/pki/sa.key\" cannot be read by this user: its keys were not looked at".to_owned();
    let [problems, notes] = looked(Seen::Missing);
    assert!(
        problems[0].starts_with("\"/a.pub\" does not exist on this host"),
        "{problems:?}"
    );
    assert_eq!(notes, std::slice::from_ref(&denied));
    let [problems, notes] = looked(Seen::NotHere);
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        notes,
        [
            "\"/a.pub\" is not on this host: its keys were not looked at".to_owned(),
            denied
        ]
    );
}

#[test]
fn a_manifest_without_key_flags_does_not_start() {
    let flags = occurrences(&[(Flag::Issuer, OLD)]);
    let token_flags = TokenFlags::new([(Flag::Issuer, OLD.to_owned())]);
    let of = |whole| {
        let inspected = Inspected {
            role: Role::ApiServer,
            occurrences: &flags,
            flags: &token_flags,
            whole,
            key_files: &[],
            signing: None,
        };
        of_component(&inspected, None)
            .into_iter()
            .map(|one| one.message)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(false), [""; 0], "a distribution that sets them itself");
    assert_eq!(
        of(true),
        [
            "--service-account-key-file is not set",
            "--service-account-signing-key-file is not set"
        ]
    );
}

#[test]
fn two_signing_paths_that_cannot_be_seen_are_told() {
    let token_flags = TokenFlags::new([(Flag::Issuer, OLD.to_owned())]);
    let of = |role, signing| Inspected {
        role,
        occurrences: &[],
        flags: &token_flags,
        whole: true,
        key_files: &[],
        signing: Some(signing),
    };
    let ours = (CURRENT.to_owned(), Seen::NotHere);
    let theirs = ("/pki/old.key".to_owned(), Seen::NotHere);
    let found = between(
        &of(Role::ApiServer, &ours),
        &of(Role::ControllerManager, &theirs),
    );
    assert!(
        found[0]
            .message
            .contains("whether they are one key cannot be seen"),
        "{found:?}"
    );
    assert_eq!(
        between(
            &of(Role::ApiServer, &ours),
            &of(Role::ControllerManager, &ours)
        ),
        []
    );
}
