//! A store of documents that replicas read again and again.

use std::future::Future;

use irsa_core::publication::Stored;

use crate::publish::PublishError;

/// What a look at a document brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// It is as it was seen.
    Unchanged,
    /// It is not there.
    Absent,
    /// It is new, or was never seen.
    Found(Stored),
}

/// A place that documents are read from.
pub trait DocumentStore {
    /// Looks at a document below the issuer. `seen` is the tag of the version that is known: the same version is not
    /// sent again.
    fn look(
        &self,
        path: &str,
        seen: Option<&str>,
    ) -> impl Future<Output = Result<Look, PublishError>> + Send;
}
