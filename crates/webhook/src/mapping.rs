//! The ConfigMap `pod-identity-webhook`: roles for service accounts that carry no annotation.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::role::clamp_expiration;
use crate::unquoted;

/// One entry of the ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its key as written, `NAMESPACE/NAME`.
    pub key: String,
    /// The role; empty for none.
    pub role: String,
    /// The audience; none for the webhook's default.
    pub audience: Option<String>,
    /// Whether SDKs use the Region's own STS endpoint.
    pub regional_sts: bool,
    /// How long the token lives, in seconds; none for the webhook's default.
    pub token_expiration: Option<i64>,
}

/// All entries of the ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mappings {
    exact: BTreeMap<String, Mapping>,
    /// The most specific first: see [`Mappings::find`].
    patterns: Vec<Mapping>,
    /// What was passed over, in words.
    pub problems: Vec<String>,
}

/// Why the ConfigMap is not taken. The entries before it stay.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// Not a JSON object.
    #[error("key \"config\" does not hold a JSON object of \"NAMESPACE/NAME\" entries")]
    Json(#[source] serde_json::Error),
    /// An entry that Go would refuse too.
    #[error("entry \"{key}\" has {field} of another type than expected, {expected}")]
    Field {
        /// Which entry.
        key: String,
        /// Which field.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

impl Mappings {
    /// Reads the value of the ConfigMap's key `config`. Field names match in any case and unknown ones are ignored,
    /// as Go's decoder has it. An entry without slash and an empty entry are passed over: upstream crashes on them.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let entries: BTreeMap<String, Value> = serde_json::from_str(text)
            .map_err(|error| MappingError::Json(unquoted::json(error)))?;
        let mut mappings = Self::default();
        for (key, value) in entries {
            let Value::Object(fields) = value else {
                if !value.is_null() {
                    return Err(MappingError::Field {
                        key,
                        field: "a value",
                        expected: "an object",
                    });
                }
                mappings.problems.push(format!("entry \"{key}\" is empty"));
                continue;
            };
            let entry = Mapping::parse(&key, &fields)?;
            match key.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {}
                _ => {
                    let problem = format!("entry \"{key}\" is not of the form NAMESPACE/NAME");
                    mappings.problems.push(problem);
                    continue;
                }
            }
            if key.contains('*') {
                mappings.patterns.push(entry);
            } else {
                mappings.exact.insert(key, entry);
            }
        }
        // The entry with more literal characters says more; equal ones stay in the order of their keys.
        let literal = |entry: &Mapping| entry.key.bytes().filter(|b| *b != b'*').count();
        mappings
            .patterns
            .sort_by_key(|entry| std::cmp::Reverse(literal(entry)));
        Ok(mappings)
    }

    /// The entry for a service account: the exact one, else the most specific pattern. `*` stands for any number of
    /// characters within the namespace or the name.
    pub fn find(&self, namespace: &str, name: &str) -> Option<&Mapping> {
        self.exact(namespace, name).or_else(|| {
            self.patterns.iter().find(|entry| {
                entry.key.split_once('/').is_some_and(|(ns, sa)| {
                    matches(ns.as_bytes(), namespace.as_bytes())
                        && matches(sa.as_bytes(), name.as_bytes())
                })
            })
        })
    }

    /// The entry under exactly this name, patterns aside.
    pub fn exact(&self, namespace: &str, name: &str) -> Option<&Mapping> {
        if self.exact.is_empty() {
            return None;
        }
        self.exact.get(&format!("{namespace}/{name}"))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.patterns.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Mapping {
    fn parse(key: &str, fields: &serde_json::Map<String, Value>) -> Result<Self, MappingError> {
        let mut entry = Self {
            key: key.to_owned(),
            ..Self::default()
        };
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let fault = |field, expected| MappingError::Field {
                key: key.to_owned(),
                field,
                expected,
            };
            let text = |field| {
                value
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| fault(field, "a string"))
            };
            match name.to_ascii_lowercase().as_str() {
                "rolearn" => entry.role = text("RoleARN")?,
                "audience" => entry.audience = Some(text("Audience")?).filter(|it| !it.is_empty()),
                "useregionalsts" => {
                    entry.regional_sts = value
                        .as_bool()
                        .ok_or_else(|| fault("UseRegionalSTS", "true or false"))?;
                }
                "tokenexpiration" => {
                    let seconds = value
                        .as_i64()
                        .ok_or_else(|| fault("TokenExpiration", "a whole number of seconds"))?;
                    entry.token_expiration = (seconds != 0).then(|| clamp_expiration(seconds));
                }
                _ => {}
            }
        }
        Ok(entry)
    }
}

/// Whether a pattern with `*` matches the whole text. Linear in both: the last star takes one more each time.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == text.get(t) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern.iter().skip(p).all(|b| *b == b'*')
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
