//! The metrics, as the endpoint's connections see them.

use std::time::Duration;

use irsa_endpoint::{CloseReason, Observer};

use super::Metrics;

impl Observer for Metrics {
    fn connection_opened(&self) {
        self.connection_opened();
    }

    fn connection_closed(&self) {
        self.connection_closed();
    }

    fn connection_ended_by_us(&self, reason: CloseReason) {
        self.connection_ended_by_us(reason);
    }

    fn accept_failed(&self) {
        self.accept_failed();
    }

    fn handshake_failed(&self) {
        self.handshake_failed();
    }

    fn answered(&self, took: Duration, requests: u32) {
        self.observe(took, requests);
    }
}
