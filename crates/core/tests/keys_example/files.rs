//! Where the vectors are, and what is in them.

use std::path::{Path, PathBuf};

use irsa_core::issuer::{IssuerUrl, JwksUri, TrailingSlash};

pub(crate) fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../keys-example")
        .join(path)
}

pub(crate) fn key_files(path: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(path))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|p| p.extension().is_some_and(|e| e == "pub"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no key files in {path:?}");
    files
}

pub(crate) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy();
    name.split('.').next().unwrap().to_owned()
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn text(path: &Path) -> String {
    utf8(&read(path))
}

pub(crate) fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn issuer(text: &str) -> IssuerUrl {
    IssuerUrl::parse(text, TrailingSlash::Allow).unwrap()
}

pub(crate) fn uri(text: &str) -> JwksUri {
    JwksUri::parse(text).unwrap()
}
