//! Registrations against a server that speaks for EKS, IAM, STS and Kubernetes on loopback, and remembers every call.
//!
//! The answers are those of the services' published models; `tests/e2e/connector` has the requests validated against the
//! models themselves, and the objects against a real API server.

#![allow(
    clippy::expect_used,
    clippy::format_collect,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test may panic, also in its helpers"
)]

mod aws;
mod kubernetes;
mod server;
mod site;

/// Every case of a registration: order, retries, lost answers.
mod cases;
/// Taking back: what is ours, what is not, what is gone.
mod deregistration;
/// What AWS refuses, and names that are taken.
mod refusals;
/// The activation code is nowhere but where it must be.
mod secrecy;
/// Killed at every outside effect, and run again.
mod sweep;
/// What a refused registration takes back, and what it leaves.
mod undoing;
