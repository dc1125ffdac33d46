//! How often something is said that strangers can bring about.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Ten lines at once, and one a second after that.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Spoken>);

#[derive(Debug, Default)]
struct Spoken {
    /// When the lines that were written would all have been due, one after the other.
    due: Option<Instant>,
    untold: u64,
}

impl Pace {
    /// Whether to speak, and how many times nothing was said since the last time.
    pub(super) fn may_speak(&self) -> Option<u64> {
        self.may_speak_at(Instant::now())
    }

    fn may_speak_at(&self, now: Instant) -> Option<u64> {
        let mut spoken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = spoken.due.map_or(now, |due| due.max(now));
        if due.duration_since(now) > EVERY * (AT_ONCE - 1) {
            spoken.untold = spoken.untold.saturating_add(1);
            return None;
        }
        spoken.due = Some(due + EVERY);
        Some(std::mem::take(&mut spoken.untold))
    }
}

const EVERY: Duration = Duration::from_secs(1);
const AT_ONCE: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_once_a_second_and_counted() {
        let (pace, start) = (Pace::default(), Instant::now());
        let told = (0..1_000).filter(|_| pace.may_speak_at(start).is_some());
        assert_eq!(told.count(), 10);
        assert_eq!(pace.may_speak_at(start + EVERY), Some(990));
        assert_eq!(pace.may_speak_at(start + EVERY), None);
        assert_eq!(pace.may_speak_at(start + EVERY * 60), Some(1));
    }
}
