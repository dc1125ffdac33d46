//! kube-apiserver's flags in the files of a distribution (IRSA_FUZZ_DISTRO; without it all of them): whatever the file,
//! no panic; what is written says what was intended (the patch checks that itself), a second run changes nothing, and
//! every comment line is still there.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use irsa_apiserver::distro::Distro;
use irsa_apiserver::flags::Flag;
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

/// What is to go at the end: everything but ours.
fn retiring(manifest: &Manifest<'_>) -> Wanted {
    let mut gone = wanted(false);
    for component in &manifest.components {
        let Ok((_, flags)) = manifest.flags(component) else {
            continue;
        };
        let others = |flag, ours: &str| {
            let values = flags.values(flag).iter();
            let others = values.filter(|value| *value != ours);
            others.cloned().collect::<Vec<_>>()
        };
        let issuers = others(Flag::Issuer, gone.issuer.as_str());
        gone.remove_issuers.extend(issuers);
        gone.remove_key_files
            .extend(others(Flag::KeyFile, "/etc/kubernetes/irsa/new.pub"));
    }
    gone
}

/// Lines that are comments, in no order: an item moves with its own.
fn comments(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    let mut comments: Vec<_> = lines.filter(|line| line.starts_with('#')).collect();
    comments.sort_unstable();
    comments
}

/// Whether a line that looks like a comment is one, in at least one of its places: without a comment the text means the same.
/// A quoted value over several lines may hold such a line too, and loses it with the flag that it belongs to.
fn is_comment(text: &str, line: &str) -> bool {
    let meaning = yaml::parse(text).expect("it was read");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut places = (0..lines.len()).filter(|place| lines[*place].trim() == line);
    places.any(|place| {
        let without = [&lines[..place], &lines[place + 1..]].concat().concat();
        yaml::parse(&without).is_ok_and(|it| it == meaning)
    })
}

/// Brings a text into a phase, if that can be, and holds the result to what every result must keep.
fn brought(text: &str, distro: Distro, wanted: &Wanted, phase: Phase) -> Option<String> {
    let path = Path::new("fuzzed.yaml");
    let manifest = Manifest::read(text, path, Some(distro)).ok()?;
    let patched = manifest.patch(wanted, phase).ok()?;
    let again =
        Manifest::read(&patched.text, path, Some(distro)).expect("what we wrote can be read");
    let again = again
        .patch(wanted, phase)
        .expect("what we wrote can be patched");
    assert_eq!(again.text, patched.text, "a second run changes nothing");
    assert!(again.changes.is_empty());
    let before = yaml::parse(text).expect("it was read");
    let after = yaml::parse(&patched.text).expect("it was written");
    // A file that says nothing may have no document yet.
    assert!(
        yaml::is_blank(&before) || before.len() == after.len(),
        "as many documents as before"
    );
    assert_eq!(
        patched.text == text,
        patched.changes.is_empty() && patched.mounts == 0
    );
    let kept = comments(&patched.text);
    let lost = comments(text)
        .into_iter()
        .find(|line| !kept.contains(line) && is_comment(text, line));
    assert_eq!(lost, None, "a comment line is lost");
    let shown = irsa_apiserver::diff::shown("fuzzed.yaml", text, &patched.text);
    assert_eq!(shown.is_empty(), text == patched.text);
    Some(patched.text)
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
        // One way or the other: both for every text would halve how many are tried.
        if text.len().is_multiple_of(2) {
            brought(text, *distro, &wanted(false), Phase::Accept);
            brought(text, *distro, &wanted(true), Phase::New);
            continue;
        }
        let Some(accepted) = brought(text, *distro, &wanted(true), Phase::Accept) else {
            continue;
        };
        let Some(signed) = brought(&accepted, *distro, &wanted(true), Phase::Sign) else {
            continue;
        };
        let signed_manifest =
            Manifest::read(&signed, path, Some(*distro)).expect("what we wrote can be read");
        brought(&signed, *distro, &retiring(&signed_manifest), Phase::Retire);
    }
});
