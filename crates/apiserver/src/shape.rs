//! The forms in which flags are written in YAML: read into values, and edited in place.

mod arguments;
mod fields;
mod map;
mod named;
mod order;

use serde_json::Value;

use crate::edit::{self, Edit, Operation, Path};
use crate::flags::{Flag, FlagChange, TokenFlags};

/// Where the flags of one component stand, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Lists of `--flag=value` or `--flag`, `value` (a container's `command` and `args`), or with no hyphens in front
    /// (k3s). One string instead of a list is read as a list of one.
    Arguments {
        /// The lists, in the order in which they are joined; new flags go to the last one that has any.
        lists: Vec<Path>,
        /// What is before a flag: `--`, or nothing.
        prefix: &'static str,
    },
    /// `flag: value`: each flag once.
    Map {
        /// The mapping.
        path: Path,
        /// Whether a value may be a list.
        lists: bool,
        /// Flags that the distribution refuses here.
        denied: &'static [Flag],
    },
    /// `- name: flag` with `value: value`.
    Named {
        /// The sequence.
        path: Path,
        /// Whether a name may stand there once only.
        unique: bool,
    },
    /// A field for each flag, with names of its own.
    Fields {
        /// The mapping that holds the fields.
        path: Path,
        /// The field of each flag: the first value, and where further ones go.
        fields: &'static [Field],
    },
    /// Two forms side by side: a flag goes to the first that has a place for it.
    Both(Box<Shape>, Box<Shape>),
}

/// The field that stands for a flag.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The flag.
    pub flag: Flag,
    /// Where its value, or its first one, is: keys with dots between them.
    pub name: &'static str,
    /// Where the others are: the field itself when it is a list.
    pub rest: Rest,
}

/// Where the second and further values of a flag stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// There is room for one.
    Nowhere,
    /// The field is a list.
    Same,
    /// Another field is a list of the others.
    Field(&'static str),
}

/// Why flags cannot be read or written in a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Not the type that belongs there.
    #[error("{path} should be {expected}")]
    Type {
        /// Where.
        path: Path,
        /// What should be there.
        expected: &'static str,
    },
    /// All flags in one string for a shell.
    #[error("{0} runs a shell: the flags stand in one string, and cannot be edited one by one")]
    Shell(Path),
    /// Another program starts the component.
    #[error(
        "{path} runs {program} behind \"{wrapper}\": which of the flags are whose cannot be told"
    )]
    Wrapped {
        /// Where.
        path: Path,
        /// The program that is meant.
        program: &'static str,
        /// The program that starts it.
        wrapper: String,
    },
    /// The end of all flags in the midst of them.
    #[error("{0} is \"--\": what follows are no flags, and the program takes nothing else")]
    Ended(Path),
    /// A name with the hyphens that the distribution puts in front of it.
    #[error(
        "{path} is the flag \"{name}\": two hyphens more are put in front of it, and the program does not start"
    )]
    Hyphens {
        /// Where.
        path: Path,
        /// The name as it stands there.
        name: String,
    },
    /// More values than the form can hold.
    #[error("{path} can hold one {flag}, and {} are needed: {}", values.len(), values.join(" "))]
    OnlyOne {
        /// Where.
        path: Path,
        /// Which flag.
        flag: Flag,
        /// What is needed.
        values: Vec<String>,
    },
    /// A form of k3s that depends on other files and on defaults of a version.
    #[error("{path} uses \"{text}\", which adds to values that are not in this file")]
    Additive {
        /// Where.
        path: Path,
        /// What stands there.
        text: String,
    },
    /// A flag that the form has no place for.
    #[error("{path} has no place for {flag}")]
    NoPlace {
        /// Where.
        path: Path,
        /// Which flag.
        flag: Flag,
    },
}

/// One flag as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// Which flag.
    pub flag: Flag,
    /// The text of its value.
    pub value: String,
    /// Where it is written.
    pub path: Path,
}

impl Shape {
    /// Every flag that is written, in the order of reading.
    pub fn read(&self, document: &Value) -> Result<Vec<Occurrence>, ShapeError> {
        match self {
            Self::Arguments { lists, prefix } => {
                let found = arguments::read(document, lists, prefix)?;
                Ok(found
                    .into_iter()
                    .map(arguments::Argument::into_occurrence)
                    .collect())
            }
            Self::Map { path, lists, .. } => map::read(document, path, *lists),
            Self::Named { path, .. } => named::read(document, path),
            Self::Fields { path, fields } => fields::read(document, path, fields),
            Self::Both(first, second) => {
                let mut found = first.read(document)?;
                found.extend(second.read(document)?);
                Ok(found)
            }
        }
    }

    /// The flags that are written.
    pub fn flags(&self, document: &Value) -> Result<TokenFlags, ShapeError> {
        let found = self.read(document)?;
        Ok(TokenFlags::new(
            found.into_iter().map(|one| (one.flag, one.value)),
        ))
    }

    /// Whether there is room for one value of a flag that may have several.
    pub fn holds_one(&self, flag: Flag) -> bool {
        match self {
            Self::Arguments { .. } => false,
            Self::Map { lists, .. } => !lists,
            Self::Named { unique, .. } => *unique,
            Self::Fields { fields, .. } => fields
                .iter()
                .any(|field| field.flag == flag && field.rest == Rest::Nowhere),
            Self::Both(first, second) => first.holds_one(flag) || second.holds_one(flag),
        }
    }

    /// The edits that give a flag its new values.
    pub fn edits(
        &self,
        index: usize,
        document: &Value,
        change: &FlagChange,
    ) -> Result<Vec<Edit>, ShapeError> {
        let edits = match self {
            Self::Arguments { lists, prefix } => arguments::edits(document, lists, prefix, change),
            Self::Map { path, denied, .. } if denied.contains(&change.flag) => {
                Err(ShapeError::NoPlace {
                    path: path.clone(),
                    flag: change.flag,
                })
            }
            Self::Map { path, lists, .. } => map::edits(document, path, *lists, change),
            Self::Named { path, unique } => named::edits(document, path, *unique, change),
            Self::Fields { path, fields } => fields::edits(document, path, fields, change),
            Self::Both(first, second) => {
                return match first.edits(index, document, change) {
                    Err(ShapeError::NoPlace { .. }) => second.edits(index, document, change),
                    done => done,
                };
            }
        }?;
        Ok(edits
            .into_iter()
            .map(|(path, operation)| Edit {
                document: index,
                path,
                operation,
            })
            .collect())
    }
}

/// The texts that a flag is written with, one for each occurrence: lists with commas stay in one.
fn texts(change: &FlagChange) -> Vec<String> {
    match change.flag.arity() {
        crate::flags::Arity::Slice if !change.after.is_empty() => vec![change.after.join(",")],
        _ => change.after.clone(),
    }
}

fn type_error(path: &Path, expected: &'static str) -> ShapeError {
    ShapeError::Type {
        path: path.clone(),
        expected,
    }
}

/// The document after an edit that was computed from it.
fn after(document: Value, (path, operation): &(Path, Operation)) -> Value {
    let edit = Edit {
        document: 0,
        path: path.clone(),
        operation: operation.clone(),
    };
    let changed = edit::apply(std::slice::from_ref(&document), &[edit]);
    changed
        .ok()
        .and_then(|all| all.into_iter().next())
        .unwrap_or(document)
}

/// The flag of a name that the distribution puts hyphens in front of.
fn bare(name: &str, path: &Path) -> Result<Option<Flag>, ShapeError> {
    let without = name.trim_start_matches('-');
    match Flag::named(without) {
        Some(_) if without != name => Err(ShapeError::Hyphens {
            path: path.clone(),
            name: name.to_owned(),
        }),
        flag => Ok(flag),
    }
}

/// A scalar as the text that Kubernetes makes of it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
