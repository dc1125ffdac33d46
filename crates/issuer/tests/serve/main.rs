//! The served issuer over real sockets on loopback: one program, one module per area.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod admin;
mod certificate;
mod drain;
mod eviction;
mod floods;
mod protocols;
mod running;
mod slow;
mod swap;
mod wire;
