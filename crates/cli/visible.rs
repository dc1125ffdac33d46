//! Foreign texts in our output.

/// A foreign text on one line, with nothing that a terminal acts on: whoever made a token or a certificate chose its
/// characters, and must neither forge a line of ours nor move the cursor.
pub fn visible(text: &str) -> String {
    let escape = |c: char| match c {
        ' '..='~' => c.to_string(),
        // What is left unchanged here is a letter or sign in some language.
        c => c.escape_debug().to_string(),
    };
    text.chars().map(escape).collect()
}

/// The same JSON, with every character that does not print as `\uXXXX`: JSON escapes only those below a blank, and a
/// terminal acts on others (U+009B) or turns a line round (U+202E). Such characters stand in strings only.
pub fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ' '..='~' | '\n') || c.escape_debug().len() == 1 {
            safe.push(c);
        } else {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            safe.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_the_same_and_holds_nothing_that_does_not_print() {
        let value = serde_json::json!({"ü\u{9b}": ["\u{7f}\u{202e}\u{e0001}\u{1b}\n\u{2028}"]});
        let safe = json(&serde_json::to_string_pretty(&value).unwrap());
        assert_eq!(
            safe,
            "{\n  \"ü\\u009b\": [\n    \"\\u007f\\u202e\\udb40\\udc01\\u001b\\n\\u2028\"\n  ]\n}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }

    #[test]
    fn control_characters_are_shown_and_letters_left() {
        assert_eq!(
            visible("a\n\u{1b}[31m\u{202e}ü\""),
            "a\\n\\u{1b}[31m\\u{202e}ü\""
        );
    }
}
