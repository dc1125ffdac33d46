//! Tests only: a private key that can be recognised wherever it turns up, and doubles of outside services.
//!
//! ```text
//!   canary ── the key
//!   web ── HTTP on loopback ◄── s3, iam (with STS), cloudfront ── each from its documented rules
//!                                └──► cloud ── all of them at one endpoint, which ends the client at any write
//! ```

pub mod canary;
pub mod cloud;
pub mod cloudfront;
pub mod iam;
pub mod s3;
pub mod web;
