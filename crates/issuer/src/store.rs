//! A store of documents that replicas read again and again.

use std::future::Future;

use irsa_core::publication::Stored;

use crate::publish::PublishError;
use crate::publish::dir::Directory;
use crate::publish::s3::S3Store;

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

/// A store of either kind.
#[derive(Debug)]
pub enum AnyStore {
    /// A directory.
    Directory(Directory),
    /// A place in a bucket.
    S3(S3Store),
}

impl DocumentStore for AnyStore {
    async fn look(&self, path: &str, seen: Option<&str>) -> Result<Look, PublishError> {
        match self {
            Self::Directory(store) => store.look(path, seen).await,
            Self::S3(store) => store.look(path, seen).await,
        }
    }
}
