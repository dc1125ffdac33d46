//! What the webhook tells Prometheus: upstream's series under their names, and what upstream does not say.
//!
//! Upstream's counters have no `_total` at their end, which `OpenMetrics` demands of a counter: they are exposed with
//! the type unknown, under exactly the names that dashboards ask for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use irsa_endpoint::{CloseReason, Observer};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::identities::Identities;
use page::Page;

mod page;

/// Every counter of the webhook. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: Mutex<BTreeMap<Request, Latency>>,
    labelled: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    used: AtomicI64,
    missing: AtomicU64,
    connections: AtomicI64,
    certificate_expiry: AtomicI64,
    ca_expiry: AtomicI64,
}

type Request = (&'static str, &'static str, u16);

#[derive(Debug, Default, Clone)]
struct Latency {
    count: u64,
    micros: u64,
    fine: [u64; FINE.len() + 1],
    coarse: [u64; COARSE.len() + 1],
}

impl Metrics {
    /// A request was answered. `verb` and `path` are of the few that exist.
    pub fn request(&self, verb: &'static str, path: &'static str, status: u16, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut requests = lock(&self.0.requests);
        let latency = requests.entry((verb, path, status)).or_default();
        latency.count += 1;
        latency.micros = latency.micros.saturating_add(micros);
        count_into(&mut latency.fine, &FINE, micros);
        count_into(&mut latency.coarse, &COARSE, micros);
    }

    /// A pod was decided to get its role in this mode, whether or not it has it already.
    pub fn pod(&self, method: &'static str) {
        self.label("pods", method);
    }

    /// A pod's service account is not there, or nobody could say.
    pub fn missing_account(&self) {
        self.0.missing.fetch_add(1, Ordering::Relaxed);
    }

    /// Something was said about a pod.
    pub fn note(&self, reason: &'static str) {
        self.label("notes", reason);
    }

    /// An account was read past the watch, or should have been.
    pub fn live_read(&self, result: &'static str) {
        self.label("live_reads", result);
    }

    /// A source could not be read or taken.
    pub fn source_failed(&self, source: &'static str) {
        self.label("source_failures", source);
    }

    /// An Event was written, or not.
    pub fn event(&self, result: &'static str) {
        self.label("events", result);
    }

    /// A certificate was taken, or not.
    pub fn certificate(&self, result: &'static str) {
        self.label("certificates", result);
    }

    /// When the served certificate expires, in Unix seconds.
    pub fn certificate_expires(&self, at: i64) {
        self.0.certificate_expiry.store(at, Ordering::Relaxed);
    }

    /// When the CA that signs expires, in Unix seconds.
    pub fn ca_expires(&self, at: i64) {
        self.0.ca_expiry.store(at, Ordering::Relaxed);
    }

    /// A service account was seen to change.
    pub fn account_seen(&self) {
        self.0.used.store(1, Ordering::Relaxed);
    }

    /// A request gave way to others, in this lane.
    pub(crate) fn gave_way(&self, lane: &'static str) {
        self.label("gave_way", lane);
    }

    fn label(&self, family: &'static str, value: &'static str) {
        *lock(&self.0.labelled).entry((family, value)).or_default() += 1;
    }

    /// Everything as `OpenMetrics` text.
    pub fn render(&self, identities: &Arc<Identities>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Page {
            metrics: self.clone(),
            identities: Arc::clone(identities),
        }));
        let mut text = String::new();
        // Writing to a String cannot fail, and nothing else here can.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl Observer for Metrics {
    fn connection_opened(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn connection_closed(&self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn connection_ended_by_us(&self, reason: CloseReason) {
        self.label("connections_ended", reason.label());
    }

    fn accept_failed(&self) {
        self.label("connections_ended", "not_accepted");
    }

    fn handshake_failed(&self) {
        self.label("connections_ended", "handshake_failed");
    }

    // The review itself is timed, by path.
    fn answered(&self, _took: Duration, _requests: u32) {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count_into(buckets: &mut [u64], bounds: &[u64], micros: u64) {
    let index = bounds.partition_point(|bound| *bound < micros);
    if let Some(bucket) = buckets.get_mut(index) {
        *bucket += 1;
    }
}

/// Microseconds. A review from memory takes tens of them; what is slower read from the API server.
const FINE: [u64; 12] = [
    50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000,
];
/// Upstream's, in microseconds.
const COARSE: [u64; 7] = [
    125_000, 250_000, 500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_series_keep_their_names() {
        let metrics = Metrics::default();
        let identities = Arc::new(Identities::new(
            None,
            String::new(),
            Duration::ZERO,
            metrics.clone(),
        ));
        metrics.request("POST", "/mutate", 200, Duration::from_micros(300));
        metrics.request("POST", "/mutate", 415, Duration::from_secs(20));
        metrics.pod("sts_web_identity");
        metrics.missing_account();
        metrics.note("MountPathTaken");
        identities.sources.accounts.expect();
        let text = metrics.render(&identities);
        for line in [
            "http_request_count{verb=\"POST\",path=\"/mutate\",code=\"200\"} 1\n",
            "http_request_latencies_bucket{le=\"125000.0\",verb=\"POST\",path=\"/mutate\"} 1\n",
            "http_request_latencies_bucket{le=\"+Inf\",verb=\"POST\",path=\"/mutate\"} 2\n",
            "http_request_duration_microseconds_count{verb=\"POST\",path=\"/mutate\"} 2\n",
            "http_request_duration_microseconds_sum{verb=\"POST\",path=\"/mutate\"} 20000300\n",
            "pod_identity_webhook_pod_count{method=\"sts_web_identity\"} 1\n",
            "pod_identity_webhook_missing_sa_count 1\n",
            "irsa_webhook_notes_total{reason=\"MountPathTaken\"} 1\n",
            "irsa_webhook_request_duration_seconds_bucket{le=\"0.0005\",path=\"/mutate\"} 1\n",
            "irsa_webhook_source_synced{source=\"service accounts\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
