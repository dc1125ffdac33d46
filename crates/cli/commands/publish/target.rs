//! Where documents go: `dir:PATH` or `s3://BUCKET[/PREFIX]`.

use std::fmt;
use std::path::PathBuf;

use irsa_core::explain::Explain as _;
use irsa_core::store_url::S3Location;

/// A store of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A directory that a web server serves.
    Directory(PathBuf),
    /// A bucket, or a part of one.
    S3(S3Location),
}

impl Target {
    /// Reads a target as the user typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("dir:") {
            Some(path) if !path.is_empty() => Ok(Self::Directory(PathBuf::from(path))),
            _ if text.starts_with("s3://") => S3Location::parse(text)
                .map(Self::S3)
                .map_err(|error| format!("{error}; {}", error.help().unwrap_or_default())),
            _ => Err("write it like dir:/var/www/oidc or s3://my-oidc-bucket/prefix".to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::S3(location) => location.fmt(f),
        }
    }
}
