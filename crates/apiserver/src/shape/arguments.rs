//! Flags in a list of arguments.

use serde_json::Value;

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
    let conversions = edits.len();
    let all = read(document, lists, prefix)?;
    let ours: Vec<_> = all
        .iter()
        .filter(|one| one.occurrence.flag == change.flag)
        .collect();
    let wanted = texts(change);
    for (argument, text) in ours.iter().zip(&wanted) {
        if argument.occurrence.value != *text {
            edits.push((
                argument.occurrence.path.clone(),
                Operation::Set(rewritten(document, argument, text)),
            ));
        }
    }
    for argument in ours.iter().skip(wanted.len()).rev() {
        let list = list(lists, argument.list)?;
        edits.push((list.index(argument.item), Operation::Remove));
        if argument.form == Form::Separate {
            edits.push((list.index(argument.item - 1), Operation::Remove));
        }
    }
    let rest: Vec<Value> = wanted
        .iter()
        .skip(ours.len())
        .map(|text| Value::from(format!("{prefix}{}={text}", change.flag.name())))
        .collect();
    edits.extend(additions(document, lists, &all, change.flag, rest)?);
    if edits.len() == conversions {
        edits.clear();
    }
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

/// The item with another value, its flag written as before.
fn rewritten(document: &Value, argument: &Argument, text: &str) -> Value {
    let old = argument
        .occurrence
        .path
        .find(document)
        .and_then(Value::as_str);
    let name = old
        .and_then(|old| old.split_once('='))
        .map(|(name, _)| name);
    match (argument.form, name) {
        (Form::Joined, Some(name)) => format!("{name}={text}").into(),
        _ => text.into(),
    }
}

/// New items: behind the flag's last one, else behind the last service account flag, else at the end.
fn additions(
    document: &Value,
    lists: &[Path],
    all: &[Argument],
    flag: Flag,
    rest: Vec<Value>,
) -> Result<Vec<(Path, Operation)>, ShapeError> {
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let same = all.iter().rfind(|one| one.occurrence.flag == flag);
    let near = same.or_else(|| {
        all.iter()
            .rfind(|one| one.occurrence.flag.name().starts_with("service-account"))
    });
    let (list_index, at) = match near {
        Some(argument) => (argument.list, argument.item + 1),
        None => last_list(document, lists)?,
    };
    let path = list(lists, list_index)?;
    match path.find(document) {
        Some(Value::Array(_)) => Ok(rest
            .into_iter()
            .enumerate()
            .map(|(offset, value)| (path.index(at + offset), Operation::Insert(value)))
            .collect()),
        _ => Ok(vec![(path.clone(), Operation::Set(Value::Array(rest)))]),
    }
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
