//! Connections of an endpoint that anybody may call: accepted, bounded in time and number, drained.
//!
//! ```text
//! Side::run -> accept -> slot (registry) -> TLS, HTTP (connection) -> Responder
//!                          ^ sweep: one clock, four timeouts, eviction at the caps
//! ```
//!
//! What is answered is a [`Responder`]'s business, what is counted an [`Observer`]'s.
//!
//! **Guarantees.** Every connection is under exactly one timeout at any time. No number of silent connections keeps a
//! client out that asks, and no number of connections of one peer pushes out those of another that has fewer.
//! **Assumption.** Whoever answers bounds the time and the memory of its own work, a request's body included.

mod connection;
mod limits;
mod listen;
mod observer;
mod peer;
mod registry;
mod side;
pub mod tls;

pub use connection::{Asker, Hosts, Responder};
pub use limits::Limits;
pub use listen::{all as listen_all, one as listen_one};
pub use observer::Observer;
pub use peer::Peer;
pub use registry::CloseReason;
pub use side::Side;
