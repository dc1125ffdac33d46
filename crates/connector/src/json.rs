//! Reading and setting members of JSON objects of unknown shape.

use serde_json::{Value, json};

static NULL: Value = Value::Null;

/// The member at this path; null when it or anything before it is not there.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter()
        .fold(value, |value, key| value.get(key).unwrap_or(&NULL))
}

/// Sets the member at this path; objects on the way are made.
pub(crate) fn set(target: &mut Value, path: &[&str], new: Value) {
    match path {
        [] => *target = new,
        [key, rest @ ..] => {
            if let Value::Object(members) = target {
                set(members.entry(*key).or_insert_with(|| json!({})), rest, new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_and_set_at_any_depth() {
        let mut value = json!({"a": {"b": [1, 2]}});
        assert_eq!(at(&value, &["a", "b"]), &json!([1, 2]));
        assert_eq!(at(&value, &["a", "x", "y"]), &Value::Null);
        set(&mut value, &["a", "c", "d"], json!(3));
        assert_eq!(at(&value, &["a", "c", "d"]), 3);
    }
}
