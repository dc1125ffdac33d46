//! Every series, rendered when somebody scrapes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{COARSE, FINE, Latency, Metrics, Request, lock};
use crate::identities::Identities;

#[derive(Debug)]
pub(super) struct Page {
    pub(super) metrics: Metrics,
    pub(super) identities: Arc<Identities>,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        self.upstream(out)?;
        self.requests(out)?;
        self.families(out)?;
        self.sources(out)?;
        self.gauges(out)
    }
}

impl Page {
    /// The series of amazon-eks-pod-identity-webhook, microseconds and all.
    fn upstream(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let requests = lock(&self.metrics.0.requests).clone();
        let help = "Requests by verb, path and status";
        let mut family =
            out.encode_descriptor("http_request_count", help, None, MetricType::Unknown)?;
        for ((verb, path, status), latency) in &requests {
            let status = status.to_string();
            let labels = [("verb", *verb), ("path", *path), ("code", status.as_str())];
            family
                .encode_family(&labels)?
                .encode_gauge(&latency.count)?;
        }
        let by_path = merged(&requests);
        let help =
            "Time of requests in microseconds; irsa_webhook_request_duration_seconds says more";
        let mut family =
            out.encode_descriptor("http_request_latencies", help, None, MetricType::Histogram)?;
        for ((verb, path), latency) in &by_path {
            let buckets = buckets(&latency.coarse, &COARSE, 1.0);
            family
                .encode_family(&[("verb", *verb), ("path", *path)])?
                .encode_histogram::<NoLabelSet>(
                    float(latency.micros),
                    latency.count,
                    &buckets,
                    None,
                )?;
        }
        for (name, sum) in [
            ("http_request_duration_microseconds_sum", true),
            ("http_request_duration_microseconds_count", false),
        ] {
            let help = "Time of requests in microseconds: what upstream calls a summary";
            let mut family = out.encode_descriptor(name, help, None, MetricType::Unknown)?;
            for ((verb, path), latency) in &by_path {
                let value = if sum { latency.micros } else { latency.count };
                family
                    .encode_family(&[("verb", *verb), ("path", *path)])?
                    .encode_gauge(&value)?;
            }
        }
        let name = "pod_identity_webhook_pod_count";
        let help = "Pods that were decided to get credentials, by method";
        let metric = out.encode_descriptor(name, help, None, MetricType::Unknown)?;
        self.family(metric, "method", "pods", false)?;
        let help = "1 once a service account changed";
        let used = self.metrics.0.used.load(Ordering::Relaxed);
        out.encode_descriptor("pod_identity_webhook_used", help, None, MetricType::Gauge)?
            .encode_gauge(&used)?;
        let help = "Pods whose service account was not there, or nobody could say";
        let name = "pod_identity_webhook_missing_sa_count";
        let missing = self.metrics.0.missing.load(Ordering::Relaxed);
        out.encode_descriptor(name, help, None, MetricType::Unknown)?
            .encode_gauge(&missing)
    }

    fn requests(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let by_path = merged(&lock(&self.metrics.0.requests));
        let name = "irsa_webhook_request_duration_seconds";
        let help = "From a request's last byte to its answer";
        let mut family = out.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for ((_, path), latency) in &by_path {
            let buckets = buckets(&latency.fine, &FINE, 1e6);
            let sum = float(latency.micros) / 1e6;
            family
                .encode_family(&[("path", *path)])?
                .encode_histogram::<NoLabelSet>(sum, latency.count, &buckets, None)?;
        }
        Ok(())
    }

    fn families(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, label, family) in [
            (
                "irsa_webhook_notes",
                "What was said about pods, by reason",
                "reason",
                "notes",
            ),
            (
                "irsa_webhook_live_reads",
                "Service accounts read past the watch, by result",
                "result",
                "live_reads",
            ),
            (
                "irsa_webhook_source_failures",
                "Times that a source could not be read or taken",
                "source",
                "source_failures",
            ),
            (
                "irsa_webhook_events",
                "Events written or lost",
                "result",
                "events",
            ),
            (
                "irsa_webhook_requests_given_way",
                "Requests that were sent away because others needed the memory, by lane",
                "lane",
                "gave_way",
            ),
            (
                "irsa_webhook_connections_ended",
                "Connections that the webhook ended or did not get, by reason",
                "reason",
                "connections_ended",
            ),
            (
                "irsa_webhook_certificates",
                "Certificates taken or refused",
                "result",
                "certificates",
            ),
        ] {
            let metric = out.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.family(metric, label, family, true)?;
        }
        Ok(())
    }

    fn family(
        &self,
        mut metric: MetricEncoder<'_>,
        label: &'static str,
        family: &str,
        is_counter: bool,
    ) -> fmt::Result {
        let labelled = lock(&self.metrics.0.labelled).clone();
        for ((_, value), count) in labelled.iter().filter(|((of, _), _)| *of == family) {
            let labels = [(label, *value)];
            let mut one = metric.encode_family(&labels)?;
            if is_counter {
                one.encode_counter::<NoLabelSet, u64, u64>(count, None)?;
            } else {
                one.encode_gauge(count)?;
            }
        }
        Ok(())
    }

    fn sources(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "1 once a source that is in use was read whole";
        let name = "irsa_webhook_source_synced";
        let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (name, source) in self.identities.all() {
            if source.is_expected() {
                family
                    .encode_family(&[("source", name)])?
                    .encode_gauge(&u64::from(source.is_synced()))?;
            }
        }
        Ok(())
    }

    fn gauges(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (accounts, with_role) = self.identities.accounts.count();
        let counters = &self.metrics.0;
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "irsa_webhook_service_accounts",
                "Service accounts known",
                size(accounts),
            ),
            (
                "irsa_webhook_service_accounts_with_role",
                "Those with a role",
                size(with_role),
            ),
            (
                "irsa_webhook_config_map_entries",
                "Entries of the ConfigMap",
                size(self.identities.mappings.load().len()),
            ),
            (
                "irsa_webhook_associations",
                "Service accounts in the container credentials file",
                size(self.identities.associations.load().len()),
            ),
            (
                "irsa_webhook_connections",
                "Connections now",
                counters.connections.load(Ordering::Relaxed),
            ),
            (
                "irsa_webhook_certificate_expiry_timestamp_seconds",
                "When the served certificate expires, in Unix time",
                counters.certificate_expiry.load(Ordering::Relaxed),
            ),
            (
                "irsa_webhook_ca_expiry_timestamp_seconds",
                "When the CA that signs it expires, in Unix time; 0 with a certificate from files",
                counters.ca_expiry.load(Ordering::Relaxed),
            ),
        ] {
            out.encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)?;
        }
        Ok(())
    }
}

fn merged(
    requests: &BTreeMap<Request, Latency>,
) -> BTreeMap<(&'static str, &'static str), Latency> {
    let mut by_path: BTreeMap<_, Latency> = BTreeMap::new();
    for ((verb, path, _), latency) in requests {
        let sum = by_path.entry((*verb, *path)).or_default();
        sum.count += latency.count;
        sum.micros = sum.micros.saturating_add(latency.micros);
        for (to, from) in sum.fine.iter_mut().zip(latency.fine) {
            *to += from;
        }
        for (to, from) in sum.coarse.iter_mut().zip(latency.coarse) {
            *to += from;
        }
    }
    by_path
}

fn buckets(counts: &[u64], bounds: &[u64], unit: f64) -> Vec<(f64, u64)> {
    let bounds = bounds.iter().map(|bound| float(*bound) / unit);
    let bounds = bounds.chain([f64::INFINITY]);
    bounds.zip(counts.iter().copied()).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^52 us is a century of time spent in requests"
)]
fn float(value: u64) -> f64 {
    value as f64
}
