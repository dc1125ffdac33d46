//! Admission reviews: the law that the webhook's own tests try on mutations of real ones.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/webhook/tests/law/law.rs"]
mod law;

fuzz_target!(|body: &[u8]| law::holds(body));
