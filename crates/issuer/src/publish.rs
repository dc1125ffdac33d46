//! Publishing: a store is observed, core decides, and each change is written only if the store is still as it was
//! seen.

pub mod cloudfront;
pub mod dir;
pub mod s3;

use std::future::Future;
use std::path::PathBuf;

use irsa_core::change::{Change, Expected};
use irsa_core::documents::{DocumentName, IssuerDocuments};
use irsa_core::explain::Explain;
use irsa_core::publication::{self, Observed, Stored};

/// A place that relying parties fetch documents from. Names come from [`IssuerDocuments::path`] only.
pub trait Publisher {
    /// The document at a path below the issuer, if there is one.
    fn get(&self, path: &str) -> impl Future<Output = Result<Option<Stored>, PublishError>> + Send;

    /// Writes a document, if what is there is still as expected.
    fn put_if(
        &self,
        path: &str,
        bytes: &[u8],
        expected: &Expected,
    ) -> impl Future<Output = Result<(), PublishError>> + Send;

    /// Removes a document, if it is still the version with this tag.
    fn remove_if(
        &self,
        path: &str,
        tag: &str,
    ) -> impl Future<Output = Result<(), PublishError>> + Send;
}

/// Why something was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file system refuses.
    #[error("\"{}\" cannot be {action}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried: `read`, `written`.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A path that would leave the store.
    #[error("\"{0}\" is not a path inside the store")]
    Outside(String),
    /// Something that is neither a file nor nothing.
    #[error("\"{}\" is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Replacing it would leave what it leads to as it is.
    #[error("\"{}\" is a symbolic link, and is not replaced by a file", .0.display())]
    Link(PathBuf),
    /// Another run holds the store.
    #[error("\"{}\" is being published to by another run", .0.display())]
    Busy(PathBuf),
    /// Somebody wrote between our look and our write.
    #[error("\"{0}\" was changed by somebody else while this run looked at it")]
    Conflict(String),
    /// What was written does not read back.
    #[error("\"{0}\" does not read back as it was written")]
    ReadBack(String),
    /// A store that overwrites what it should compare first.
    #[error(
        "the store of {0} ignores If-None-Match: two runs at once would overwrite each other's keys"
    )]
    NoConditions(String),
    /// S3 does not do what was asked.
    #[error(transparent)]
    S3(#[from] s3::S3Error),
}

impl Explain for PublishError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => {
                "each document is written whole or not at all, the JWKS first; mend the cause and run it again".into()
            }
            Self::Outside(_) => "this is a bug in irsa: report it with the command line".into(),
            Self::Link(path) => format!(
                "name the directory that it leads to with --to, or remove it: rm {}",
                path.display()
            ),
            Self::NotAFile(_) => "move it away, or choose another place with --to".into(),
            Self::Busy(_) | Self::Conflict(_) => "nothing of theirs was overwritten; run it again".into(),
            Self::ReadBack(_) => "something else writes there, or the file system is failing: find out before you go on".into(),
            Self::NoConditions(_) => "nothing was written; use a store with conditional writes, or add \
                --allow-unconditional-writes if nothing else ever writes there"
                .into(),
            Self::S3(error) => return error.help(),
        })
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Conflict(_) => true,
            Self::S3(error) => error.retryable(),
            _ => false,
        }
    }
}

/// What stands in the store where these documents belong.
pub async fn observe(
    publisher: &impl Publisher,
    documents: &IssuerDocuments,
) -> Result<Observed, PublishError> {
    let discovery = publisher
        .get(documents.path(DocumentName::Discovery))
        .await?;
    let other = discovery
        .as_ref()
        .and_then(|stored| publication::other_jwks_path(documents, stored));
    let other_jwks = match other {
        Some(path) => publisher.get(&path).await?,
        None => None,
    };
    let jwks = publisher.get(documents.path(DocumentName::Jwks)).await?;
    Ok(Observed {
        discovery,
        jwks,
        other_jwks,
    })
}

/// Makes the changes in their order and reads each one back.
pub async fn apply(publisher: &impl Publisher, changes: &[Change]) -> Result<(), PublishError> {
    for change in changes {
        publisher
            .put_if(&change.path, &change.bytes, &change.expected)
            .await?;
        let stored = publisher.get(&change.path).await?;
        if stored.is_none_or(|stored| stored.bytes != change.bytes) {
            return Err(PublishError::ReadBack(change.path.clone()));
        }
    }
    Ok(())
}
