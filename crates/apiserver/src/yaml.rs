//! YAML, by two libraries that know nothing of each other: `yaml-edit` changes the text and keeps comments, order and
//! quoting; `serde-saphyr` reads what was there and what is there now, and any difference but the intended one refuses
//! the edit. No other file knows either.

mod comment;
mod splice;

use std::str::FromStr as _;

use serde_json::Value;
use serde_saphyr::DeserializeError;
use similar::{ChangeTag, TextDiff};
use yaml_edit::{Document, Mapping, Scalar, Sequence, YamlFile, YamlNode};

use crate::edit::{self, Edit, NoPlace, Operation, Path, Step};

/// How the library begins what it says to programmers, up to the place in the file.
const ADVICE: [&str; 4] = [", set ", "; use from_", ", use from_", ". If you just use"];

/// No manifest or cluster specification comes near.
pub const MAX_BYTES: usize = 4 << 20;
/// What aliases may stand for, all together: hundreds of times what anybody writes, and read in a moment. A few lines of
/// aliases of aliases can stand for more than fits into memory.
pub const MOST_REPEATED: usize = 10_000;

/// Why a text cannot be read or edited safely.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// Larger than [`MAX_BYTES`].
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Aliases that stand for more than [`MOST_REPEATED`] parts.
    #[error("its aliases repeat more than {MOST_REPEATED} parts")]
    Repeats,
    /// More values, or deeper ones, than the library reads.
    #[error("it has more values than any manifest, or deeper ones, up to line {line}")]
    TooMuch {
        /// Where reading ended.
        line: u64,
    },
    /// Not YAML, or YAML with repeated keys.
    #[error("it is not valid YAML: {0}")]
    Invalid(String),
    /// The two libraries do not see the same documents.
    #[error("it has parts that two YAML parsers read differently")]
    Ambiguous,
    /// An edit that does not fit.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// The text that came out does not say what was intended.
    #[error("the edit of {path} cannot be made safely here: {reason}")]
    Unsafe {
        /// The first edit.
        path: Path,
        /// What went wrong.
        reason: &'static str,
    },
}

/// Reads the values of every document of a file.
pub fn parse(text: &str) -> Result<Vec<Value>, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::TooLarge);
    }
    let options = serde_saphyr::options! {
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_REPEATED },
    };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let mut cause = error.without_snippet();
        while let DeserializeError::AliasError { error, .. } = cause {
            cause = error;
        }
        if matches!(cause, DeserializeError::AliasReplayLimitExceeded { .. }) {
            return YamlError::Repeats;
        }
        if let DeserializeError::Budget { location, .. } = cause {
            return YamlError::TooMuch {
                line: location.line(),
            };
        }
        let message = error.without_snippet().to_string();
        let first = message.lines().next().unwrap_or_default();
        let first = without_advice(first);
        YamlError::Invalid(first.chars().take(300).collect())
    })
}

fn without_advice(message: &str) -> String {
    let begins = ADVICE
        .iter()
        .filter_map(|advice| message.find(advice))
        .min();
    let Some(begins) = begins else {
        return message.to_owned();
    };
    let (what, advice) = message.split_at(begins);
    let place = advice.rfind(" at line ").and_then(|at| advice.get(at..));
    format!("{what}{}", place.unwrap_or_default())
}

/// Whether documents say nothing: an empty file, comments alone, or an empty mapping.
pub fn is_blank(documents: &[Value]) -> bool {
    match documents {
        [] | [Value::Null] => true,
        [Value::Object(keys)] => keys.is_empty(),
        _ => false,
    }
}

/// Makes the edits in the text. What comes out says exactly what was intended, keeps every comment, and differs from
/// the old text in no other line; or it is refused.
pub fn apply(text: &str, edits: &[Edit]) -> Result<String, YamlError> {
    let before = parse(text)?;
    let Some(first) = edits.first() else {
        return Ok(text.to_owned());
    };
    if is_blank(&before) {
        return fill(text, first, edits);
    }
    let wanted = edit::apply(&before, edits)?;
    let mut file =
        YamlFile::from_str(text).map_err(|error| YamlError::Invalid(error.to_string()))?;
    if file.documents().count() != before.len() {
        return Err(YamlError::Ambiguous);
    }
    let kept = comment::kept(text, &file, &before, edits)?;
    let mut touched = 0;
    for edit in edits {
        touched += make(&mut file, edit)?;
    }
    let after = line_ends_as_in(text, file.to_string());
    if parse(&after).ok() != Some(wanted) {
        return Err(refuse(
            first,
            "the result would say something else (an anchor, an alias or a merge key?)",
        ));
    }
    let reread = YamlFile::from_str(&after).map_err(|_| refuse(first, "the result is not YAML"))?;
    if !kept.are(comment::all(&reread)) {
        return Err(refuse(first, "a comment would be lost"));
    }
    if lines_lost(text, &after) > touched {
        return Err(refuse(first, "lines that are not concerned would change"));
    }
    if serde_json::from_str::<Value>(text).is_ok() && serde_json::from_str::<Value>(&after).is_err()
    {
        return Err(refuse(first, "the result would no longer be JSON"));
    }
    Ok(after)
}

/// Writes what the edits make of an empty mapping below the comments of a text that says nothing.
fn fill(text: &str, first: &Edit, edits: &[Edit]) -> Result<String, YamlError> {
    let empty = Value::Object(serde_json::Map::new());
    let wanted = edit::apply(&[empty], edits)?;
    let lines = text.split_inclusive('\n');
    let mut after: String = lines
        .map(|line| match line.trim_start().strip_prefix("{}") {
            Some(rest) if rest.trim().is_empty() => "",
            Some(rest) => rest.trim_start(),
            None => line,
        })
        .collect();
    if !after.is_empty() && !after.ends_with('\n') {
        after.push('\n');
    }
    for document in &wanted {
        let written = serde_saphyr::to_string(document);
        after.push_str(&written.map_err(|_| refuse(first, "the value there is not plain YAML"))?);
    }
    let after = line_ends_as_in(text, after);
    let comment = |line: &str| line.get(line.find('#')?..).map(str::to_owned);
    let kept = text
        .lines()
        .filter_map(comment)
        .eq(after.lines().filter_map(comment));
    if parse(&after).ok() != Some(wanted) || !kept {
        return Err(refuse(
            first,
            "the file says nothing, in a way that cannot be added to: empty it",
        ));
    }
    Ok(after)
}

/// The line, counted from 1, at which a place begins.
pub fn line(text: &str, document: usize, path: &Path) -> Option<usize> {
    let file = YamlFile::from_str(text).ok()?;
    let root = file.documents().nth(document)?;
    let node = node(&root, path)?;
    let start = usize::try_from(node.byte_range().start).ok()?;
    let before = text.get(..start)?;
    Some(before.matches('\n').count() + 1)
}

fn refuse(edit: &Edit, reason: &'static str) -> YamlError {
    YamlError::Unsafe {
        path: edit.path.clone(),
        reason,
    }
}

/// How many lines of the old text are not in the new one.
fn lines_lost(before: &str, after: &str) -> usize {
    let diff = TextDiff::from_lines(before, after);
    diff.iter_all_changes()
        .filter(|change| change.tag() == ChangeTag::Delete)
        .count()
}

/// How many old lines an edit may touch: the one it is at, and one more where a line gains its line end.
fn lines_touched(edit: &Edit) -> usize {
    match &edit.operation {
        Operation::Set(_) | Operation::Insert(_) | Operation::Move(_) => 2,
        Operation::Remove => 4,
    }
}

/// New lines end as the others do.
fn line_ends_as_in(before: &str, after: String) -> String {
    let windows = before.matches("\r\n").count();
    if windows == 0 || windows != before.matches('\n').count() {
        return after;
    }
    after.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// Makes one edit: in the text where there is a way to, else in the tree. Says how many lines it may touch.
fn make(file: &mut YamlFile, edit: &Edit) -> Result<usize, YamlError> {
    let document = file.documents().nth(edit.document);
    let document = document.ok_or(YamlError::Ambiguous)?;
    if let Some(done) = splice(&file.to_string(), &document, edit) {
        *file =
            YamlFile::from_str(&done.text).map_err(|_| refuse(edit, "the result is not YAML"))?;
        return Ok(done.touched);
    }
    let done = write(&document, edit);
    let reason = match edit.operation {
        Operation::Move(_) => "an item would lose its comment, or take another's",
        _ => "the node there is not plain YAML",
    };
    done.ok_or_else(|| refuse(edit, reason))?;
    Ok(lines_touched(edit))
}

/// The text with the edit made, where that is a matter of lines or of brackets.
fn splice(text: &str, top: &Document, edit: &Edit) -> Option<splice::Spliced> {
    let (parent, last) = edit.path.split_last()?;
    let node = node(top, &parent)?;
    match (last, &edit.operation) {
        (Step::Index(index), Operation::Insert(value)) => {
            splice::insert(text, node.as_sequence()?, *index, value)
        }
        (Step::Index(index), Operation::Move(to)) => {
            splice::shift(text, node.as_sequence()?, *index, *to)
        }
        (Step::Key(key), Operation::Set(value)) => {
            let mapping = node.as_mapping()?;
            let new = mapping.is_flow_style() && mapping.get(key.as_str()).is_none();
            new.then(|| splice::add_key(text, mapping, key, value))
                .flatten()
        }
        _ => None,
    }
}

fn write(top: &Document, edit: &Edit) -> Option<()> {
    let (parent, last) = edit.path.split_last()?;
    let node = node(top, &parent)?;
    match (last, &edit.operation) {
        (Step::Key(key), Operation::Set(value)) => set_key(node.as_mapping()?, key, value),
        (Step::Index(index), Operation::Set(value)) => set_item(node.as_sequence()?, *index, value),
        (Step::Index(index), Operation::Insert(value)) => {
            insert_item(node.as_sequence()?, *index, value)
        }
        (Step::Index(index), Operation::Remove) => node.as_sequence()?.remove(*index).map(drop),
        (Step::Key(key), Operation::Remove) => node.as_mapping()?.remove(key.as_str()).map(drop),
        (Step::Key(_), Operation::Insert(_)) | (_, Operation::Move(_)) => None,
    }
}

fn node(root: &Document, path: &Path) -> Option<YamlNode> {
    let top = YamlNode::Mapping(root.as_mapping()?);
    path.steps().iter().try_fold(top, |node, step| match step {
        Step::Key(key) => node.as_mapping()?.get(key.as_str()),
        Step::Index(index) => node.as_sequence()?.get(*index),
    })
}

fn set_key(mapping: &Mapping, key: &str, value: &Value) -> Option<()> {
    if let (Some(YamlNode::Scalar(old)), Value::String(text)) = (mapping.get(key), value)
        && rewrite(&old, text, mapping.is_flow_style())
    {
        return Some(());
    }
    mapping.set(key, to_node(value, mapping.is_flow_style())?);
    Some(())
}

fn set_item(list: &Sequence, index: usize, value: &Value) -> Option<()> {
    if let (Some(YamlNode::Scalar(old)), Value::String(text)) = (list.get(index), value)
        && rewrite(&old, text, list.is_flow_style())
    {
        return Some(());
    }
    list.set(index, to_node(value, list.is_flow_style())?)
        .then_some(())
}

fn insert_item(list: &Sequence, index: usize, value: &Value) -> Option<()> {
    let value = to_node(value, list.is_flow_style())?;
    if index == list.len() {
        list.push(value);
    } else {
        list.insert(index, value);
    }
    Some(())
}

/// Gives a scalar another text in the style that it has. False when the style cannot hold it.
fn rewrite(scalar: &Scalar, text: &str, flow: bool) -> bool {
    let old = scalar.value();
    if old.starts_with('\'') {
        scalar.set_value(&format!("'{}'", text.replace('\'', "''")));
    } else if old.starts_with('"') {
        // JSON's strings are a subset of YAML's.
        scalar.set_value(&Value::from(text).to_string());
    } else if !scalar.is_block() && is_plain(text, flow) {
        scalar.set_value(text);
    } else {
        return false;
    }
    true
}

/// Whether a text is surely a string when it stands without quotes: a flag, a path, a URL.
/// The library quotes whatever begins with a hyphen, which would make a manifest look unlike itself.
fn is_plain(text: &str, flow: bool) -> bool {
    let harmless =
        |c: char| c.is_ascii_alphanumeric() || "-_./:=@+%~".contains(c) || (c == ',' && !flow);
    let begins = text.starts_with("--") || text.starts_with('/') || text.contains("://");
    begins && text.chars().all(harmless) && !text.ends_with(':')
}

/// A text as a scalar, in the style in which a person would write it.
fn scalar_text(text: &str, flow: bool) -> Option<String> {
    if is_plain(text, flow) {
        return Some(text.to_owned());
    }
    let document = Document::from_str("a: b\n").ok()?;
    document.as_mapping()?.set("a", text);
    let written = document.to_string();
    Some(written.strip_prefix("a: ")?.trim_end().to_owned())
}

/// A node to put into a tree. Built as text and parsed, so that its style is what a person would write.
fn to_node(value: &Value, flow: bool) -> Option<YamlNode> {
    if let Value::String(text) = value {
        let document = Document::from_str("a: b\n").ok()?;
        document.as_mapping()?.set("a", text.as_str());
        let node = document.get("a")?;
        if is_plain(text, flow) {
            node.as_scalar()?.set_value(text);
        }
        return Some(node);
    }
    let text = if flow {
        // JSON is YAML in flow style.
        value.to_string()
    } else {
        serde_saphyr::to_string(value).ok()?
    };
    let document = Document::from_str(&text).ok()?;
    let mapping = document.as_mapping().map(YamlNode::Mapping);
    let sequence = || document.as_sequence().map(YamlNode::Sequence);
    let scalar = || document.as_scalar().map(YamlNode::Scalar);
    mapping.or_else(sequence).or_else(scalar)
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
