//! The latency histogram: one relaxed add per observation and no lock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Time from a request's last header byte to its response handed to the kernel.
#[derive(Debug, Default)]
pub(super) struct Latency {
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Latency {
    pub(super) fn observe(&self, took: Duration, requests: u32) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bounds = BOUNDS_MICROS.iter().map(Some).chain([None]);
        for (bound, bucket) in bounds.zip(&self.buckets) {
            if bound.is_none_or(|bound| micros <= *bound) {
                bucket.fetch_add(u64::from(requests), Ordering::Relaxed);
                break;
            }
        }
        let sum = micros.saturating_mul(u64::from(requests));
        self.sum_micros.fetch_add(sum, Ordering::Relaxed);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "2^52 us is a century of time spent in requests"
    )]
    pub(super) fn encode(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS_MICROS
            .iter()
            .map(|micros| *micros as f64 / 1e6)
            .chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds
            .zip(self.buckets.iter().map(|one| one.load(Ordering::Relaxed)))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        let name = "http_request_duration_seconds";
        let help = "From a request's headers to its response in the kernel";
        out.encode_descriptor(name, help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// From memory to socket takes tens of microseconds; what is slower waited for the client or for a busy core.
const BOUNDS_MICROS: [u64; 11] = [
    10, 20, 50, 100, 250, 500, 1_000, 5_000, 25_000, 100_000, 1_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_falls_into_the_smallest_bucket_that_holds_it() {
        let latency = Latency::default();
        for micros in [0, 10, 11, 1_000_000, 1_000_001] {
            latency.observe(Duration::from_micros(micros), 1);
        }
        latency.observe(Duration::from_micros(30), 3);
        let counts: Vec<_> = latency
            .buckets
            .iter()
            .map(|one| one.load(Ordering::Relaxed))
            .collect();
        assert_eq!(counts, [2, 1, 3, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }
}
