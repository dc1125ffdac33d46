//! Key files: whatever stands in them, what is read can be written and read again, and junk hides no key.
#![no_main]

use irsa_core::block::KeyFile;
use irsa_core::keys::PublicKey;
use irsa_core::private::PrivateKeyPem;
use libfuzzer_sys::fuzz_target;

const KEY: &str = include_str!("../../keys-example/p256.pub");
const KID: &str = include_str!("../../keys-example/p256.kid");

fuzz_target!(|text: &[u8]| {
    let file = KeyFile::parse(text);
    let lines = 1 + text.iter().filter(|b| **b == b'\n').count();
    assert!(
        file.blocks
            .iter()
            .all(|block| (1..=lines).contains(&block.line))
    );
    assert!(
        file.damaged
            .iter()
            .all(|block| (1..=lines).contains(&block.line))
    );
    for key in file
        .blocks
        .iter()
        .filter_map(|block| block.key.as_ref().ok())
    {
        assert_eq!(PublicKey::from_spki(&key.to_spki()).as_ref(), Ok(key));
        let again = KeyFile::parse(key.to_pem().as_bytes());
        assert_eq!(again.blocks[0].key.as_ref(), Ok(key));
    }
    for (line, key) in file.apiserver_keys().unwrap_or_default() {
        let block = file.blocks.iter().find(|block| block.line == line);
        assert_eq!(block.and_then(|block| block.key.as_ref().ok()), Some(&key));
    }
    if let Ok(private) = PrivateKeyPem::parse(text) {
        let again = PrivateKeyPem::parse(private.expose_pem().as_bytes());
        assert_eq!(
            again.ok().as_ref().map(PrivateKeyPem::public_key),
            Some(private.public_key())
        );
    }

    // Dashes in the junk may begin a block of their own that swallows the key, in Go as here.
    let (before, after) = text.split_at(text.len() / 2);
    if !text.windows(5).any(|w| w == b"-----") {
        let hidden = [before, b"\n", KEY.as_bytes(), after].concat();
        let kids: Vec<_> = KeyFile::parse(&hidden)
            .apiserver_keys()
            .expect("the key is found")
            .iter()
            .map(|(_, key)| key.kid().to_string())
            .collect();
        assert_eq!(kids, [KID.trim()]);
    }
});
