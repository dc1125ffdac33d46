//! Every published example in `tests/golden`: brought through the phases, compared with the file beside it.
//!
//! `before.yaml` is the example; `accept.yaml`, `sign.yaml` (made from it) and `new.yaml` are what comes out, or
//! `accept.refused`, `new.refused` the reason why nothing does. `UPDATE_GOLDEN=1 cargo test -p irsa-apiserver` writes
//! them anew, for a person to read before they are committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use irsa_apiserver::distro::{DetectError, Distro};
use irsa_apiserver::patch::{Manifest, PatchError};
use irsa_apiserver::plan::{Phase, Wanted};
use irsa_core::explain::Explain as _;
use irsa_core::issuer::{IssuerUrl, JwksUri, TrailingSlash};

/// Keys where the distribution can show them to kube-apiserver, or none where it has its own only.
fn wanted(distro: &str) -> Wanted {
    let directory = match distro {
        "kind" => Some("/etc/kubernetes/pki/irsa"),
        "kops" => Some("/srv/kubernetes/kube-apiserver"),
        "talos" | "eks-anywhere" => None,
        _ => Some("/etc/kubernetes/irsa"),
    };
    let jwks_uri = JwksUri::parse("https://oidc.example.com/prod/keys.json").unwrap();
    Wanted {
        issuer: IssuerUrl::parse("https://oidc.example.com/prod", TrailingSlash::Refuse).unwrap(),
        jwks_uri: (!["kops", "talos"].contains(&distro)).then_some(jwks_uri),
        key_files: directory
            .iter()
            .map(|directory| format!("{directory}/2026-11.pub"))
            .collect(),
        signing_key_file: directory.map(|directory| format!("{directory}/2026-11.key")),
        api_audiences: Vec::new(),
        remove_issuers: Vec::new(),
        remove_key_files: Vec::new(),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

/// Every case of a distribution, and every distribution that has cases.
fn cases() -> Vec<(String, PathBuf)> {
    let mut cases = Vec::new();
    for distro in Distro::all() {
        let name = distro.to_string();
        let found = fs::read_dir(root().join(&name))
            .unwrap_or_else(|_| panic!("no golden files for {name}"));
        let before = cases.len();
        cases.extend(found.map(|case| (name.clone(), case.unwrap().path())));
        assert!(cases.len() > before, "no golden files for {name}");
    }
    cases.sort();
    cases
}

fn patch(text: &str, distro: &str, phase: Phase) -> Result<String, String> {
    let run = |text: &str| {
        // The path of the file is evidence for some: here it says nothing.
        let known = distro.parse().unwrap();
        let manifest = Manifest::read(text, Path::new("before.yaml"), Some(known))?;
        manifest.patch(&wanted(distro), phase)
    };
    let patched = run(text)
        .map_err(|error| format!("{error}\nhelp: {}\n", error.help().unwrap_or_default()))?;
    let again = run(&patched.text).unwrap();
    assert_eq!(again.text, patched.text, "a second run changes nothing");
    assert!(again.changes.is_empty());
    Ok(patched.text)
}

fn compare(case: &Path, name: &str, result: &Result<String, String>) {
    let (yaml, refused) = (
        case.join(format!("{name}.yaml")),
        case.join(format!("{name}.refused")),
    );
    let (file, text, other) = match result {
        Ok(text) => (yaml, text, refused),
        Err(reason) => (refused, reason, yaml),
    };
    assert!(!other.exists(), "{}: {text}", other.display());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, text).unwrap();
    }
    let expected = fs::read_to_string(&file)
        .unwrap_or_else(|_| panic!("{} is missing: {text}", file.display()));
    assert_eq!(text, &expected, "{}", file.display());
}

#[test]
fn every_example_comes_through_every_phase() {
    for (distro, case) in cases() {
        let before = fs::read_to_string(case.join("before.yaml")).unwrap();
        let accepted = patch(&before, &distro, Phase::Accept);
        compare(&case, "accept", &accepted);
        if let Ok(accepted) = accepted {
            compare(&case, "sign", &patch(&accepted, &distro, Phase::Sign));
        }
        compare(&case, "new", &patch(&before, &distro, Phase::New));
    }
}

#[test]
fn signing_first_is_refused_everywhere() {
    for (distro, case) in cases() {
        let before = fs::read_to_string(case.join("before.yaml")).unwrap();
        // A file with the controller-manager alone has nothing to accept.
        if patch(&before, &distro, Phase::Accept).is_ok_and(|accepted| accepted == before) {
            continue;
        }
        let error = patch(&before, &distro, Phase::Sign).unwrap_err();
        assert!(!error.is_empty(), "{}", case.display());
    }
}

#[test]
fn every_example_is_recognised_by_what_is_in_it() {
    for (distro, case) in cases() {
        let before = fs::read_to_string(case.join("before.yaml")).unwrap();
        match Manifest::read(&before, &case.join("before.yaml"), None) {
            Ok(manifest) => assert_eq!(
                manifest.detected.distro.to_string(),
                distro,
                "{}",
                case.display()
            ),
            // A configuration that says nothing is told by its path.
            Err(PatchError::Detect(DetectError::Unknown)) => {
                let path = format!("/etc/rancher/{distro}/config.yaml");
                let manifest = Manifest::read(&before, Path::new(&path), None).unwrap();
                assert_eq!(manifest.detected.distro.to_string(), distro);
            }
            // Two that cannot be told apart are named, and the right one is among them.
            Err(error) => {
                let refused = case.join("accept.refused").exists();
                assert!(
                    refused || error.to_string().contains(&distro),
                    "{}: {error}",
                    case.display()
                );
            }
        }
    }
}
