//! Our readers against kube-apiserver's own, over cases that `tests/e2e/oracle` made.
//!
//! `tests/apiserver_corpus.jsonl` is a small corpus of public keys, committed. A larger one, with private keys, is
//! made by `tests/e2e/run`, which names it in `IRSA_CORPUS`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test; clippy exempts only what stands inside a test function"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use irsa_core::block::KeyFile;
use irsa_core::discovery;
use irsa_core::issuer::{IssuerUrl, JwksUri, TrailingSlash};
use irsa_core::jwks::JwkSet;
use irsa_core::pem;
use irsa_core::private::PrivateKeyPem;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

#[derive(Deserialize)]
struct Case {
    id: usize,
    what: Vec<String>,
    #[serde(default)]
    damaged: bool,
    issuer: String,
    jwks_uri: String,
    files: Vec<String>,
    documents: Documents,
    blocks: Vec<Vec<Block>>,
    signing: Vec<Signing>,
}

/// A PEM block: its label as bytes, and the SHA-256 of its content.
#[derive(Deserialize)]
struct Block {
    label: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Documents {
    start_error: Option<String>,
    serve_error: Option<String>,
    jwks: Option<String>,
    discovery: Option<String>,
}

#[derive(Deserialize)]
struct Signing {
    error: Option<String>,
    kid: Option<String>,
}

#[test]
fn the_committed_cases_are_read_as_kube_apiserver_reads_them() {
    compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apiserver_corpus.jsonl"));
}

#[test]
#[ignore = "needs a corpus made by tests/e2e/oracle: set IRSA_CORPUS"]
fn a_large_corpus_is_read_as_kube_apiserver_reads_it() {
    compare(Path::new(
        &std::env::var_os("IRSA_CORPUS").expect("IRSA_CORPUS names the corpus"),
    ));
}

fn compare(corpus: &Path) {
    let text = std::fs::read_to_string(corpus).unwrap();
    let mut differences = String::new();
    let (mut cases, mut differing) = (0, 0);
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        cases += 1;
        let files: Vec<Vec<u8>> = case
            .files
            .iter()
            .map(|file| STANDARD.decode(file).unwrap())
            .collect();
        let found = blocks(&case, &files)
            .into_iter()
            // What is no key in either reader is not worth equal refusals: those must only not panic.
            .chain(documents(&case, &files).into_iter().filter(|_| !case.damaged))
            .chain(signing(&case, &files).into_iter().filter(|_| !case.damaged));
        for difference in found {
            differing += 1;
            writeln!(
                differences,
                "case {} {:?}: {difference}",
                case.id, case.what
            )
            .unwrap();
        }
    }
    assert!(cases > 0, "the corpus is empty");
    assert!(
        differing == 0,
        "{differing} differences in {cases} cases\n{differences}"
    );
}

fn blocks(case: &Case, files: &[Vec<u8>]) -> Vec<String> {
    let mut differences = Vec::new();
    for (position, (file, expected)) in files.iter().zip(&case.blocks).enumerate() {
        let ours: Vec<_> = pem::scan(file)
            .blocks
            .into_iter()
            .map(|block| {
                (
                    block.label,
                    STANDARD.encode(Sha256::digest(block.der.as_slice())),
                )
            })
            .collect();
        let theirs: Vec<_> = expected
            .iter()
            .map(|block| {
                let label = STANDARD.decode(&block.label).unwrap();
                (
                    String::from_utf8_lossy(&label).into_owned(),
                    block.sha256.clone(),
                )
            })
            .collect();
        if ours != theirs {
            differences.push(format!(
                "PEM of file {position}\n  ours   {ours:?}\n  theirs {theirs:?}"
            ));
        }
    }
    differences
}

fn documents(case: &Case, files: &[Vec<u8>]) -> Option<String> {
    let expected = &case.documents;
    let mut keys = Vec::new();
    let mut refusals = BTreeMap::new();
    for (position, file) in files.iter().enumerate() {
        match KeyFile::parse(file).apiserver_keys() {
            Ok(found) => keys.extend(found.into_iter().map(|(_, key)| key)),
            Err(refusal) => {
                refusals.insert(position, refusal.to_string());
            }
        }
    }
    let refused = expected
        .start_error
        .as_ref()
        .or(expected.serve_error.as_ref());
    match (refused, refusals.is_empty()) {
        (Some(reason), true) => {
            return Some(format!("kube-apiserver refuses ({reason}), irsa does not"));
        }
        (None, false) => return Some(format!("kube-apiserver serves, irsa refuses: {refusals:?}")),
        (Some(_), false) => return None,
        (None, true) => {}
    }
    let set = JwkSet::from_keys_as_apiserver(&keys);
    let issuer = IssuerUrl::parse(&case.issuer, TrailingSlash::Allow).unwrap();
    let jwks_uri = JwksUri::parse(&case.jwks_uri).unwrap();
    let discovery = discovery::to_bytes(&issuer, &jwks_uri, &set.algorithms());
    differs("JWKS", &set.to_bytes(), expected.jwks.as_deref())
        .or_else(|| differs("discovery", &discovery, expected.discovery.as_deref()))
}

fn differs(what: &str, ours: &[u8], theirs: Option<&str>) -> Option<String> {
    let theirs = STANDARD.decode(theirs.unwrap_or_default()).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ours != theirs).then(|| {
        format!(
            "{what}\n  ours   {}\n  theirs {}",
            text(ours),
            text(&theirs)
        )
    })
}

fn signing(case: &Case, files: &[Vec<u8>]) -> Vec<String> {
    let mut differences = Vec::new();
    for (file, expected) in files.iter().zip(&case.signing) {
        // RSA below 1024 bits: it starts with the key, and then refuses every token request.
        let unusable = |error: &String| error.starts_with("signing: crypto/rsa");
        if expected.error.as_ref().is_some_and(unusable) {
            continue;
        }
        let ours = PrivateKeyPem::parse(file);
        let kid = ours
            .as_ref()
            .ok()
            .map(|key| key.public_key().kid().to_string());
        if kid != expected.kid {
            let ours = ours
                .map(|key| key.public_key().kid().to_string())
                .map_err(|e| e.to_string());
            let theirs = expected.kid.as_ref().or(expected.error.as_ref());
            differences.push(format!("signing\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    differences
}
