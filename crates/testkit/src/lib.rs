//! Tests only: a private key that can be recognised wherever it turns up.

pub mod canary;
