//! What a component's metrics say, in Prometheus' text format.

use std::time::Duration;

use crate::rollout::Used;

/// When a process started, in seconds since 1970.
pub fn start_instant(metrics: &str) -> Option<f64> {
    value(metrics, "process_start_time_seconds")
}

/// When a process started, in seconds since 1970, and what it has used since.
pub(super) fn process(metrics: &str) -> Option<(f64, Used)> {
    Some((
        start_instant(metrics)?,
        Used {
            cpu_seconds: value(metrics, "process_cpu_seconds_total")?,
            allocated_bytes: value(metrics, "go_memstats_alloc_bytes_total")?,
            allocations: value(metrics, "go_memstats_mallocs_total")?,
        },
    ))
}

/// When a process started, in seconds since 1970, and how many stale tokens it has met.
pub(super) fn stale_tokens(metrics: &str) -> Option<(i64, u64)> {
    let whole = |name| Duration::try_from_secs_f64(value(metrics, name)?).ok();
    let started = whole("process_start_time_seconds")?.as_secs();
    let count = whole("serviceaccount_stale_tokens_total").unwrap_or_default();
    Some((i64::try_from(started).ok()?, count.as_secs()))
}

fn value(metrics: &str, name: &str) -> Option<f64> {
    let mut lines = metrics.lines();
    let number = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    number.trim().parse().ok()
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

    #[test]
    fn what_a_process_has_used() {
        let text = "process_start_time_seconds 5\nprocess_cpu_seconds_total 1.25\n\
            go_memstats_alloc_bytes_total 2.97213432e+08\ngo_memstats_mallocs_total 3e+06\n";
        let used = Used {
            cpu_seconds: 1.25,
            allocated_bytes: 297_213_432.0,
            allocations: 3_000_000.0,
        };
        assert_eq!(process(text), Some((5.0, used)));
        assert_eq!(process("process_start_time_seconds 5\n"), None);
    }

    #[test]
    fn a_start_instant_has_hundredths() {
        let text =
            "# HELP process_start_time_seconds x\nprocess_start_time_seconds 1.79534406581e+09\n";
        assert_eq!(start_instant(text), Some(1_795_344_065.81));
        assert_eq!(start_instant("process_start_time_seconds_more 1\n"), None);
    }
}
