//! Items of lists that are put in and moved in the text itself, where the library would lose to which item a comment
//! belongs, or write in another style than its neighbours'.

use std::ops::Range;

use serde_json::Value;
use yaml_edit::{Mapping, Sequence, YamlNode};

use super::{is_plain, scalar_text};

/// A text with one edit made, and how many of its old lines that may have touched.
pub(super) struct Spliced {
    pub(super) text: String,
    pub(super) touched: usize,
}

/// A new item in front of the one with this index, or at the end.
pub(super) fn insert(text: &str, list: &Sequence, index: usize, value: &Value) -> Option<Spliced> {
    if list.is_flow_style() {
        return insert_flow(text, list, index, value);
    }
    let lines = Lines::of(text, list)?;
    let at = match lines.items.get(index) {
        Some(item) => item.start,
        None => lines.items.last()?.end,
    };
    let new = block_item(value, lines.indent)?;
    Some(lines.replaced(at..at, &[new], 2))
}

/// Moves an item with the comments above and beside it in front of another one before it.
pub(super) fn shift(text: &str, list: &Sequence, from: usize, to: usize) -> Option<Spliced> {
    if list.is_flow_style() {
        return shift_flow(text, list, from, to);
    }
    let lines = Lines::of(text, list)?;
    let (old, new) = (lines.items.get(from)?.clone(), lines.items.get(to)?.start);
    let moved = lines.lines.get(old.clone())?.to_vec();
    let between = lines.lines.get(new..old.start)?.to_vec();
    let touched = moved.len() + 2;
    Some(lines.replaced(new..old.end, &[moved, between].concat(), touched))
}

/// A new key of a mapping in braces, written like the one before it.
pub(super) fn add_key(text: &str, mapping: &Mapping, key: &str, value: &Value) -> Option<Spliced> {
    let name = tight(text, &mapping.keys().last()?)?;
    let old = tight(text, &mapping.values().last()?)?;
    let name = like(text.get(name)?, &key.into(), "");
    let value = like(text.get(old.clone())?, value, "");
    let mut after = text.to_owned();
    after.insert_str(old.end, &format!(", {name}: {value}"));
    Some(Spliced {
        text: after,
        touched: 2,
    })
}

/// The lines of a text, and which of them belong to each item of a list.
struct Lines {
    lines: Vec<String>,
    items: Vec<Range<usize>>,
    indent: usize,
    /// Whether the last line of the text ends.
    ended: bool,
}

impl Lines {
    fn of(text: &str, list: &Sequence) -> Option<Self> {
        let lines: Vec<String> = text.split_terminator('\n').map(str::to_owned).collect();
        let mut dashes = Vec::new();
        for item in list.values() {
            let start = range(&item)?.start;
            let line = text.get(..start)?.matches('\n').count();
            lines
                .get(line)?
                .trim_start()
                .starts_with('-')
                .then_some(())?;
            dashes.push(line);
        }
        let indent = indentation(lines.get(*dashes.first()?)?);
        let same = |line: &&usize| {
            lines
                .get(**line)
                .is_some_and(|text| indentation(text) == indent)
        };
        // A list that begins in an item of another one has its first dash elsewhere.
        (dashes.iter().filter(same).count() == dashes.len()).then_some(())?;
        let items = dashes.iter().map(|dash| {
            let end = end_of(&lines, *dash, indent);
            start_of(&lines, *dash, indent)..end
        });
        let items: Vec<_> = items.collect();
        let ordered = items
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.end <= b.start));
        ordered.then_some(Self {
            items,
            indent,
            ended: text.ends_with('\n') || text.is_empty(),
            lines,
        })
    }

    fn replaced(mut self, at: Range<usize>, by: &[String], touched: usize) -> Spliced {
        self.lines.splice(at, by.iter().cloned());
        let mut text = self.lines.join("\n");
        if self.ended {
            text.push('\n');
        } else if text.ends_with('\r') {
            text.pop();
        }
        Spliced { text, touched }
    }
}

/// The comments directly above an item, in its own column or further in, belong to it.
fn start_of(lines: &[String], dash: usize, indent: usize) -> usize {
    let above = lines.get(..dash).unwrap_or_default().iter().rev();
    let comments = above.take_while(|line| is_comment(line) && indentation(line) >= indent);
    let count = comments.count();
    // Behind an entry with lines of its own they may be about that one when they stand further in.
    let first = dash - count;
    let deeper = |line: &&String| indentation(line) > indent;
    let before = first.checked_sub(1).and_then(|line| lines.get(line));
    if before.is_some_and(|line| deeper(&line) && !line.trim_start().starts_with("- ")) {
        let theirs = lines.get(first..dash).unwrap_or_default();
        return first + theirs.iter().take_while(deeper).count();
    }
    first
}

/// The line behind an item: what stands further in belongs to it, but for comments above the next one.
fn end_of(lines: &[String], dash: usize, indent: usize) -> usize {
    let below = lines.get(dash + 1..).unwrap_or_default();
    let inside = below
        .iter()
        .take_while(|line| line.trim().is_empty() || indentation(line) > indent);
    let inside: Vec<_> = inside.collect();
    let last = inside
        .iter()
        .rposition(|line| !line.trim().is_empty() && !is_comment(line));
    let end = last.map_or(0, |last| last + 1);
    // Comments of an entry with lines of its own, at its end.
    let own = if end > 0 {
        inside
            .iter()
            .skip(end)
            .take_while(|line| is_comment(line))
            .count()
    } else {
        0
    };
    dash + 1 + end + own
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn block_item(value: &Value, indent: usize) -> Option<String> {
    let text = match value {
        Value::String(text) => scalar_text(text, false)?,
        other => serde_saphyr::to_string(other).ok()?,
    };
    let pad = " ".repeat(indent);
    let lines = text.trim_end().lines().enumerate();
    let lines =
        lines.map(|(number, line)| format!("{pad}{}{line}", if number == 0 { "- " } else { "  " }));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

fn insert_flow(text: &str, list: &Sequence, index: usize, value: &Value) -> Option<Spliced> {
    let items: Vec<_> = list
        .values()
        .map(|item| tight(text, &item))
        .collect::<Option<_>>()?;
    if items.is_empty() {
        return first_flow(text, list, value);
    }
    let near = items
        .get(index.saturating_sub(1))
        .or_else(|| items.last())?;
    // As the two at this place stand apart; one alone as it stands apart from its bracket.
    let left = index.clamp(1, items.len().max(2) - 1) - 1;
    let apart = if let (Some(one), Some(other)) = (items.get(left), items.get(left + 1)) {
        text.get(one.end..other.start)?.to_owned()
    } else {
        let blank = text.get(..near.start)?;
        let blank = blank.get(blank.trim_end().len()..)?;
        format!(",{}", if blank.contains('\n') { blank } else { " " })
    };
    let apart = if apart.contains('#') {
        ", ".to_owned()
    } else {
        apart
    };
    let new = like(text.get(near.clone())?, value, &apart);
    let mut after = text.to_owned();
    match items.get(index) {
        Some(next) => after.insert_str(next.start, &format!("{new}{apart}")),
        None => after.insert_str(items.last()?.end, &format!("{apart}{new}")),
    }
    Some(Spliced {
        text: after,
        touched: 2,
    })
}

/// The first item between two brackets, written as JSON too would have it.
fn first_flow(text: &str, list: &Sequence, value: &Value) -> Option<Spliced> {
    let range = range(&YamlNode::Sequence(list.clone()))?;
    let empty = text.get(range.clone())?.trim_end();
    let inside = empty.strip_prefix('[')?.strip_suffix(']')?;
    // A comment between them would have to be somewhere.
    inside.trim().is_empty().then_some(())?;
    let mut after = text.to_owned();
    after.insert_str(range.start + 1, &value.to_string());
    Some(Spliced {
        text: after,
        touched: 2,
    })
}

/// A value in brackets, written like its neighbour.
fn like(neighbour: &str, value: &Value, apart: &str) -> String {
    let Value::String(text) = value else {
        let pretty = neighbour.contains('\n') && apart.contains('\n');
        let lines = pretty
            .then(|| serde_json::to_string_pretty(value).ok())
            .flatten();
        let pad = apart.rsplit('\n').next().unwrap_or_default();
        return lines.map_or_else(
            || value.to_string(),
            |lines| lines.replace('\n', &format!("\n{pad}")),
        );
    };
    match neighbour.chars().next() {
        Some('\'') => format!("'{}'", text.replace('\'', "''")),
        Some('"') => value.to_string(),
        _ if is_plain(text, true) => text.clone(),
        Some('{') => value.to_string(),
        _ => scalar_text(text, true).unwrap_or_else(|| value.to_string()),
    }
}

fn shift_flow(text: &str, list: &Sequence, item: usize, to: usize) -> Option<Spliced> {
    let items: Vec<_> = list
        .values()
        .map(|item| tight(text, &item))
        .collect::<Option<_>>()?;
    let slots = items.get(to..=item)?;
    let (start, behind) = (slots.first()?.start, slots.last()?.end);
    let rest = text.get(behind..)?.lines().next().unwrap_or_default();
    // Behind the bracket it is about the whole list.
    let rest = rest.split(']').next().unwrap_or_default();
    // Which item a comment is about cannot be told here.
    let mut lines = text.get(start..behind)?.lines().chain([rest]);
    let commented = lines.any(|line| line.contains(" #"));
    (!commented).then_some(())?;
    let texts: Vec<_> = slots
        .iter()
        .map(|slot| text.get(slot.clone()))
        .collect::<Option<_>>()?;
    let (moved, others) = texts.split_last()?;
    let mut after = text.get(..start)?.to_owned();
    let mut end = start;
    for (slot, piece) in slots.iter().zip(std::iter::once(moved).chain(others)) {
        after.push_str(text.get(end..slot.start)?);
        after.push_str(piece);
        end = slot.end;
    }
    after.push_str(text.get(end..)?);
    let touched = text.get(start..behind)?.matches('\n').count() + 2;
    Some(Spliced {
        text: after,
        touched,
    })
}

fn range(node: &YamlNode) -> Option<Range<usize>> {
    let range = node.byte_range();
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// Where the text of an item is, without the blanks around it.
fn tight(text: &str, node: &YamlNode) -> Option<Range<usize>> {
    let range = range(node)?;
    let inside = text.get(range.clone())?;
    let start = range.start + inside.len() - inside.trim_start().len();
    let end = start + inside.trim().len();
    (start < end).then_some(start..end)
}
