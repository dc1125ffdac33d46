//! The container credentials file: which service accounts get credentials from an agent on their node.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::unquoted;

/// Service accounts, as namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Associations(BTreeSet<(String, String)>);

/// Why the file is not taken. The set before it stays.
#[derive(Debug, thiserror::Error)]
#[error("the file does not hold {{\"identities\":[{{\"namespace\":…,\"serviceAccount\":…}}]}}")]
pub struct AssociationError(#[source] serde_json::Error);

#[derive(Deserialize)]
struct File {
    identities: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    namespace: String,
    service_account: String,
}

impl Associations {
    /// Reads the file's bytes; none at all clear the set.
    pub fn parse(bytes: &[u8]) -> Result<Self, AssociationError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let file: File = serde_json::from_slice(bytes)
            .map_err(|error| AssociationError(unquoted::json(error)))?;
        let entries = file.identities.into_iter().flatten();
        Ok(Self(
            entries
                .map(|entry| (entry.namespace, entry.service_account))
                .collect(),
        ))
    }

    /// Whether this service account is in it.
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&(namespace.to_owned(), name.to_owned()))
    }

    /// How many service accounts are in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_f2_files_of_identities() {
        assert!(Associations::default().is_empty());
        assert!(!Associations::default().contains("foo", "foo-sa"));
        assert!(Associations::parse(b"").unwrap().is_empty());
        assert!(Associations::parse(b"{}").unwrap().is_empty());
        assert!(
            Associations::parse(br#"{"identities":null}"#)
                .unwrap()
                .is_empty()
        );
        let two = br#"{"identities":[{"namespace":"foo","serviceAccount":"foo-sa"},
            {"namespace":"bar","serviceAccount":"bar-sa","roleArn":"newer"}]}"#;
        let two = Associations::parse(two).unwrap();
        assert_eq!(two.len(), 2);
        assert!(two.contains("foo", "foo-sa") && !two.contains("foo", "bar-sa"));
        assert!(Associations::parse(b"bad json").is_err());
        assert!(Associations::parse(br#"{"identities":[{"namespace":"foo"}]}"#).is_err());
    }
}
