//! Flags as a list of names and values (kubeadm v1beta4, Cluster API v1beta2).

use serde_json::{Value, json};

use super::{Occurrence, ShapeError, map, scalar, texts, type_error};
use crate::edit::{Operation, Path};
use crate::flags::{Flag, FlagChange};

pub(super) fn read(document: &Value, path: &Path) -> Result<Vec<Occurrence>, ShapeError> {
    let mut found = Vec::new();
    for (index, item) in items(document, path)?.iter().enumerate() {
        let place = path.index(index);
        let name = item.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| type_error(&place, "a name and a value"))?;
        let Some(flag) = Flag::named(name) else {
            continue;
        };
        let path = place.key("value");
        let value = item.get("value").and_then(scalar);
        let value = value.ok_or_else(|| type_error(&path, "a string"))?;
        found.push(Occurrence { flag, value, path });
    }
    Ok(found)
}

pub(super) fn edits(
    document: &Value,
    path: &Path,
    unique: bool,
    change: &FlagChange,
) -> Result<Vec<(Path, Operation)>, ShapeError> {
    let all = read(document, path)?;
    let ours: Vec<_> = all.iter().filter(|one| one.flag == change.flag).collect();
    let wanted = texts(change);
    if unique && wanted.len() > 1 {
        return Err(ShapeError::OnlyOne {
            path: path.clone(),
            flag: change.flag,
            values: change.after.clone(),
        });
    }
    let mut edits: Vec<_> = ours
        .iter()
        .zip(&wanted)
        .filter(|(one, text)| one.value != **text)
        .map(|(one, text)| (one.path.clone(), Operation::Set(text.as_str().into())))
        .collect();
    let item_of = |one: &Occurrence| one.path.split_last().map(|(item, _)| item);
    edits.extend(
        ours.iter()
            .skip(wanted.len())
            .rev()
            .filter_map(|one| Some((item_of(one)?, Operation::Remove))),
    );
    let rest: Vec<Value> = wanted
        .iter()
        .skip(ours.len())
        .map(|text| json!({"name": change.flag.name(), "value": text}))
        .collect();
    let items = items(document, path)?;
    if items.is_empty() && !rest.is_empty() {
        return Ok(vec![map::below(document, path, Value::Array(rest))]);
    }
    // Behind the flag's last one; a new flag goes to the end.
    let last = ours
        .last()
        .and_then(|one| item_of(one))
        .map(|item| position(&item));
    let at = last.map_or(items.len(), |last| last + 1);
    edits.extend(
        rest.into_iter()
            .enumerate()
            .map(|(offset, value)| (path.index(at + offset), Operation::Insert(value))),
    );
    Ok(edits)
}

fn position(item: &Path) -> usize {
    match item.steps().last() {
        Some(crate::edit::Step::Index(index)) => *index,
        _ => 0,
    }
}

fn items<'a>(document: &'a Value, path: &Path) -> Result<&'a [Value], ShapeError> {
    match path.find(document) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(type_error(path, "a list of names and values")),
    }
}
