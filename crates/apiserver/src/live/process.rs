//! What a process says of itself in its metrics.

use std::time::Duration;

use super::{ApiServer, LiveError};

impl ApiServer {
    /// When its process started, in seconds since 1970, as its own metrics say. It tells an old process from a new one.
    pub async fn started(&self) -> Result<Option<f64>, LiveError> {
        Ok(start_instant(&self.get("/metrics").await?))
    }

    /// Since when its process counts, in seconds since 1970, and how often it has met a client that never reads a new
    /// token (`serviceaccount_stale_tokens_total`). A counter that is not there has not counted yet.
    pub async fn stale_tokens(&self) -> Result<Option<(i64, u64)>, LiveError> {
        let text = self.get("/metrics").await?;
        Ok(stale_tokens(&text))
    }
}

/// When a process started, in seconds since 1970, from its metrics in Prometheus' text format.
pub fn start_instant(metrics: &str) -> Option<f64> {
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("process_start_time_seconds "));
    values.next()?.trim().parse().ok()
}

fn stale_tokens(metrics: &str) -> Option<(i64, u64)> {
    let value = |name: &str| {
        let mut lines = metrics.lines();
        let number = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        number.and_then(|number| Duration::try_from_secs_f64(number.trim().parse().ok()?).ok())
    };
    let started = value("process_start_time_seconds")?.as_secs();
    let count = value("serviceaccount_stale_tokens_total").unwrap_or_default();
    Some((i64::try_from(started).ok()?, count.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_stale_tokens() {
        let text = "# TYPE x counter\nserviceaccount_stale_tokens_total 1.2e+01\nprocess_start_time_seconds 1.79e+09\n";
        assert_eq!(stale_tokens(text), Some((1_790_000_000, 12)));
        let fresh = "process_start_time_seconds 5\n";
        assert_eq!(stale_tokens(fresh), Some((5, 0)));
        assert_eq!(stale_tokens(""), None);
    }
}
