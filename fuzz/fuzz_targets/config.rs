//! Configuration files: a refusal is one line that names no secret file content beyond the key, and comments change
//! nothing.
#![no_main]

use irsa_cli::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse(text) {
        Ok(config) => assert_eq!(
            Config::parse(&format!("# a comment\n{text}")).ok(),
            Some(config)
        ),
        Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    }
});
