//! The pod annotation `skip-containers`: one record of comma-separated values, read as Go's `encoding/csv` reads it.

/// The names of the containers to leave alone. A list that cannot be read skips nothing, as upstream has it: see
/// [`parse`] for the difference.
///
/// - Nothing is trimmed: `a, b` names `a` and ` b`.
/// - Quotes are honoured, `""` inside them is one quote; a quote elsewhere is an error.
/// - Leading blank lines are passed over, and everything after the first record is not read.
pub fn parse(text: &str) -> Result<Vec<String>, SkipError> {
    let mut rest = text;
    // An annotation rarely ends its lines at all; Go drops the carriage return of one that does.
    while let Some(next) = rest
        .strip_prefix('\n')
        .or_else(|| rest.strip_prefix("\r\n"))
    {
        rest = next;
    }
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => self::quoted(quoted)?,
            None => bare(rest)?,
        };
        names.push(name);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(names),
        }
    }
}

/// A list that Go's reader refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quotation mark is not where a quoted name begins or ends")]
pub struct SkipError;

/// A name without quotes, up to the comma or the end of the line.
fn bare(text: &str) -> Result<(String, &str), SkipError> {
    let end = text.find([',', '\n']).unwrap_or(text.len());
    let (name, after) = text.split_at_checked(end).ok_or(SkipError)?;
    let name = if after.starts_with(',') {
        name
    } else {
        name.strip_suffix('\r').unwrap_or(name)
    };
    if name.contains('"') {
        return Err(SkipError);
    }
    Ok((name.to_owned(), after))
}

/// A name after its opening quote. It may hold commas and line ends.
fn quoted(mut text: &str) -> Result<(String, &str), SkipError> {
    let mut name = String::new();
    loop {
        let (part, after) = text.split_once('"').ok_or(SkipError)?;
        name.push_str(part);
        if let Some(next) = after.strip_prefix('"') {
            name.push('"');
            text = next;
        } else if after.is_empty() || after.starts_with([',', '\n']) || after.starts_with("\r\n") {
            return Ok((name, after));
        } else {
            return Err(SkipError);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_go_reads_them() {
        let table: [(&str, Result<&[&str], SkipError>); 15] = [
            ("", Ok(&[])),
            ("\n\r\n", Ok(&[])),
            ("a", Ok(&["a"])),
            ("a,b", Ok(&["a", "b"])),
            ("a, b", Ok(&["a", " b"])),
            ("a,", Ok(&["a", ""])),
            ("\"\"", Ok(&[""])),
            ("\"a\",b", Ok(&["a", "b"])),
            ("\"a,b\"", Ok(&["a,b"])),
            ("\"a\"\"b\"", Ok(&["a\"b"])),
            ("\na\nb", Ok(&["a"])),
            ("a\r\nb", Ok(&["a"])),
            ("a\"b", Err(SkipError)),
            ("\"a", Err(SkipError)),
            ("\"a\"b", Err(SkipError)),
        ];
        for (text, expected) in table {
            let expected = expected.map(|names| {
                names
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>()
            });
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
