//! `Cache-Control` of an answer: for how long caches may keep it.

use std::time::Duration;

/// What the field says, as far as it decides about a JWKS in the caches of relying parties (RFC 9111, section 5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheControl {
    /// For how long a cache of anyone may keep it: the longer of `max-age` and `s-maxage`; nothing if it says neither in
    /// a form that can be read. At most 2^31 seconds, to which caches count (RFC 9111, section 1.2.2).
    pub kept_for: Option<Duration>,
    /// Whether no cache may answer with it unasked: `no-store`, or `no-cache` without the names of fields.
    pub always_asked: bool,
}

impl CacheControl {
    /// Reads the lines of the field. What is no directive that counts is passed over, as caches do.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut read = Self::default();
        for directive in lines.into_iter().flat_map(directives) {
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (directive.trim(), None),
            };
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("max-age") || is("s-maxage") {
                read.kept_for = read.kept_for.max(value.and_then(unquoted_seconds));
            }
            read.always_asked |= is("no-store") || is("no-cache") && value.is_none();
        }
        read
    }
}

/// Whole seconds (RFC 9111, section 1.2.2): what is larger than caches can count is what they count to.
pub fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(text.parse().unwrap_or(MOST).min(MOST)))
}

/// Recipients take both forms of an argument (RFC 9111, section 5.2).
fn unquoted_seconds(value: &str) -> Option<Duration> {
    let inside = value
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    seconds(inside.unwrap_or(value))
}

/// The members of a list; a comma in a quoted string separates nothing (RFC 9110, section 5.6).
fn directives(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |character| {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' => return !quoted,
            _ => {}
        }
        false
    })
}

const MOST: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&str]) -> (Option<u64>, bool) {
        let read = CacheControl::parse(lines.iter().copied());
        (read.kept_for.map(|kept| kept.as_secs()), read.always_asked)
    }

    #[test]
    fn the_longest_that_anyone_may_keep_it_counts() {
        for (line, kept, asked) in [
            ("public, max-age=300", Some(300), false),
            ("max-age=300, s-maxage=\"86400\"", Some(86_400), false),
            ("s-maxage=7,max-age=5", Some(7), false),
            ("Max-Age = 60 ,must-revalidate", Some(60), false),
            ("max-age=-1", None, false),
            ("max-age=+1", None, false),
            ("max-age=1.5", None, false),
            ("max-age=", None, false),
            ("max-age=\"\"", None, false),
            ("max-age=\"5", None, false),
            ("max-age", None, false),
            ("max-age=99999999999999999999999", Some(1 << 31), false),
            ("x-max-age=5", None, false),
            ("private=\"a, max-age=5\"", None, false),
            (r#"private="a\", max-age=5", max-age=6"#, Some(6), false),
            ("no-store", None, true),
            ("No-Cache, max-age=5", Some(5), true),
            ("no-cache=\"set-cookie\"", None, false),
            ("max-age=0", Some(0), false),
            ("", None, false),
        ] {
            assert_eq!(read(&[line]), (kept, asked), "{line}");
        }
        assert_eq!(read(&["max-age=5", "max-age=50"]), (Some(50), false));
        assert_eq!(read(&[]), (None, false));
    }

    proptest! {
        #[test]
        fn anything_may_stand_there(line in "\\PC*", more in "[a-z0-9=\", \\\\-]{0,40}") {
            let all = CacheControl::parse([line.as_str(), &more]);
            for one in [&line, &more] {
                let one = CacheControl::parse([one.as_str()]);
                prop_assert!(one.kept_for <= all.kept_for && one.always_asked <= all.always_asked);
            }
            prop_assert!(all.kept_for <= Some(Duration::from_secs(MOST)));
        }

        #[test]
        fn no_other_directive_hides_an_age(
            seconds in 0_u64..MOST,
            before in "(([a-z]{1,9}(=([a-z0-9]{1,9}|\"[a-z0-9 ,=-]{0,20}\"))?) ?, ?){0,4}",
            after in "( ?, ?[a-z]{1,9}(=\"[a-z ,=]{0,9}\")?){0,4}",
        ) {
            let line = format!("{before}Max-Age={seconds}{after}");
            let read = CacheControl::parse([line.as_str()]);
            prop_assert_eq!(read.kept_for, Some(Duration::from_secs(seconds)));
        }
    }
}
