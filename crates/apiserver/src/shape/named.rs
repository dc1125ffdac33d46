//! Flags as a list of names and values (kubeadm v1beta4, Cluster API v1beta2).

use serde_json::{Value, json};

use super::order::{self, Slot};
use super::{Occurrence, ShapeError, map, scalar, texts, type_error};
use crate::edit::{Operation, Path};
use crate::flags::FlagChange;

pub(super) fn read(document: &Value, path: &Path) -> Result<Vec<Occurrence>, ShapeError> {
    let mut found = Vec::new();
    for (index, item) in items(document, path)?.iter().enumerate() {
        let place = path.index(index);
        let name = item.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| type_error(&place, "a name and a value"))?;
        let Some(flag) = super::bare(name, &place.key("name"))? else {
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
    let new = |text: &str| json!({"name": change.flag.name(), "value": text});
    let items = items(document, path)?;
    if items.is_empty() && !wanted.is_empty() {
        let all = wanted.iter().map(|text| new(text)).collect();
        return Ok(vec![map::below(document, path, all)]);
    }
    let slot = |one: &&Occurrence| {
        let (item, _) = one.path.split_last()?;
        Some(Slot {
            list: 0,
            first: position(&item),
            width: 1,
        })
    };
    let current: Vec<_> = ours.iter().map(|one| one.value.clone()).collect();
    let form = order::Form {
        lists: std::slice::from_ref(path),
        end: Slot {
            list: 0,
            first: items.len(),
            width: 0,
        },
        set: &|_, item, text| (item.key("value"), text.into()),
        new: &new,
    };
    let slots = ours.iter().filter_map(slot).collect();
    Ok(order::edits(
        document,
        slots,
        order::steps(&current, &wanted),
        &form,
    ))
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
