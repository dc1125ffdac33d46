//! Comments: an edit loses none, but for one beside an item that goes.

use serde_json::Value;
use yaml_edit::YamlFile;

use crate::edit::{self, Edit, NoPlace, Operation, Step};

/// The comments that a text must have after its edits.
#[derive(Debug)]
pub(super) struct Kept {
    all: Vec<String>,
    /// Those beside an item that goes: with it, or not.
    free: Vec<String>,
    /// Items move, and their comments with them.
    in_any_order: bool,
}

impl Kept {
    /// Whether these are they.
    pub(super) fn are(&self, mut found: Vec<String>) -> bool {
        let (mut wanted, mut free) = (self.all.clone(), self.free.clone());
        if self.in_any_order {
            wanted.sort();
            found.sort();
        }
        let mut found = found.into_iter().peekable();
        for comment in wanted {
            if found.next_if_eq(&comment).is_some() {
                continue;
            }
            let Some(at) = free.iter().position(|gone| *gone == comment) else {
                return false;
            };
            free.remove(at);
        }
        found.next().is_none()
    }
}

/// All comments, in the order of the file.
pub(super) fn all(file: &YamlFile) -> Vec<String> {
    let comments = file.comments();
    comments
        .map(|one| one.text().trim_end().to_owned())
        .collect()
}

/// What must be there after the edits of a text, which says `before`.
pub(super) fn kept(
    text: &str,
    file: &YamlFile,
    before: &[Value],
    edits: &[Edit],
) -> Result<Kept, NoPlace> {
    let all = all(file);
    let gone = removed(before, edits)?;
    let beside = |comment: &String| {
        text.lines().any(|line| {
            let item = line.trim_end().strip_suffix(comment.as_str());
            let item = item.and_then(|item| item.trim().strip_prefix("- "));
            item.is_some_and(|item| gone.iter().any(|gone| says(item, gone)))
        })
    };
    Ok(Kept {
        free: all.iter().filter(|one| beside(one)).cloned().collect(),
        in_any_order: edits
            .iter()
            .any(|edit| matches!(edit.operation, Operation::Move(_))),
        all,
    })
}

/// The texts of the items that go.
fn removed(before: &[Value], edits: &[Edit]) -> Result<Vec<String>, NoPlace> {
    let mut documents = before.to_vec();
    let mut gone = Vec::new();
    for edit in edits {
        if let (Some(Step::Index(_)), Operation::Remove) =
            (edit.path.steps().last(), &edit.operation)
            && let Some(document) = documents.get(edit.document)
            && let Some(Value::String(item)) = edit.path.find(document)
        {
            gone.push(item.clone());
        }
        documents = edit::apply(&documents, std::slice::from_ref(edit))?;
    }
    Ok(gone)
}

/// Whether what stands on one line, plain or in quotes, is this item.
fn says(written: &str, item: &str) -> bool {
    let written = written.trim_start();
    let quoted = |quote| written.strip_prefix(quote)?.strip_suffix(quote);
    written == item || quoted('"').or_else(|| quoted('\'')) == Some(item)
}
