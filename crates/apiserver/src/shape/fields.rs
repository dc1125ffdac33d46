//! Flags as typed fields (kOps, EKS Anywhere).

use serde_json::Value;

use super::{Field, Occurrence, Rest, ShapeError, map, order, scalar, type_error};
use crate::edit::{Operation, Path};
use crate::flags::{Flag, FlagChange};

pub(super) fn read(
    document: &Value,
    path: &Path,
    fields: &[Field],
) -> Result<Vec<Occurrence>, ShapeError> {
    match path.find(document) {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(_) => return Err(type_error(path, "a mapping")),
    }
    let mut found = Vec::new();
    for field in fields {
        match field.rest {
            Rest::Nowhere => one(document, path, field, &mut found)?,
            Rest::Same => several(document, path, field.flag, field.name, &mut found)?,
            Rest::Field(others) => {
                one(document, path, field, &mut found)?;
                several(document, path, field.flag, others, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn one(
    document: &Value,
    path: &Path,
    field: &Field,
    found: &mut Vec<Occurrence>,
) -> Result<(), ShapeError> {
    let path = at(path, field.name);
    match path.find(document) {
        None | Some(Value::Null) => {}
        Some(value) => {
            let value = scalar(value).ok_or_else(|| type_error(&path, "a string"))?;
            found.push(Occurrence {
                flag: field.flag,
                value,
                path,
            });
        }
    }
    Ok(())
}

/// A field below a mapping: keys with dots between them.
fn at(path: &Path, name: &str) -> Path {
    name.split('.')
        .fold(path.clone(), |path, key| path.key(key))
}

fn several(
    document: &Value,
    path: &Path,
    flag: Flag,
    name: &str,
    found: &mut Vec<Occurrence>,
) -> Result<(), ShapeError> {
    let path = at(path, name);
    let items = match path.find(document) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(type_error(&path, "a list of strings")),
    };
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        let value = scalar(item).ok_or_else(|| type_error(&path, "a string"))?;
        found.push(Occurrence { flag, value, path });
    }
    Ok(())
}

pub(super) fn edits(
    document: &Value,
    path: &Path,
    fields: &[Field],
    change: &FlagChange,
) -> Result<Vec<(Path, Operation)>, ShapeError> {
    let field = fields.iter().find(|field| field.flag == change.flag);
    let field = field.ok_or_else(|| ShapeError::NoPlace {
        path: path.clone(),
        flag: change.flag,
    })?;
    let place = at(path, field.name);
    match (field.rest, change.after.as_slice()) {
        (Rest::Same, all) => Ok(list(document, &place, all)),
        (_, []) => Ok(vec![(place, Operation::Remove)]),
        (Rest::Nowhere, [_, _, ..]) => Err(ShapeError::OnlyOne {
            path: place,
            flag: change.flag,
            values: change.after.clone(),
        }),
        (rest, [first, others @ ..]) => {
            let mut edits = Vec::new();
            let mut document = document.clone();
            if place.find(&document).and_then(Value::as_str) != Some(first) {
                let edit = map::below(&document, &place, first.as_str().into());
                document = super::after(document, &edit);
                edits.push(edit);
            }
            if let Rest::Field(name) = rest {
                edits.extend(list(&document, &at(path, name), others));
            }
            Ok(edits)
        }
    }
}

/// Brings a list to these values, item by item, so that comments stay.
fn list(document: &Value, path: &Path, values: &[String]) -> Vec<(Path, Operation)> {
    let items = match path.find(document) {
        Some(Value::Array(items)) if !items.is_empty() => items.as_slice(),
        _ if values.is_empty() => return Vec::new(),
        _ => {
            let all = values.iter().map(String::as_str).collect();
            return vec![map::below(document, path, all)];
        }
    };
    if values.is_empty() {
        return vec![(path.clone(), Operation::Remove)];
    }
    let text = |item: &Value| scalar(item).unwrap_or_default();
    order::list(
        document,
        path,
        &items.iter().map(text).collect::<Vec<_>>(),
        values,
    )
}
