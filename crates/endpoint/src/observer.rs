//! What an endpoint tells whoever counts.

use std::fmt;
use std::time::Duration;

use crate::registry::CloseReason;

/// Counts what happens to connections. Called from many tasks at once.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A connection was accepted.
    fn connection_opened(&self);

    /// A connection is gone, whoever ended it.
    fn connection_closed(&self);

    /// The endpoint ends a connection.
    fn connection_ended_by_us(&self, reason: CloseReason);

    /// The kernel could not hand a connection over.
    fn accept_failed(&self);

    /// A TLS handshake did not succeed.
    fn handshake_failed(&self);

    /// Requests were answered together; the slowest took so long, from its header to the response in the kernel.
    fn answered(&self, took: Duration, requests: u32);
}

/// Counts nothing.
impl Observer for () {
    fn connection_opened(&self) {}

    fn connection_closed(&self) {}

    fn connection_ended_by_us(&self, _reason: CloseReason) {}

    fn accept_failed(&self) {}

    fn handshake_failed(&self) {}

    fn answered(&self, _took: Duration, _requests: u32) {}
}
