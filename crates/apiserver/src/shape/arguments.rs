//! Flags in a list of arguments.

use serde_json::Value;

use super::order::{self, Slot};
use super::{Occurrence, ShapeError, texts, type_error};
use crate::edit::{Operation, Path};
use crate::flags::{Flag, FlagChange};

/// A flag in a list.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    occurrence: Occurrence,
    list: usize,
    /// The last item that belongs to it.
    item: usize,
    /// How it is written.
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `--flag=value`, with the name as written.
    Joined,
    /// `--flag`, then `value` as an item of its own.
    Separate,
}

impl Argument {
    fn slot(&self) -> Slot {
        let width = match self.form {
            Form::Joined => 1,
            Form::Separate => 2,
        };
        Slot {
            list: self.list,
            first: self.item + 1 - width,
            width,
        }
    }

    pub(super) fn into_occurrence(self) -> Occurrence {
        self.occurrence
    }
}

pub(super) fn read(
    document: &Value,
    lists: &[Path],
    prefix: &str,
) -> Result<Vec<Argument>, ShapeError> {
    let mut found = Vec::new();
    for (list, path) in lists.iter().enumerate() {
        let items = items(document, path)?;
        let mut position = 0;
        while let Some(text) = items.get(position) {
            if !prefix.is_empty() && text == "--" {
                return Err(ShapeError::Ended(path.index(position)));
            }
            let next = items.get(position + 1).map(String::as_str);
            if prefix.is_empty() {
                refuse_additive(text, &path.index(position))?;
            }
            if let Some((flag, value, form)) = parse(text, next, prefix) {
                let item = position + usize::from(form == Form::Separate);
                let occurrence = Occurrence {
                    flag,
                    value,
                    path: path.index(item),
                };
                found.push(Argument {
                    occurrence,
                    list,
                    item,
                    form,
                });
                position = item;
            }
            position += 1;
        }
    }
    Ok(found)
}

/// The items of a list as texts. Nothing is an empty list.
pub(super) fn items(document: &Value, path: &Path) -> Result<Vec<String>, ShapeError> {
    let texts: Vec<String> = match path.find(document) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items
            .iter()
            .map(super::scalar)
            .collect::<Option<_>>()
            .ok_or_else(|| type_error(path, "a list of strings"))?,
        Some(_) => return Err(type_error(path, "a list of strings")),
    };
    let shell = |text: &String| text.contains(' ') && text.contains("--service-account-");
    if texts.iter().any(shell) {
        return Err(ShapeError::Shell(path.clone()));
    }
    Ok(texts)
}

/// k3s: `flag+=value` and `flag-=value` join what k3s sets by itself, and what other files say.
fn refuse_additive(text: &str, path: &Path) -> Result<(), ShapeError> {
    let name = text
        .trim_start_matches("--")
        .split('=')
        .next()
        .unwrap_or_default();
    let bare = name.strip_suffix(['+', '-']).and_then(Flag::named);
    match bare {
        None => Ok(()),
        Some(_) => Err(ShapeError::Additive {
            path: path.clone(),
            text: text.to_owned(),
        }),
    }
}

fn parse(text: &str, next: Option<&str>, prefix: &str) -> Option<(Flag, String, Form)> {
    // k3s takes its arguments with hyphens too.
    let bare = text.strip_prefix("--");
    let text = if prefix.is_empty() {
        bare.unwrap_or(text)
    } else {
        bare?
    };
    if let Some((name, value)) = text.split_once('=') {
        return Some((Flag::named(name)?, value.to_owned(), Form::Joined));
    }
    let flag = Flag::named(text)?;
    (!prefix.is_empty()).then_some(())?;
    Some((flag, next?.to_owned(), Form::Separate))
}

pub(super) fn edits(
    document: &Value,
    lists: &[Path],
    prefix: &str,
    change: &FlagChange,
) -> Result<Vec<(Path, Operation)>, ShapeError> {
    let (mut edits, document) = listed(document, lists);
    let document = &document;
    let all = read(document, lists, prefix)?;
    let ours: Vec<_> = all
        .iter()
        .filter(|one| one.occurrence.flag == change.flag)
        .collect();
    let (current, wanted): (Vec<_>, _) = (
        ours.iter()
            .map(|one| one.occurrence.value.clone())
            .collect(),
        texts(change),
    );
    let new = |text: &str| Value::from(format!("{prefix}{}={text}", change.flag.name()));
    let end = end(document, lists, &all)?;
    let made = match list(lists, end.list)?.find(document) {
        Some(Value::Array(_)) => {
            let slots: Vec<_> = ours.iter().map(|one| one.slot()).collect();
            let first = slots.first().map(|slot| slot.list);
            let together = slots.iter().all(|slot| Some(slot.list) == first);
            let steps = if together {
                order::steps
            } else {
                order::in_place
            };
            let form = order::Form {
                lists,
                end,
                set: &rewritten,
                new: &new,
            };
            order::edits(document, slots, steps(&current, &wanted), &form)
        }
        _ if wanted.is_empty() => Vec::new(),
        // No list yet.
        _ => {
            let all = wanted.iter().map(|text| new(text)).collect();
            vec![(list(lists, end.list)?.clone(), Operation::Set(all))]
        }
    };
    if made.is_empty() {
        return Ok(Vec::new());
    }
    edits.extend(made);
    Ok(edits)
}

/// One string is a list of one: made a list, so that there is room for more.
fn listed(document: &Value, lists: &[Path]) -> (Vec<(Path, Operation)>, Value) {
    let mut edits = Vec::new();
    let mut document = document.clone();
    for path in lists {
        if let Some(Value::String(one)) = path.find(&document) {
            let edit = (
                path.clone(),
                Operation::Set(Value::Array(vec![one.as_str().into()])),
            );
            document = super::after(document, &edit);
            edits.push(edit);
        }
    }
    (edits, document)
}

/// The item with another value, its flag written as before: alone in an item of its own, or not.
fn rewritten(document: &Value, item: &Path, text: &str) -> (Path, Value) {
    let old = item.find(document).and_then(Value::as_str);
    let name = old.and_then(|old| old.split_once('='));
    let name = name.map(|(name, _)| name);
    let is_flag = |name: &&str| Flag::named(name.trim_start_matches("--")).is_some();
    let value = match name.filter(is_flag) {
        Some(name) => format!("{name}={text}").into(),
        None => text.into(),
    };
    (item.clone(), value)
}

/// Where a flag goes that is not there yet: behind the last service account flag, else at the end.
fn end(document: &Value, lists: &[Path], all: &[Argument]) -> Result<Slot, ShapeError> {
    let near = all
        .iter()
        .rfind(|one| one.occurrence.flag.name().starts_with("service-account"));
    if let Some(argument) = near {
        return Ok(argument.slot());
    }
    let (list, first) = last_list(document, lists)?;
    Ok(Slot {
        list,
        first,
        width: 0,
    })
}

/// The last list that has items, and the place behind its last one; else the first list.
fn last_list(document: &Value, lists: &[Path]) -> Result<(usize, usize), ShapeError> {
    let mut last = (0, 0);
    for (index, path) in lists.iter().enumerate() {
        let count = items(document, path)?.len();
        if count > 0 {
            last = (index, count);
        }
    }
    Ok(last)
}

fn list(lists: &[Path], index: usize) -> Result<&Path, ShapeError> {
    lists
        .get(index)
        .ok_or_else(|| type_error(&Path::root(), "a list of arguments"))
}
