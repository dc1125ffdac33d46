//! Flags as keys of a mapping.

use serde_json::{Map, Value};

use super::{Occurrence, ShapeError, order, scalar, texts, type_error};
use crate::edit::{Operation, Path};
use crate::flags::{Flag, FlagChange};

pub(super) fn read(
    document: &Value,
    path: &Path,
    lists: bool,
) -> Result<Vec<Occurrence>, ShapeError> {
    let mut found = Vec::new();
    for (name, value) in entries(document, path)?.into_iter().flatten() {
        let place = path.key(name);
        let Some(flag) = super::bare(name, &place)? else {
            continue;
        };
        match value {
            Value::Array(items) if lists => {
                for (index, item) in items.iter().enumerate() {
                    let path = place.index(index);
                    let value = scalar(item).ok_or_else(|| type_error(&path, "a string"))?;
                    found.push(Occurrence { flag, value, path });
                }
            }
            _ => {
                let value = scalar(value).ok_or_else(|| type_error(&place, "a string"))?;
                found.push(Occurrence {
                    flag,
                    value,
                    path: place,
                });
            }
        }
    }
    Ok(found)
}

pub(super) fn edits(
    document: &Value,
    path: &Path,
    lists: bool,
    change: &FlagChange,
) -> Result<Vec<(Path, Operation)>, ShapeError> {
    let entries = entries(document, path)?;
    let written = entries.and_then(|entries| {
        entries
            .keys()
            .find(|name| Flag::named(name) == Some(change.flag))
    });
    let name = written.map_or(change.flag.name(), String::as_str);
    let place = path.key(name);
    let wanted = texts(change);
    if let Some(Value::Array(items)) = place.find(document)
        && !wanted.is_empty()
    {
        let current: Option<Vec<_>> = items.iter().map(scalar).collect();
        let current = current.ok_or_else(|| type_error(&place, "a list of strings"))?;
        return Ok(order::list(document, &place, &current, &wanted));
    }
    let value = match wanted.as_slice() {
        [] => {
            return Ok(written
                .map(|_| (place, Operation::Remove))
                .into_iter()
                .collect());
        }
        [one] => Value::from(one.as_str()),
        several if lists => several.iter().map(String::as_str).collect(),
        _ => {
            return Err(ShapeError::OnlyOne {
                path: path.clone(),
                flag: change.flag,
                values: change.after.clone(),
            });
        }
    };
    Ok(vec![below(document, &place, value)])
}

/// Sets a value below mappings that may not be there yet.
pub(super) fn below(document: &Value, path: &Path, value: Value) -> (Path, Operation) {
    let mut value = value;
    let mut place = path.clone();
    while let Some((parent, crate::edit::Step::Key(key))) = place.split_last() {
        let entries = parent.find(document).and_then(Value::as_object);
        // An empty mapping is mostly written `{}`: what replaces it is written like the rest of the file.
        if entries.is_some_and(|entries| !entries.is_empty() || parent == Path::root()) {
            break;
        }
        value = Value::Object(Map::from_iter([(key.clone(), value)]));
        place = parent;
    }
    (place, Operation::Set(value))
}

fn entries<'a>(
    document: &'a Value,
    path: &Path,
) -> Result<Option<&'a Map<String, Value>>, ShapeError> {
    match path.find(document) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(entries)) => Ok(Some(entries)),
        Some(_) => Err(type_error(path, "a mapping of flags")),
    }
}
