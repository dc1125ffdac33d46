//! Names of connected clusters, as `RegisterCluster` accepts them.

use std::fmt;

use irsa_core::explain::Explain;

/// The longest name that the API takes, in characters.
pub const MAX_CHARS: usize = 100;

/// A cluster name: a letter or digit, then letters, digits, `-` and `_`, [`MAX_CHARS`] at most (EKS API,
/// `RegisterClusterRequest.name`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterName(String);

/// Why a text is no cluster name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is no name of a connected cluster: {reason}")]
pub struct NameError {
    given: String,
    reason: String,
    suggestion: Option<String>,
}

impl Explain for NameError {
    fn help(&self) -> Option<String> {
        Some(match &self.suggestion {
            Some(name) => format!("use --name {name}"),
            None => "begin with a letter or digit; letters, digits, - and _ may follow".into(),
        })
    }
}

impl ClusterName {
    /// Reads a name; the error suggests the nearest legal one.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let fail = |reason: String| NameError {
            given: text.to_owned(),
            reason,
            suggestion: suggest(text),
        };
        if text.is_empty() {
            return Err(fail("it is empty".into()));
        }
        if let Some(c) = text.chars().find(|c| !legal(*c)) {
            return Err(fail(format!(
                "it has {}, expected letters, digits, - and _ only",
                in_words(c)
            )));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(fail("it begins with neither a letter nor a digit".into()));
        }
        if text.len() > MAX_CHARS {
            return Err(fail(format!(
                "it has {} characters, expected {MAX_CHARS} at most",
                text.len()
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn in_words(c: char) -> String {
    match c {
        '.' => "a dot".into(),
        ' ' => "a space".into(),
        '/' => "a slash".into(),
        c => format!("the character {c:?}"),
    }
}

/// The same name with a hyphen in the place of everything illegal: `prod.example.com` becomes `prod-example-com`.
fn suggest(text: &str) -> Option<String> {
    let replaced: String = text
        .chars()
        .map(|c| if legal(c) { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(MAX_CHARS)
        .collect();
    let trimmed = replaced.trim_end_matches(['-', '_']);
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names_are_taken_as_they_are() {
        for name in ["a", "9", "prod-1", "A_b-C", &"x".repeat(MAX_CHARS)] {
            assert_eq!(ClusterName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn an_illegal_name_comes_with_the_nearest_legal_one() {
        for (given, suggestion) in [
            ("prod.example.com", Some("prod-example-com")),
            ("-prod", Some("prod")),
            ("a b", Some("a-b")),
            ("prod.", Some("prod")),
            ("größe", Some("gr--e")),
            ("", None),
            ("...", None),
        ] {
            let error = ClusterName::parse(given).unwrap_err();
            assert_eq!(error.suggestion.as_deref(), suggestion, "{given}");
            if let Some(name) = suggestion {
                ClusterName::parse(name).unwrap();
            }
        }
        let long = ClusterName::parse(&"x".repeat(101)).unwrap_err();
        assert_eq!(long.suggestion.unwrap().len(), MAX_CHARS);
        assert!(
            ClusterName::parse("a.b")
                .unwrap_err()
                .to_string()
                .contains("it has a dot")
        );
    }
}
