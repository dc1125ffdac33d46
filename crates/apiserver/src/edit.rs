//! One intended edit of a YAML file as data, and what it makes of the parsed tree.
//!
//! A distribution proposes edits; the tree that they should give is computed here, from the values alone. The text is
//! edited elsewhere, by another library, and compared with this tree: a slip of either is seen before anything is
//! written.

use std::fmt;

use serde_json::Value;

/// A way down a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Path(Vec<Step>);

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a sequence.
    Index(usize),
}

/// What happens at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The value there is replaced, or a new key of a mapping is added.
    Set(Value),
    /// A new item goes before this one, or to the end.
    Insert(Value),
    /// The item moves in front of the one with this index, which is before it.
    Move(usize),
    /// The item or key goes.
    Remove,
}

/// One edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which document of the file, from 0.
    pub document: usize,
    /// Where in it.
    pub path: Path,
    /// What happens there.
    pub operation: Operation,
}

/// An edit that does not fit the tree it is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no place {path} to edit in document {document}")]
pub struct NoPlace {
    /// Which document.
    pub document: usize,
    /// Which place.
    pub path: Path,
}

impl Path {
    /// The root of a document.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// A path of keys.
    pub fn keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self(
            keys.into_iter()
                .map(|key| Step::Key(key.to_owned()))
                .collect(),
        )
    }

    /// One key further down.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// One item further down.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The value at this place.
    pub fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    fn find_mut<'a>(&self, root: &'a mut Value) -> Option<&'a mut Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(index),
        })
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// The place that holds this one, and the last step to it.
    pub fn split_last(&self) -> Option<(Self, &Step)> {
        let (last, parents) = self.0.split_last()?;
        Some((Self(parents.to_vec()), last))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("at the top");
        }
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The trees after the edits, which are made one after the other: indices count what earlier ones left.
pub fn apply(documents: &[Value], edits: &[Edit]) -> Result<Vec<Value>, NoPlace> {
    let mut documents = documents.to_vec();
    for edit in edits {
        let document = documents.get_mut(edit.document);
        document
            .and_then(|document| apply_one(document, edit))
            .ok_or_else(|| NoPlace {
                document: edit.document,
                path: edit.path.clone(),
            })?;
    }
    Ok(documents)
}

fn apply_one(document: &mut Value, edit: &Edit) -> Option<()> {
    let (parent, last) = edit.path.split_last()?;
    let parent = parent.find_mut(document)?;
    match (last, &edit.operation) {
        (Step::Key(key), Operation::Set(value)) => {
            parent.as_object_mut()?.insert(key.clone(), value.clone());
        }
        (Step::Key(key), Operation::Remove) => {
            parent.as_object_mut()?.remove(key)?;
        }
        (Step::Index(index), Operation::Set(value)) => {
            *parent.get_mut(index)? = value.clone();
        }
        (Step::Index(index), Operation::Insert(value)) => {
            let items = parent.as_array_mut()?;
            if *index > items.len() {
                return None;
            }
            items.insert(*index, value.clone());
        }
        (Step::Index(index), Operation::Remove) => {
            let items = parent.as_array_mut()?;
            if *index >= items.len() {
                return None;
            }
            items.remove(*index);
        }
        (Step::Index(index), Operation::Move(to)) => {
            let items = parent.as_array_mut()?;
            if *index >= items.len() || to > index {
                return None;
            }
            let item = items.remove(*index);
            items.insert(*to, item);
        }
        (Step::Key(_), Operation::Insert(_) | Operation::Move(_)) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edit(path: Path, operation: Operation) -> Edit {
        Edit {
            document: 0,
            path,
            operation,
        }
    }

    #[test]
    fn edits_are_made_one_after_the_other() {
        let list = Path::keys(["a", "b"]);
        let edits = [
            edit(list.index(1), Operation::Insert(json!("x"))),
            edit(list.index(2), Operation::Set(json!("y"))),
            edit(list.index(0), Operation::Remove),
            edit(Path::keys(["c"]), Operation::Set(json!({"d": 1}))),
            edit(list.index(1), Operation::Move(0)),
        ];
        let after = apply(&[json!({"a": {"b": ["1", "2"]}})], &edits).unwrap();
        assert_eq!(after, [json!({"a": {"b": ["y", "x"]}, "c": {"d": 1}})]);
    }

    #[test]
    fn an_edit_that_does_not_fit_is_named() {
        for (path, operation) in [
            (Path::keys(["a", "b"]), Operation::Set(json!(1))),
            (Path::keys(["l"]).index(2), Operation::Insert(json!(1))),
            (Path::keys(["l"]).index(1), Operation::Remove),
            (Path::keys(["l"]).index(0), Operation::Move(1)),
            (Path::keys(["l"]).index(1), Operation::Move(0)),
            (Path::keys(["l"]), Operation::Insert(json!(1))),
            (Path::root(), Operation::Set(json!(1))),
        ] {
            let error = apply(&[json!({"l": [1]})], &[edit(path, operation)]).unwrap_err();
            assert!(error.to_string().contains("document 0"), "{error}");
        }
    }
}
