//! What an HTTP answer says of itself: for how long caches may keep it, and what time it is where it was made.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE};
use irsa_core::cache_control::{CacheControl, seconds};
use jiff::Timestamp;

/// What an answer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answer {
    /// For how long a cache of anyone may keep it: the longer of `max-age` and `s-maxage` (RFC 9111, section 5.2.2); zero
    /// if it says neither.
    pub max_age: Duration,
    /// The clock of whoever made it (`Date`), with the time that it has spent in caches (`Age`) added; nothing if it does
    /// not say.
    pub date: Option<Timestamp>,
}

impl Answer {
    /// What the fields of its header say.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name| {
            let value = headers.get(name)?;
            value.to_str().ok()
        };
        let lines = headers.get_all(CACHE_CONTROL).iter();
        let lines = lines.filter_map(|value| value.to_str().ok());
        let age = text(AGE).and_then(seconds).unwrap_or_default();
        let date = text(DATE).and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        Self {
            max_age: CacheControl::parse(lines).kept_for.unwrap_or_default(),
            date: date.and_then(|date| date.timestamp().checked_add(age).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(fields: &[(http::HeaderName, &'static str)]) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        Answer::of(&headers)
    }

    #[test]
    fn the_longest_that_anyone_may_keep_it_counts() {
        let both = of(&[(CACHE_CONTROL, "max-age=300, s-maxage=\"86400\"")]);
        assert_eq!(both.max_age, Duration::from_hours(24));
        let twice = of(&[(CACHE_CONTROL, "max-age=5"), (CACHE_CONTROL, "max-age=50")]);
        assert_eq!(twice.max_age, Duration::from_secs(50));
        assert_eq!(of(&[(CACHE_CONTROL, "no-cache")]), Answer::default());
        assert_eq!(of(&[]), Answer::default());
    }

    #[test]
    fn the_time_in_caches_is_added_to_its_date() {
        let date = (DATE, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(
            of(std::slice::from_ref(&date)).date.unwrap().as_second(),
            784_111_777
        );
        let aged = of(&[date, (AGE, "120")]);
        assert_eq!(aged.date.unwrap().as_second(), 784_111_897);
        assert_eq!(of(&[(DATE, "yesterday")]).date, None);
    }
}
