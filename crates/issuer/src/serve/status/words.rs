//! Times and amounts for people.

use jiff::Timestamp;

/// `2026-11-22 10:02 UTC`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `2026-11-22`.
pub(super) fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// The distance between two times in its two greatest units: `3 d 4 h`, `12 min`, `8 s`.
pub(super) fn distance(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().unsigned_abs();
    let (days, hours, minutes) = (seconds / DAY, seconds % DAY / HOUR, seconds % HOUR / MINUTE);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) | (days @ 30.., ..) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// `1 issuer`, `2 issuers`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_at_most_two_units() {
        let start: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3_600, "1 h"),
            (5_400, "1 h 30 min"),
            (86_400, "1 d"),
            (97_200, "1 d 3 h"),
            (40 * 86_400 + 7_200, "40 d"),
        ] {
            let end = start + jiff::SignedDuration::from_secs(seconds);
            assert_eq!(distance(start, end), words);
            assert_eq!(distance(end, start), words, "backwards");
        }
        assert_eq!(count(1, "issuer"), "1 issuer");
        assert_eq!(count(0, "key"), "0 keys");
    }
}
