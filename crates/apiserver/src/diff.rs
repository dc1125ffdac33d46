//! What a change does to a file, without what else is in it.
//!
//! Cluster files hold join tokens, private keys and passwords of databases beside the flags. A line of a diff is shown
//! as far as it is a key or a value that is known to be no secret: the token flags, and the mounts of key files. Every
//! other value is [`HIDDEN`], also in comments and in texts inside the file.

mod mask;

use similar::{ChangeTag, TextDiff};

use self::mask::masked;

/// What stands for a value that is not shown.
pub const HIDDEN: &str = "\u{2026}";

/// A unified diff with three lines of context; empty when nothing changes. When values are hidden, its first line says so.
pub fn shown(name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(before, after);
    let (old, new) = (masked(diff.old_slices()), masked(diff.new_slices()));
    let mut text = format!("--- {name}\n+++ {name}\n");
    let mut hidden = false;
    for hunk in diff.unified_diff().iter_hunks() {
        text.push_str(&hunk.header().to_string());
        text.push('\n');
        for change in hunk.iter_changes() {
            let (sign, lines, index) = match change.tag() {
                ChangeTag::Delete => ('-', &old, change.old_index()),
                ChangeTag::Insert => ('+', &new, change.new_index()),
                ChangeTag::Equal => (' ', &new, change.new_index()),
            };
            let line = index.and_then(|index| lines.get(index));
            let line = line.map_or(HIDDEN, String::as_str);
            hidden |= line != change.value().trim_end_matches(['\r', '\n']);
            text.push(sign);
            text.push_str(line);
            text.push('\n');
            if change.missing_newline() {
                text.push_str("\\ No newline at end of file\n");
            }
        }
    }
    if hidden {
        text.insert_str(0, &format!("({HIDDEN} stands for what is not shown: this is to be read, and not to be applied)\n"));
    }
    text
}

#[cfg(test)]
#[path = "diff_tests.rs"]
mod tests;
