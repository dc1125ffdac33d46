//! What the endpoint tells Prometheus, in the text format of `OpenMetrics`.
//!
//! Requests touch plain atomics that were found together with the route; names, labels and ages are made when
//! somebody scrapes. prometheus-client's own families and histograms lock and search per observation, so only its
//! encoder is used.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use irsa_core::documents::DocumentName;
use irsa_endpoint::CloseReason;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::site::{Issuer, STATUSES, SiteHandle};
use super::status::Board;
use latency::Latency;
use source::SourceLooks;

mod board;
mod latency;
mod source;

/// Every counter of the endpoint. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    site: OnceLock<SiteHandle>,
    draining: AtomicBool,
    latency: Latency,
    unknown_paths: AtomicU64,
    connections: Connections,
    reloads: [AtomicU64; 4],
    source_looks: SourceLooks,
    /// Unix seconds; 0 while there is no certificate.
    certificate_expiry: AtomicI64,
    board: Board,
}

#[derive(Debug, Default)]
struct Connections {
    open: AtomicI64,
    accepted: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    accept_errors: AtomicU64,
    handshake_failures: AtomicU64,
}

impl Metrics {
    /// All counters at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// New documents were taken from changed keys or configuration.
    pub fn reload_succeeded(&self) {
        self.count_reload(0);
    }

    /// Changed keys or configuration were bad; the last good documents stay.
    pub fn reload_failed(&self) {
        self.count_reload(1);
    }

    pub(super) fn certificate_reload_succeeded(&self) {
        self.count_reload(2);
    }

    pub(super) fn certificate_reload_failed(&self) {
        self.count_reload(3);
    }

    pub(super) fn certificate_expires(&self, unix_seconds: i64) {
        self.0
            .certificate_expiry
            .store(unix_seconds, Ordering::Relaxed);
    }

    /// Reads issuers, keys and requests from this site from now on. The first site stays: an endpoint has one.
    pub(super) fn attach(&self, site: &SiteHandle) {
        self.0.site.get_or_init(|| site.clone());
    }

    /// What this endpoint is told about the world around it, for its status page and a few of these metrics.
    pub fn board(&self) -> &Board {
        &self.0.board
    }

    /// When the served certificate expires, if there is one.
    pub(super) fn certificate_expiry(&self) -> Option<Timestamp> {
        let seconds = self.0.certificate_expiry.load(Ordering::Relaxed);
        (seconds != 0)
            .then(|| Timestamp::from_second(seconds).ok())
            .flatten()
    }

    pub(super) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    pub(super) fn count_unknown_path(&self) {
        self.0.unknown_paths.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes requests that were answered together.
    pub(super) fn observe(&self, took: Duration, requests: u32) {
        self.0.latency.observe(took, requests);
    }

    pub(super) fn connection_opened(&self) {
        self.0.connections.accepted.fetch_add(1, Ordering::Relaxed);
        self.0.connections.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connection_closed(&self) {
        self.0.connections.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn connection_ended_by_us(&self, reason: CloseReason) {
        let counters = CloseReason::ALL.iter().zip(&self.0.connections.closed);
        for (_, counter) in counters.filter(|(one, _)| **one == reason) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn accept_failed(&self) {
        self.0
            .connections
            .accept_errors
            .fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn handshake_failed(&self) {
        self.0
            .connections
            .handshake_failures
            .fetch_add(1, Ordering::Relaxed);
    }

    /// Everything as `OpenMetrics` text. It takes milliseconds with thousands of issuers: not for a request task.
    pub fn render(&self) -> String {
        let mut registry = Registry::with_prefix("irsa");
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        // writing to a String cannot fail, and nothing else here can
        let _ = encode(&mut text, &registry);
        text
    }

    fn count_reload(&self, index: usize) {
        if let Some(counter) = self.0.reloads.get(index) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        let site = self.0.site.get().map(SiteHandle::current);
        let issuers = site.as_ref().map_or(&[][..], |site| site.issuers());
        self.encode_build(out)?;
        self.encode_requests(out, issuers)?;
        self.0.latency.encode(out)?;
        encode_issuers(out, issuers)?;
        encode_key_ages(out, issuers, SystemTime::now())?;
        self.0.source_looks.encode(out, SystemTime::now())?;
        board::encode(&self.0.board, out, Timestamp::now())?;
        self.encode_reloads(out)?;
        self.encode_connections(out)?;
        self.encode_certificate(out)
    }
}

impl Metrics {
    fn encode_build(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        out.encode_descriptor("build", "The running program", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let draining = u64::from(self.is_draining());
        out.encode_descriptor("draining", "1 while shutting down", None, MetricType::Gauge)?
            .encode_gauge(&draining)
    }

    fn encode_requests(&self, out: &mut DescriptorEncoder<'_>, issuers: &[Issuer]) -> fmt::Result {
        let help = "Requests by issuer, document and status";
        let mut family = out.encode_descriptor("http_requests", help, None, MetricType::Counter)?;
        let unknown = [("issuer", ""), ("document", "none"), ("status", "404")];
        counter(&mut family, &unknown, &self.0.unknown_paths)?;
        for issuer in issuers {
            for kind in DocumentName::ALL {
                for (status, value) in STATUSES.iter().zip(issuer.requests.of(kind)) {
                    // with thousands of issuers most of these never happen
                    if value.load(Ordering::Relaxed) > 0 {
                        let labels = [
                            ("issuer", &*issuer.url),
                            ("document", kind.as_str()),
                            ("status", *status),
                        ];
                        counter(&mut family, &labels, value)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn encode_reloads(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Changes that were taken, or refused with the last good kept";
        let mut family = out.encode_descriptor("reloads", help, None, MetricType::Counter)?;
        let [taken, refused, certificate_taken, certificate_refused] = &self.0.reloads;
        for (what, result, value) in [
            ("documents", "success", taken),
            ("documents", "failure", refused),
            ("certificate", "success", certificate_taken),
            ("certificate", "failure", certificate_refused),
        ] {
            counter(&mut family, &[("what", what), ("result", result)], value)?;
        }
        Ok(())
    }

    fn encode_connections(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let connections = &self.0.connections;
        let open = connections.open.load(Ordering::Relaxed);
        out.encode_descriptor(
            "connections_open",
            "Connections now",
            None,
            MetricType::Gauge,
        )?
        .encode_gauge(&open)?;
        for (name, help, value) in [
            (
                "connections_accepted",
                "Connections so far",
                &connections.accepted,
            ),
            (
                "connections_refused",
                "Connections that the kernel could not hand over, as when \
              file descriptors run out",
                &connections.accept_errors,
            ),
            (
                "tls_handshake_failures",
                "TLS handshakes that did not succeed",
                &connections.handshake_failures,
            ),
        ] {
            let mut metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter_value(&mut metric, value)?;
        }
        let help = "Connections that the server ended, by reason";
        let mut family =
            out.encode_descriptor("connections_ended", help, None, MetricType::Counter)?;
        for (reason, value) in CloseReason::ALL.iter().zip(&connections.closed) {
            counter(&mut family, &[("reason", reason.label())], value)?;
        }
        Ok(())
    }

    fn encode_certificate(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let expiry = self.0.certificate_expiry.load(Ordering::Relaxed);
        if expiry == 0 {
            return Ok(());
        }
        let name = "tls_certificate_expiry_timestamp_seconds";
        let help = "When the first certificate of the served chain expires, in Unix time";
        out.encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&expiry)
    }
}

fn encode_issuers(out: &mut DescriptorEncoder<'_>, issuers: &[Issuer]) -> fmt::Result {
    let help = "1 if the issuer's documents are served, 0 if its paths answer 503";
    let mut family = out.encode_descriptor("issuer_up", help, None, MetricType::Gauge)?;
    for issuer in issuers {
        let up = u64::from(issuer.problem.is_none());
        family
            .encode_family(&[("issuer", &*issuer.url)])?
            .encode_gauge(&up)?;
    }
    let help = "Verification keys in the served JWKS";
    let mut family = out.encode_descriptor("issuer_keys", help, None, MetricType::Gauge)?;
    for issuer in issuers {
        let keys = u64::try_from(issuer.keys.len()).unwrap_or(u64::MAX);
        family
            .encode_family(&[("issuer", &*issuer.url)])?
            .encode_gauge(&keys)?;
    }
    Ok(())
}

fn encode_key_ages(
    out: &mut DescriptorEncoder<'_>,
    issuers: &[Issuer],
    now: SystemTime,
) -> fmt::Result {
    let help = "Age of each verification key";
    let mut family = out.encode_descriptor("key_age_seconds", help, None, MetricType::Gauge)?;
    for issuer in issuers {
        let mut told = HashSet::new();
        for key in issuer.keys.iter().take(MAX_KEYS) {
            // A foreign store may name two keys alike, or at any length; a series may stand there once.
            let kid: String = key.kid.chars().take(MAX_KID).collect();
            if !told.insert(kid.clone()) {
                continue;
            }
            // a key from the future (a skewed clock) is as good as new
            let age = now.duration_since(key.since).unwrap_or_default().as_secs();
            let labels = [("issuer", &*issuer.url), ("kid", kid.as_str())];
            family.encode_family(&labels)?.encode_gauge(&age)?;
        }
    }
    Ok(())
}

fn counter<S: EncodeLabelSet>(
    family: &mut MetricEncoder<'_>,
    labels: &S,
    value: &AtomicU64,
) -> fmt::Result {
    counter_value(&mut family.encode_family(labels)?, value)
}

fn counter_value(metric: &mut MetricEncoder<'_>, value: &AtomicU64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value.load(Ordering::Relaxed), None)
}

/// AWS reads a hundred RSA and a hundred EC keys of an issuer.
const MAX_KEYS: usize = 200;
/// Characters of a kid; Kubernetes makes 43.
const MAX_KID: usize = 128;

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
