//! What a person can do about an error, and how its causes read.

use std::error::Error;
use std::iter::successors;

/// Every error of the product says what to do next, and whether doing the same again can help.
///
/// `Display` states what is wrong with which object; the cause is in `source()`; the command line prints
/// the chain once. See the error rules in the README.
pub trait Explain: Error {
    /// One next action that can be pasted or followed, without a final full stop.
    fn help(&self) -> Option<String> {
        None
    }

    /// Whether the same command may succeed later with nothing changed: unreachable, throttled, lost a race.
    fn retryable(&self) -> bool {
        false
    }

    /// Whether nothing was attempted, because what it takes was not given: no credentials, no cluster.
    fn refused(&self) -> bool {
        false
    }
}

/// An error and everything behind it, from the outside to the inside.
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// An error and its causes on one line. What was said already is left out: wrappers repeat the text of what they wrap.
pub fn on_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    for cause in error.source().into_iter().flat_map(chain) {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn link(texts: &[&'static str]) -> Link {
        let (text, rest) = texts.split_first().unwrap();
        Link {
            text,
            source: (!rest.is_empty()).then(|| Box::new(link(rest))),
        }
    }

    #[test]
    fn causes_follow_on_one_line_and_are_said_once() {
        for (texts, expected) in [
            (&["a is away"][..], "a is away"),
            (
                &["a is away", "no route to it", "cable cut"],
                "a is away: no route to it: cable cut",
            ),
            (
                &["a is away: no route", "no route", "cable cut"],
                "a is away: no route: cable cut",
            ),
            (
                &["a is away", "a is away", "cable cut"],
                "a is away: cable cut",
            ),
        ] {
            assert_eq!(on_one_line(&link(texts)), expected);
        }
        assert_eq!(chain(&link(&["a", "b", "c"])).count(), 3);
    }
}
