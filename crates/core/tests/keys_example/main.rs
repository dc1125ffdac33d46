//! The vectors of `keys-example/`: what kube-apiserver made, ours must equal byte for byte; what it signed, we verify.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test; clippy exempts only what stands inside a test function"
)]

mod files;

/// Key files and the documents that kube-apiserver makes of them.
mod documents;
/// Tokens of real servers: accepted as they are, refused with anything changed.
mod tokens;
