//! Tests only: a private key that can be recognised wherever it turns up, and doubles of outside services.

pub mod canary;
pub mod cloud;
pub mod cloudfront;
pub mod iam;
pub mod s3;
pub mod web;
