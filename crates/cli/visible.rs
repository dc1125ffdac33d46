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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_letters_left() {
        assert_eq!(
            visible("a\n\u{1b}[31m\u{202e}ü\""),
            "a\\n\\u{1b}[31m\\u{202e}ü\""
        );
    }
}
