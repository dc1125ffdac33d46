//! Instants and durations as a person says them.

use jiff::Timestamp;

/// The instant of a claim; one beyond the calendar is shown as its end.
pub(crate) fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// An instant and how far from now it is.
pub(crate) fn relative(at: i64, now: Timestamp) -> String {
    let seconds = at.saturating_sub(now.as_second());
    let distance = duration(seconds.saturating_abs());
    let side = if seconds >= 0 {
        format!("in {distance}")
    } else {
        format!("{distance} ago")
    };
    format!("{} ({side})", instant(at))
}

/// Days, hours, minutes and seconds, the two largest that count.
pub(crate) fn duration(seconds: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 && parts.len() < 2 {
            parts.push(format!("{count} {unit}"));
        }
    }
    if parts.is_empty() {
        "0 s".to_owned()
    } else {
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_largest_units_count() {
        let texts = [0, 59, 3600, 90_061, 31_536_000].map(duration);
        assert_eq!(texts, ["0 s", "59 s", "1 h", "1 d 1 h", "365 d"]);
    }

    #[test]
    fn an_instant_beyond_the_calendar_is_its_end() {
        assert_eq!(instant(i64::MAX), Timestamp::MAX);
        assert_eq!(instant(i64::MIN), Timestamp::MIN);
    }
}
