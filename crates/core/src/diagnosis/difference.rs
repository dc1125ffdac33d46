//! In which way two strings differ, in the words of whoever has to mend it.

/// The difference, and how many characters the two have in common at their beginning.
pub fn difference(found: &str, expected: &str) -> (String, usize) {
    let common = found
        .chars()
        .zip(expected.chars())
        .take_while(|(a, b)| a == b)
        .count();
    (in_words(found, expected, common), common)
}

fn in_words(found: &str, expected: &str, common: usize) -> String {
    if found == expected {
        return "they are equal".to_owned();
    }
    if found.is_empty() {
        return "it is empty".to_owned();
    }
    if found.trim() == expected.trim() {
        return "they differ in white space at the end or the beginning".to_owned();
    }
    let bare = |text: &str| text.trim_end_matches('/').to_owned();
    if bare(found) == bare(expected) {
        let which = if found.ends_with('/') {
            "the first has one, the second has none"
        } else {
            "the first has none, the second has one"
        };
        return format!("they differ in the slash at the end: {which}");
    }
    if found.eq_ignore_ascii_case(expected) {
        return "they differ in case".to_owned();
    }
    let (found_scheme, found_rest) = scheme(found);
    let (expected_scheme, expected_rest) = scheme(expected);
    if found_rest == expected_rest {
        let name = |scheme: &str| match scheme {
            "" => "none".to_owned(),
            scheme => format!("{scheme}://"),
        };
        return format!(
            "they differ in the scheme: {} and {}",
            name(found_scheme),
            name(expected_scheme)
        );
    }
    if found.contains(',') && found.split(',').any(|one| one.trim() == expected) {
        return "the first is several values joined with commas, which are one value here"
            .to_owned();
    }
    if without_port(found_rest) == without_port(expected_rest) {
        return "they differ in the port".to_owned();
    }
    if bare(found_rest).eq_ignore_ascii_case(&bare(expected_rest)) {
        return "they differ in scheme, case or the slash at the end".to_owned();
    }
    if found.starts_with(expected) {
        return "the first goes on where the second ends".to_owned();
    }
    if expected.starts_with(found) {
        return "the first ends where the second goes on".to_owned();
    }
    if host(found_rest) == host(expected_rest) {
        return format!("they differ in the path, from character {} on", common + 1);
    }
    format!("they differ from character {} on", common + 1)
}

fn scheme(text: &str) -> (&str, &str) {
    text.split_once("://").unwrap_or(("", text))
}

fn host(rest: &str) -> &str {
    rest.split('/').next().unwrap_or_default()
}

fn without_port(rest: &str) -> String {
    let authority = host(rest);
    let path = rest.strip_prefix(authority).unwrap_or_default();
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    format!("{name}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_difference_has_its_words() {
        for (found, expected, words, common) in [
            ("https://h/a", "https://h/a", "equal", 11),
            ("https://h/a/", "https://h/a", "the first has one", 11),
            ("https://h/a", "https://h/a/", "the first has none", 11),
            ("https://H/a", "https://h/a", "case", 8),
            ("http://h/a", "https://h/a", "http:// and https://", 4),
            ("h/a", "https://h/a", "none and https://", 1),
            (" https://h/a", "https://h/a", "white space", 0),
            ("https://h:443/a", "https://h/a", "the port", 9),
            (
                "https://h/a,https://b",
                "https://h/a",
                "joined with commas",
                11,
            ),
            ("https://h/a/b", "https://h/a", "goes on", 11),
            ("https://h", "https://h/a", "ends where", 9),
            ("https://h/b", "https://h/a", "path, from character 11", 10),
            ("http://H/a/", "https://h/a", "scheme, case or the slash", 4),
            ("https://other/a", "https://h/a", "from character 9", 8),
            ("", "https://h/a", "empty", 0),
        ] {
            let (text, at) = difference(found, expected);
            assert!(text.contains(words), "{found} {expected}: {text}");
            assert_eq!(at, common, "{found} {expected}");
        }
    }
}
