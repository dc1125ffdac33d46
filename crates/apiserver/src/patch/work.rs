//! The edits of a file, collected one change after the other.

use serde_json::Value;

use super::PatchError;
use crate::component::{Component, Place};
use crate::edit::{self, Edit, Operation, Path};
use crate::flags::{Flag, FlagChange};
use crate::mounts::NotVisible;
use crate::yaml::{self, YamlError};

/// The documents of a file while edits are collected: each edit is computed on what the ones before it left.
pub(super) struct Work {
    documents: Vec<Value>,
    edits: Vec<Edit>,
    texts: Vec<InnerText>,
}

/// A YAML text in a string of a document.
struct InnerText {
    document: usize,
    path: Path,
    text: String,
    /// Whether the string is there already.
    exists: bool,
    documents: Vec<Value>,
    edits: Vec<Edit>,
}

impl Work {
    pub(super) fn new(documents: &[Value]) -> Self {
        Self {
            documents: documents.to_vec(),
            edits: Vec::new(),
            texts: Vec::new(),
        }
    }

    /// Collects the edits of a component, and says how many of them are mounts.
    pub(super) fn change(
        &mut self,
        component: &Component,
        changes: &[FlagChange],
    ) -> Result<usize, PatchError> {
        let (index, documents, edits) = match &component.place {
            Place::Document(index) => (*index, &mut self.documents, &mut self.edits),
            Place::Inside {
                document,
                text,
                inner,
                template,
            } => {
                let text = self.text(*document, &text.0, template)?;
                (*inner, &mut text.documents, &mut text.edits)
            }
        };
        let mut add = |documents: &mut Vec<Value>, more: Vec<Edit>| {
            *documents = edit::apply(documents, &more).map_err(YamlError::from)?;
            edits.extend(more);
            Ok::<_, PatchError>(())
        };
        let at = |documents: &[Value]| documents.get(index).cloned().unwrap_or_default();
        for change in changes {
            let more = component.shape.edits(index, &at(documents), change)?;
            add(documents, more)?;
        }
        let mounts = component
            .mounts
            .edits(index, &at(documents), &new_files(changes))?
            .map_err(|NotVisible(directory)| PatchError::NotVisible {
                directory,
                role: component.role,
            })?;
        let count = mounts.len();
        add(documents, mounts)?;
        Ok(count)
    }

    fn text(
        &mut self,
        document: usize,
        path: &Path,
        template: &str,
    ) -> Result<&mut InnerText, PatchError> {
        let known = |text: &InnerText| text.document == document && text.path == *path;
        let position = self.texts.iter().position(known);
        let position = if let Some(position) = position {
            position
        } else {
            let there = self
                .documents
                .get(document)
                .and_then(|root| path.find(root));
            let there = there.and_then(Value::as_str).map(str::to_owned);
            let exists = there.is_some();
            let text = there.unwrap_or_else(|| template.to_owned());
            self.texts.push(InnerText {
                document,
                path: path.clone(),
                documents: yaml::parse(&text)?,
                text,
                exists,
                edits: Vec::new(),
            });
            self.texts.len() - 1
        };
        let text = self.texts.get_mut(position);
        text.ok_or_else(|| YamlError::Ambiguous.into())
    }

    /// All edits of the file, those of texts inside it made.
    pub(super) fn finish(self, before: &[Value]) -> Result<Vec<Edit>, PatchError> {
        let mut edits = self.edits;
        for text in self.texts.into_iter().filter(|text| !text.edits.is_empty()) {
            let value: Value = yaml::apply(&text.text, &text.edits)?.into();
            let InnerText {
                document,
                path,
                exists,
                ..
            } = text;
            let list = path.split_last().map(|(list, _)| list).unwrap_or_default();
            let items = before
                .get(document)
                .and_then(|root| list.find(root))
                .and_then(Value::as_array);
            let (path, operation) = if exists {
                (path, Operation::Set(value))
            } else if items.is_some_and(|items| !items.is_empty()) {
                (path, Operation::Insert(value))
            } else {
                (list, Operation::Set(Value::Array(vec![value])))
            };
            edits.push(Edit {
                document,
                path,
                operation,
            });
        }
        Ok(edits)
    }
}

/// Files that a component did not read before.
fn new_files(changes: &[FlagChange]) -> Vec<String> {
    changes
        .iter()
        .filter(|change| {
            matches!(
                change.flag,
                Flag::KeyFile | Flag::SigningKeyFile | Flag::PrivateKeyFile
            )
        })
        .flat_map(|change| {
            change
                .after
                .iter()
                .filter(|file| !change.before.contains(file))
        })
        .cloned()
        .collect()
}
