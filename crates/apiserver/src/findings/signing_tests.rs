use irsa_core::block::KeyFile;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};

use super::*;
use crate::flags::TokenFlags;

fn key_file(name: &str) -> KeyFile {
    let path = format!("{}/../../keys-example/{name}", env!("CARGO_MANIFEST_DIR"));
    KeyFile::parse(&std::fs::read(path).unwrap())
}

fn kid(name: &str) -> Kid {
    key_file(name).apiserver_keys().unwrap()[0].1.kid()
}

const CURRENT: &str = "/pki/sa.key";

/// A file with one key file and one signing key, each as it is seen, brought to a phase with `named` as --key-file.
fn demanded(
    key: Seen<KeyFile>,
    signing: (&str, Seen<Kid>),
    changed: bool,
    named: &[&str],
) -> Result<(), Unverified> {
    let token_flags = TokenFlags::new([(Flag::KeyFile, "/pki/sa.pub".to_owned())]);
    let key_files = [("/pki/sa.pub".to_owned(), key)];
    let signing = (signing.0.to_owned(), signing.1);
    let inspected = Inspected {
        role: Role::ApiServer,
        occurrences: &[],
        flags: &token_flags,
        whole: true,
        key_files: &key_files,
        signing: Some(&signing),
    };
    let wanted = Wanted {
        issuer: IssuerUrl::parse("https://h/p", TrailingSlash::Refuse).unwrap(),
        jwks_uri: None,
        key_files: named.iter().map(|file| (*file).to_owned()).collect(),
        signing_key_file: changed.then(|| signing.0.clone()),
        api_audiences: Vec::new(),
        remove_issuers: Vec::new(),
        remove_key_files: Vec::new(),
    };
    demand_verified(&inspected, changed, &wanted, &[])
}

#[test]
fn a_key_that_nobody_verifies_does_not_sign() {
    let accepted = || Seen::Read(key_file("p256.pub"));
    let (same, other) = (kid("p256.pub"), kid("rsa2048.pub"));
    let new = "/pki/new.key";
    // The files show it, whatever is named.
    assert_eq!(
        demanded(accepted(), (new, Seen::Read(same)), true, &[]),
        Ok(())
    );
    for changed in [true, false] {
        let refused = demanded(
            accepted(),
            (new, Seen::Read(other.clone())),
            changed,
            &["/pki/sa.pub"],
        );
        assert!(
            matches!(refused, Err(Unverified::Missing { .. })),
            "{refused:?}"
        );
    }
    // They cannot be seen: a file must be named that could have it, and be accepted.
    let unnamed = Err(Unverified::Unnamed {
        path: new.to_owned(),
    });
    for (named, expected) in [
        (&[][..], unnamed.clone()),
        (&["/pki/else.pub"], unnamed.clone()),
        (&["/pki/sa.pub"], Ok(())),
    ] {
        assert_eq!(
            demanded(Seen::NotHere, (new, Seen::NotHere), true, named),
            expected
        );
        let signing = Seen::Read(other.clone());
        assert_eq!(
            demanded(Seen::Missing, (new, signing), true, named),
            expected
        );
    }
    // What signs already is not judged unseen.
    assert_eq!(
        demanded(Seen::NotHere, (CURRENT, Seen::NotHere), false, &[]),
        Ok(())
    );
}
