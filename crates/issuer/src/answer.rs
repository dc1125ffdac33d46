//! What an HTTP answer says of itself: for how long caches may keep it, and what time it is where it was made.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE};
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
        let directives = headers.get_all(CACHE_CONTROL).iter();
        let directives = directives
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        let age = text(AGE).and_then(seconds).unwrap_or_default();
        let date = text(DATE).and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        Self {
            max_age: directives.filter_map(kept_for).max().unwrap_or_default(),
            date: date.and_then(|date| date.timestamp().checked_add(age).ok()),
        }
    }
}

/// The value of a directive that says for how long a copy may be kept.
fn kept_for(directive: &str) -> Option<Duration> {
    let (name, value) = directive.split_once('=')?;
    let name = name.trim();
    let counts = name.eq_ignore_ascii_case("max-age") || name.eq_ignore_ascii_case("s-maxage");
    counts.then(|| seconds(value.trim().trim_matches('"')))?
}

/// Whole seconds; what is larger than caches can count is what they count to (RFC 9111, section 1.2.2).
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let most = 1 << 31;
    Some(Duration::from_secs(text.parse().unwrap_or(most).min(most)))
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
        for (value, expected) in [
            ("public, max-age=300", 300),
            ("max-age=300, s-maxage=\"86400\"", 86_400),
            ("Max-Age = 60 ,must-revalidate", 60),
            ("no-cache", 0),
            ("max-age=-1", 0),
            ("max-age=", 0),
            ("max-age=99999999999999999999999", 1 << 31),
        ] {
            assert_eq!(
                of(&[(CACHE_CONTROL, value)]).max_age.as_secs(),
                expected,
                "{value}"
            );
        }
        let twice = of(&[(CACHE_CONTROL, "max-age=5"), (CACHE_CONTROL, "max-age=50")]);
        assert_eq!(twice.max_age, Duration::from_secs(50));
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
