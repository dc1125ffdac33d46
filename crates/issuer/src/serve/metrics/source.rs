//! How old the last good look at a shared store is, for endpoints that serve from one.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::Metrics;

/// Issuers with the time of the last look that found their documents, new or as they were.
#[derive(Debug, Default)]
pub(super) struct SourceLooks(Mutex<Vec<(String, SystemTime)>>);

impl Metrics {
    /// When each issuer's documents were last seen in the store. Those that never were are left out.
    pub fn source_seen(&self, looks: Vec<(String, SystemTime)>) {
        *self.0.source_looks.lock() = looks;
    }
}

impl Metrics {
    /// The last good looks, for the status page.
    pub(in crate::serve) fn source_looks(&self) -> Vec<(String, SystemTime)> {
        self.0.source_looks.lock().clone()
    }
}

impl SourceLooks {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(String, SystemTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn encode(&self, out: &mut DescriptorEncoder<'_>, now: SystemTime) -> fmt::Result {
        let looks = self.lock().clone();
        if looks.is_empty() {
            return Ok(());
        }
        let help =
            "Seconds since the issuer's documents were last seen in the store that is served from";
        let mut family =
            out.encode_descriptor("source_age_seconds", help, None, MetricType::Gauge)?;
        for (issuer, seen) in &looks {
            let age = now.duration_since(*seen).unwrap_or_default().as_secs();
            let labels = [("issuer", issuer.as_str())];
            family.encode_family(&labels)?.encode_gauge(&age)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_age_is_that_of_the_last_good_look() {
        let metrics = Metrics::new();
        assert!(!metrics.render().contains("irsa_source_age"));
        let seen = SystemTime::now() - Duration::from_secs(90);
        metrics.source_seen(vec![("https://h/a".into(), seen)]);
        let text = metrics.render();
        assert!(
            text.contains("irsa_source_age_seconds{issuer=\"https://h/a\"} 9"),
            "{text}"
        );
    }
}
