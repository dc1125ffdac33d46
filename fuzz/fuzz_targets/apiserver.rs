//! kube-apiserver's flags in the files of a distribution (IRSA_FUZZ_DISTRO; without it all of them): whatever the file,
//! no panic; what is written says what was intended (the patch checks that itself) and a second run changes nothing.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use irsa_apiserver::distro::Distro;
use irsa_apiserver::patch::Manifest;
use irsa_apiserver::plan::{Phase, Wanted};
use irsa_apiserver::yaml;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};
use libfuzzer_sys::fuzz_target;

static DISTROS: LazyLock<Vec<Distro>> = LazyLock::new(|| match std::env::var("IRSA_FUZZ_DISTRO") {
    Ok(name) => vec![name.parse().expect("a distribution")],
    Err(_) => Distro::all().collect(),
});

fn wanted(keys: bool) -> Wanted {
    Wanted {
        issuer: IssuerUrl::parse("https://oidc.example.com/prod", TrailingSlash::Refuse)
            .expect("an issuer"),
        jwks_uri: None,
        key_files: keys
            .then(|| "/etc/kubernetes/irsa/new.pub".to_owned())
            .into_iter()
            .collect(),
        signing_key_file: keys.then(|| "/etc/kubernetes/irsa/new.key".to_owned()),
        api_audiences: Vec::new(),
        remove_issuers: Vec::new(),
        remove_key_files: Vec::new(),
    }
}

fuzz_target!(|text: &str| {
    let path = Path::new("fuzzed.yaml");
    for distro in DISTROS.iter() {
        let Ok(manifest) = Manifest::read(text, path, Some(*distro)) else {
            continue;
        };
        for component in &manifest.components {
            // Only documents that could be read become components, but a form in them may still be wrong.
            if let Ok((_, flags)) = manifest.flags(component) {
                let _ = flags.audiences();
            }
        }
        for (phase, keys) in [
            (Phase::Accept, false),
            (Phase::Accept, true),
            (Phase::New, true),
        ] {
            let Ok(patched) = manifest.patch(&wanted(keys), phase) else {
                continue;
            };
            let again = Manifest::read(&patched.text, path, Some(*distro))
                .expect("what we wrote can be read");
            let again = again
                .patch(&wanted(keys), phase)
                .expect("what we wrote can be patched");
            assert_eq!(again.text, patched.text, "a second run changes nothing");
            assert!(again.changes.is_empty());
            let before = yaml::parse(text).expect("it was read");
            let after = yaml::parse(&patched.text).expect("it was written");
            assert_eq!(before.len(), after.len(), "as many documents as before");
            assert_eq!(
                patched.text == text,
                patched.changes.is_empty() && patched.mounts == 0
            );
        }
    }
});
