//! Where an issuer's documents stand in S3, and which issuer URL such a place has.
//!
//! S3 answers under several URLs for one object. The virtual-hosted one is the default; the older forms are
//! recognised, because an issuer URL can never be changed and clusters exist that sign with them.

use std::fmt;

use url::Url;

use crate::explain::Explain;
use crate::issuer::{IssuerUrl, IssuerUrlError, TrailingSlash};
use crate::partition::{PARTITIONS, Partition};

/// A bucket that can stand in an issuer URL: S3's rules for names, and no dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(String);

/// `s3://BUCKET[/PREFIX]`: where the documents of an issuer, or of all issuers of a host, stand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S3Location {
    bucket: BucketName,
    /// Without slashes at either end; may be empty.
    prefix: String,
}

/// How a bucket stands in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// `https://BUCKET.s3.REGION.amazonaws.com`.
    #[default]
    Virtual,
    /// `https://s3.REGION.amazonaws.com/BUCKET`.
    Path,
}

/// An issuer URL that S3 itself answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Issuer {
    /// Where its documents must stand.
    pub location: S3Location,
    /// The Region in the host name; the oldest forms have none.
    pub region: Option<String>,
    /// How the bucket stands in it.
    pub addressing: Addressing,
}

/// Why a place in S3 cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// Not `s3://BUCKET[/PREFIX]`.
    #[error("\"{0}\" is not written like s3://BUCKET or s3://BUCKET/PREFIX")]
    Form(String),
    /// Against S3's rules for names.
    #[error("bucket \"{name}\" {fault}")]
    Bucket {
        /// As it was given.
        name: String,
        /// Which rule.
        fault: &'static str,
    },
    /// A prefix that a URL would spell in another way.
    #[error(
        "prefix \"{0}\" has a segment that is empty, dotted or not made of letters, digits, and -._~"
    )]
    Prefix(String),
    /// The documents would be put where nobody looks.
    #[error(
        "issuer {issuer} is {what} \"{found}\" of S3, and the documents would go to \"{given}\""
    )]
    Elsewhere {
        /// The issuer.
        issuer: IssuerUrl,
        /// `bucket`, `prefix`, `Region`.
        what: &'static str,
        /// As the issuer has it.
        found: String,
        /// As it was given.
        given: String,
    },
    /// A custom endpoint that makes no issuer URL.
    #[error("no issuer URL can be made from endpoint \"{endpoint}\"")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// Why.
        source: IssuerUrlError,
    },
}

impl Explain for StoreUrlError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Form(_) => "write it like s3://my-oidc-bucket or s3://my-oidc-bucket/clusters/prod".into(),
            Self::Bucket { fault, name } if *fault == DOTTED => format!(
                "S3's wildcard certificate covers one label only, so every relying party would refuse https://{name}.s3…: \
                 choose a name with hyphens, like {}",
                name.replace('.', "-")
            ),
            Self::Bucket { .. } => "3 to 63 lower-case letters, digits and hyphens, beginning and ending in a letter or digit".into(),
            Self::Prefix(_) => "the prefix becomes part of the issuer URL, which is compared byte for byte".into(),
            Self::Elsewhere { .. } => {
                "relying parties would not find them there: give the place that the issuer names with --to, and its \
                 Region with --region; or leave --issuer out to have it derived"
                    .into()
            }
            Self::Endpoint { .. } => "name the issuer URL with --issuer".into(),
        })
    }
}

const DOTTED: &str = "has a dot";
const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", "--x-s3", "--table-s3", ".mrap"];

impl BucketName {
    /// Reads a name.
    pub fn parse(name: &str) -> Result<Self, StoreUrlError> {
        let fail = |fault| StoreUrlError::Bucket {
            name: name.chars().take(100).collect(),
            fault,
        };
        if !(3..=63).contains(&name.len()) {
            return Err(fail("has not between 3 and 63 characters"));
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.contains('.') {
            return Err(fail(DOTTED));
        }
        if !name.bytes().all(plain) {
            return Err(fail(
                "has other characters than lower-case letters, digits and hyphens",
            ));
        }
        if name.starts_with('-') || name.ends_with('-') {
            return Err(fail("begins or ends with a hyphen"));
        }
        let reserved = RESERVED_PREFIXES.iter().any(|p| name.starts_with(p))
            || RESERVED_SUFFIXES.iter().any(|s| name.ends_with(s));
        if reserved {
            return Err(fail("has a prefix or suffix that S3 reserves"));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl S3Location {
    /// Reads `s3://BUCKET[/PREFIX]`; a slash at the end does not count.
    pub fn parse(text: &str) -> Result<Self, StoreUrlError> {
        let rest = text
            .strip_prefix("s3://")
            .ok_or_else(|| StoreUrlError::Form(text.chars().take(300).collect()))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        Self::new(BucketName::parse(bucket)?, prefix)
    }

    fn new(bucket: BucketName, prefix: &str) -> Result<Self, StoreUrlError> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
        let segment = |s: &str| !matches!(s, "" | "." | "..") && s.chars().all(plain);
        if !prefix.is_empty() && !prefix.split('/').all(segment) || prefix.len() > 200 {
            return Err(StoreUrlError::Prefix(prefix.chars().take(300).collect()));
        }
        Ok(Self {
            bucket,
            prefix: prefix.to_owned(),
        })
    }

    /// The bucket.
    pub fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// The prefix without slashes at either end; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The object key of a path below the issuer.
    pub fn key(&self, path: &str) -> String {
        if self.prefix.is_empty() {
            path.to_owned()
        } else {
            format!("{}/{path}", self.prefix)
        }
    }

    /// The place at a path below this one.
    pub fn below(&self, path: &str) -> Result<Self, StoreUrlError> {
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            return Ok(self.clone());
        }
        Self::new(self.bucket.clone(), &self.key(path))
    }

    /// The ARN of an object.
    pub fn object_arn(&self, partition: Partition, path: &str) -> String {
        format!(
            "arn:{}:s3:::{}/{}",
            partition.name,
            self.bucket,
            self.key(path)
        )
    }

    /// The issuer URL that S3 itself gives this place.
    pub fn issuer(&self, region: &str, addressing: Addressing) -> Result<IssuerUrl, StoreUrlError> {
        let suffix = Partition::of_region(region).dns_suffix;
        let host = match addressing {
            Addressing::Virtual => format!("https://{}.s3.{region}.{suffix}", self.bucket),
            Addressing::Path => format!("https://s3.{region}.{suffix}/{}", self.bucket),
        };
        self.with_prefix(&host)
    }

    /// The issuer URL of this place at an S3-compatible store, which has the bucket in the path.
    pub fn issuer_at(&self, endpoint: &str) -> Result<IssuerUrl, StoreUrlError> {
        let endpoint = endpoint.trim_end_matches('/');
        self.with_prefix(&format!("{endpoint}/{}", self.bucket))
    }

    fn with_prefix(&self, base: &str) -> Result<IssuerUrl, StoreUrlError> {
        let text = if self.prefix.is_empty() {
            base.to_owned()
        } else {
            format!("{base}/{}", self.prefix)
        };
        IssuerUrl::parse(&text, TrailingSlash::Refuse).map_err(|source| StoreUrlError::Endpoint {
            endpoint: base.to_owned(),
            source,
        })
    }

    /// Whether S3 itself answers this issuer's URL from this place. An issuer of S3 that is another bucket, prefix or
    /// Region is refused; one that is no URL of S3 (an own domain) may stand anywhere.
    pub fn answers(&self, issuer: &IssuerUrl, region: &str) -> Result<bool, StoreUrlError> {
        let Some(found) = S3Issuer::recognise(issuer) else {
            return Ok(false);
        };
        let region_there = found.region.as_deref().unwrap_or(region);
        let place = &found.location;
        for (what, there, here) in [
            ("bucket", place.bucket.as_str(), self.bucket.as_str()),
            ("prefix", place.prefix(), self.prefix()),
            ("Region", region_there, region),
        ] {
            if there != here {
                return Err(StoreUrlError::Elsewhere {
                    issuer: issuer.clone(),
                    what,
                    found: there.to_owned(),
                    given: here.to_owned(),
                });
            }
        }
        Ok(true)
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.prefix.is_empty() {
            Ok(())
        } else {
            write!(f, "/{}", self.prefix)
        }
    }
}

impl S3Issuer {
    /// Reads an issuer URL of S3 in any form that S3 answers over https: virtual-hosted and path style; with a
    /// Region, with a dash before it (`s3-eu-west-1`), dual-stack, FIPS, or without Region.
    pub fn recognise(issuer: &IssuerUrl) -> Option<Self> {
        let url = Url::parse(issuer.as_str()).ok()?;
        let host = url.host_str()?.to_ascii_lowercase();
        let service = PARTITIONS
            .iter()
            .find_map(|partition| host.strip_suffix(&format!(".{}", partition.dns_suffix)))?;
        let (bucket, region) = split_service(service)?;
        let path = issuer.path().trim_start_matches('/');
        let (bucket, prefix, addressing) = if let Some(bucket) = bucket {
            (bucket, path, Addressing::Virtual)
        } else {
            let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
            (bucket, prefix, Addressing::Path)
        };
        Some(Self {
            location: S3Location::new(BucketName::parse(bucket).ok()?, prefix).ok()?,
            region: region.map(str::to_owned),
            addressing,
        })
    }
}

/// Bucket, if it is in the host, and Region, if there is one, of the host name before the partition's suffix.
fn split_service(service: &str) -> Option<(Option<&str>, Option<&str>)> {
    for marker in [
        "s3.dualstack.",
        "s3-fips.dualstack.",
        "s3-fips.",
        "s3.",
        "s3-",
    ] {
        let at = if service.starts_with(marker) {
            Some((None, service.strip_prefix(marker)?))
        } else {
            service
                .rsplit_once(&format!(".{marker}"))
                .map(|(bucket, region)| (Some(bucket), region))
        };
        if let Some((bucket, region)) = at {
            return is_region(region).then_some((bucket, Some(region)));
        }
    }
    if service == "s3" {
        return Some((None, None));
    }
    service
        .strip_suffix(".s3")
        .map(|bucket| (Some(bucket), None))
}

/// `eu-west-1`, `us-gov-east-1`: words and a number. `s3-website-eu-west-1` and `s3-accelerate` are other services.
fn is_region(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    let [first, .., number] = words.as_slice() else {
        return false;
    };
    words.len() >= 3
        && (2..=4).contains(&first.len())
        && number.bytes().all(|b| b.is_ascii_digit())
        && !number.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
#[path = "store_url_tests.rs"]
mod tests;
