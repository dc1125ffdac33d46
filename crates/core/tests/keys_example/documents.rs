use std::collections::BTreeSet;

use irsa_core::block::{KeyFile, Verdict};
use irsa_core::discovery;
use irsa_core::jwks::JwkSet;
use irsa_core::keys::PublicKey;
use serde_json::Value;

use crate::files::{folder, issuer, key_files, read, stem, text, uri, utf8};

const ISSUER: &str = "https://issuer.example.com";
const JWKS_URI: &str = "https://issuer.example.com/keys.json";

#[test]
fn every_key_file_has_the_documents_of_kube_apiserver() {
    for file in key_files("") {
        let name = file.display();
        let parsed = KeyFile::parse(&read(&file));
        let keys = match parsed.apiserver_keys() {
            Ok(keys) => keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>(),
            Err(refusal) => {
                assert!(file.with_extension("refusal").exists(), "{name}: {refusal}");
                continue;
            }
        };
        assert!(
            !file.with_extension("refusal").exists(),
            "{name}: kube-apiserver refuses it"
        );
        let kids: Vec<_> = keys.iter().map(|key| key.kid().to_string()).collect();
        assert_eq!(
            kids.join("\n") + "\n",
            text(&file.with_extension("kid")),
            "{name}"
        );
        let set = JwkSet::from_keys_as_apiserver(&keys);
        assert_eq!(
            utf8(&set.to_bytes()),
            text(&file.with_extension("jwks.json")),
            "{name}"
        );
        let discovery = discovery::to_bytes(&issuer(ISSUER), &uri(JWKS_URI), &set.algorithms());
        assert_eq!(
            utf8(&discovery),
            text(&file.with_extension("discovery.json")),
            "{name}"
        );
        assert_eq!(
            JwkSet::parse(&set.to_bytes()).unwrap(),
            set,
            "{name} read back"
        );
        assert_eq!(
            discovery::parse(&discovery, &issuer(ISSUER))
                .unwrap()
                .jwks_uri,
            uri(JWKS_URI)
        );
    }
}

#[test]
fn no_expected_file_is_left_without_a_key_file() {
    let names: BTreeSet<_> = key_files("").iter().map(|file| stem(file)).collect();
    for entry in std::fs::read_dir(folder("")).unwrap() {
        let path = entry.unwrap().path();
        let expected = path
            .extension()
            .is_some_and(|e| e == "kid" || e == "json" || e == "refusal");
        assert!(
            !expected || names.contains(&stem(&path)),
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_certificate_and_each_spelling_of_a_key_share_its_kid() {
    let kid = |name: &str| text(&folder(&format!("{name}.kid")));
    assert_eq!(kid("rsa2048-certificate"), kid("rsa2048"));
    assert_eq!(kid("rsa2048-pkix-under-rsa-label"), kid("rsa2048"));
    assert_eq!(kid("p256-certificate"), kid("p256"));
    assert_eq!(kid("p521-certificate"), kid("p521"));
    assert_eq!(kid("several-crlf"), kid("several"));
}

#[test]
fn a_pkcs1_public_key_is_skipped_by_kube_apiserver_and_read_by_us() {
    let parsed = KeyFile::parse(&read(&folder("rsa2048-pkcs1.pub")));
    let key = parsed.blocks[0].key.as_ref().unwrap();
    assert_eq!(format!("{}\n", key.kid()), text(&folder("rsa2048.kid")));
    assert!(!matches!(parsed.blocks[0].as_verification, Verdict::Used));
}

#[test]
fn a_key_survives_every_form_in_which_we_write_it() {
    for file in key_files("") {
        for block in KeyFile::parse(&read(&file)).blocks {
            let Ok(key) = block.key else { continue };
            assert_eq!(PublicKey::from_spki(&key.to_spki()).unwrap(), key);
            let again = KeyFile::parse(key.to_pem().as_bytes());
            assert_eq!(again.blocks[0].key.as_ref(), Ok(&key));
        }
    }
}

#[test]
fn the_documents_of_real_servers_are_made_from_their_keys() {
    let made = |files: &[&str]| {
        let mut keys = Vec::new();
        for file in files {
            let parsed = KeyFile::parse(&read(&folder(file)));
            keys.extend(
                parsed
                    .apiserver_keys()
                    .unwrap()
                    .into_iter()
                    .map(|(_, key)| key),
            );
        }
        JwkSet::from_keys_as_apiserver(&keys)
    };
    let [sa, sa2, ec] = ["sa", "sa2", "ec"].map(|name| format!("kube-apiserver-1.36/{name}.pub"));
    let mut pairs = vec![
        (
            made(&[&sa, &ec]),
            "kube-apiserver-1.20/jwks.rsa+ec.json".to_owned(),
        ),
        (
            made(&[&sa, &sa2]),
            "kube-apiserver-1.36/jwks.two-rsa.json".to_owned(),
        ),
    ];
    let mut announced = vec![
        (
            made(&[&sa]),
            "kube-apiserver-1.36/discovery.rs256.json".to_owned(),
        ),
        (
            made(&[&sa, &ec]),
            "kube-apiserver-1.36/discovery.jwks-uri-override.rsa+ec.json".to_owned(),
        ),
        (
            made(&[&sa, &ec]),
            "kube-apiserver-1.20/discovery.json".to_owned(),
        ),
    ];
    for file in key_files("kube-apiserver-1.36/signers") {
        let name = format!("kube-apiserver-1.36/signers/{}", stem(&file));
        pairs.push((made(&[&format!("{name}.pub")]), format!("{name}.jwks.json")));
        announced.push((
            made(&[&format!("{name}.pub")]),
            format!("{name}.discovery.json"),
        ));
    }
    for (set, file) in pairs {
        assert_eq!(utf8(&set.to_bytes()), text(&folder(&file)), "{file}");
    }
    for (set, file) in announced {
        let expected = text(&folder(&file));
        let document: Value = serde_json::from_str(&expected).unwrap();
        let member = |name: &str| document[name].as_str().unwrap().to_owned();
        let made = discovery::to_bytes(
            &issuer(&member("issuer")),
            &uri(&member("jwks_uri")),
            &set.algorithms(),
        );
        assert_eq!(utf8(&made), expected, "{file}");
    }
}
