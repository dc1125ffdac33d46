//! Where the key ring, the private keys and the documents are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use irsa_core::explain::Explain as _;
use irsa_core::store_url::S3Location;
use irsa_core::token::claims::ServiceAccount;
use irsa_issuer::publish::s3::{self, S3Store};
use irsa_issuer::state::AnyRingStore;
use irsa_issuer::state::dir::StateDirectory;
use irsa_issuer::state::keys::{AnyKeys, KeysAtRest};
use irsa_issuer::state::s3::S3Ring;
use irsa_issuer::state::secret::{SecretKeys, SecretRing};

use crate::args::cache_life;
use crate::aws::{self, AwsArgs};
use crate::commands::publish::account_id;
use crate::commands::publish::s3::Reach;
use crate::report::Failure;

/// Where the key ring is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// A directory of this host.
    Directory(PathBuf),
    /// A Secret of the cluster.
    Secret(SecretName),
    /// A place in a bucket.
    S3(S3Location),
}

/// Where private keys rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysPlace {
    /// A directory of this host.
    Directory(PathBuf),
    /// A Secret of the cluster.
    Secret(SecretName),
}

/// A Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    namespace: String,
    name: String,
}

impl SecretName {
    /// Reads `NAMESPACE/NAME`.
    fn parse(text: &str) -> Result<Self, String> {
        let fail = || "write it like secret:kube-system/irsa-rotation".to_owned();
        // Names of Secrets follow the rules of those of service accounts; room is left for what is added to this one.
        let parsed = ServiceAccount::parse(text).map_err(|_| fail())?;
        if parsed.name().len() > 240 {
            return Err(fail());
        }
        Ok(Self {
            namespace: parsed.namespace().to_owned(),
            name: parsed.name().to_owned(),
        })
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret:{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Secret(name) => name.fmt(f),
            Self::S3(location) => location.fmt(f),
        }
    }
}

impl StatePlace {
    /// Reads a place as the user typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("s3://") {
            let location = S3Location::parse(text)
                .map_err(|error| format!("{error}; {}", error.help().unwrap_or_default()))?;
            if location.prefix().is_empty() {
                return Err("give it a place of its own: s3://BUCKET/PREFIX".to_owned());
            }
            return Ok(Self::S3(location));
        }
        Ok(match KeysPlace::parse(text)? {
            KeysPlace::Directory(path) => Self::Directory(path),
            KeysPlace::Secret(name) => Self::Secret(name),
        })
    }
}

impl KeysPlace {
    /// Reads a place as the user typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("secret:") {
            Some(name) => SecretName::parse(name).map(Self::Secret),
            None if text.starts_with("s3://") => Err(
                "private keys never rest in a bucket: name a directory or secret:NAMESPACE/NAME"
                    .to_owned(),
            ),
            None if text.is_empty() => Err("name a directory or secret:NAMESPACE/NAME".to_owned()),
            None => Ok(Self::Directory(PathBuf::from(
                text.strip_prefix("dir:").unwrap_or(text),
            ))),
        }
    }

    /// Where private keys rest beside a key ring, unless they are kept elsewhere.
    pub fn beside(state: &StatePlace, named: Option<Self>) -> Result<Self, Failure> {
        match (named, state) {
            (Some(place), _) => Ok(place),
            (None, StatePlace::Directory(path)) => Ok(Self::Directory(path.clone())),
            (None, StatePlace::Secret(ring)) => Ok(Self::Secret(SecretName {
                namespace: ring.namespace.clone(),
                name: format!("{}-keys", ring.name),
            })),
            (None, StatePlace::S3(location)) => Err(Failure::usage(
                format!("private keys never rest in {location}"),
                "add --private-keys DIR, or secret:NAMESPACE/NAME for all nodes of a cluster",
            )),
        }
    }

    /// The keys there.
    pub fn open(&self, config: &kube::Config) -> Result<AnyKeys, Failure> {
        Ok(match self {
            Self::Directory(path) => AnyKeys::Directory(KeysAtRest::new(path.clone())),
            Self::Secret(SecretName { namespace, name }) => {
                AnyKeys::Secret(Box::new(SecretKeys::new(client(config)?, namespace, name)))
            }
        })
    }
}

/// Documents and key rings in S3.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "S3")]
pub struct BucketArgs {
    /// The account that the bucket must belong to [default: that of the credentials; none for other stores]
    #[arg(long, value_name = "ACCOUNT", value_parser = account_id)]
    pub bucket_owner: Option<String>,
    /// Write to a store that ignores If-None-Match and If-Match: only if nothing else ever writes there
    #[arg(long)]
    pub allow_unconditional_writes: bool,
    /// Cache-Control of the documents: how long relying parties may keep them
    #[arg(long, value_name = "DURATION", value_parser = cache_life, default_value = "5m")]
    pub max_age: Duration,
}

/// Buckets, asked for credentials once and only when one is needed.
pub(super) struct Buckets<'a> {
    pub(super) aws: &'a AwsArgs,
    pub(super) args: &'a BucketArgs,
    pub(super) ca_file: Option<&'a Path>,
    known: Option<(Reach, Option<String>)>,
}

impl<'a> Buckets<'a> {
    /// Nothing is asked yet.
    pub(super) fn new(aws: &'a AwsArgs, args: &'a BucketArgs, ca_file: Option<&'a Path>) -> Self {
        Self {
            aws,
            args,
            ca_file,
            known: None,
        }
    }

    /// A place of documents in a bucket.
    pub(super) async fn at(&mut self, location: &S3Location) -> Result<S3Store, Failure> {
        let lenient = self.args.allow_unconditional_writes;
        self.place(location, lenient).await
    }

    /// The place of a key ring: two runs must never both believe that they saved it, so a store that does not compare
    /// is refused, whatever the documents may do without.
    async fn ring_at(&mut self, location: &S3Location) -> Result<S3Store, Failure> {
        self.place(location, false).await
    }

    /// Whether anything is written to a bucket on another host.
    pub(super) fn are_remote(&self) -> bool {
        self.known
            .as_ref()
            .is_some_and(|(reach, _)| reach.is_remote())
    }

    async fn place(&mut self, location: &S3Location, lenient: bool) -> Result<S3Store, Failure> {
        if self.known.is_none() {
            let reach = Reach::new(self.aws.load(self.ca_file).await?)?;
            let owner = match &self.args.bucket_owner {
                Some(owner) => Some(owner.clone()),
                None if reach.is_compatible() => None,
                None => Some(aws::account(reach.config()).await?),
            };
            self.known = Some((reach, owner));
        }
        let Some((reach, owner)) = &self.known else {
            return Err(Failure::failed("S3 is not known", "this is a bug in irsa"));
        };
        let client = s3::client(reach.config(), reach.is_compatible());
        let store =
            S3Store::new(client, location.clone(), owner.clone()).max_age(self.args.max_age);
        Ok(if reach.is_compatible() {
            store.probed(lenient)
        } else {
            store
        })
    }
}

/// What a run does with the key ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It reads it.
    Look,
    /// It may save it.
    Save,
}

/// The store of a key ring. The configuration of the cluster is asked for only if the ring is there.
pub(super) async fn open(
    place: &StatePlace,
    config: impl AsyncFnOnce() -> Result<kube::Config, Failure>,
    buckets: &mut Buckets<'_>,
    to: Use,
) -> Result<AnyRingStore, Failure> {
    Ok(match (place, to) {
        (StatePlace::Directory(path), Use::Look) => {
            AnyRingStore::Directory(StateDirectory::look(path))
        }
        (StatePlace::Directory(path), Use::Save) => {
            AnyRingStore::Directory(StateDirectory::lock(path)?)
        }
        (StatePlace::Secret(SecretName { namespace, name }), _) => {
            let client = client(&config().await?)?;
            AnyRingStore::Secret(SecretRing::new(client, namespace, name))
        }
        (StatePlace::S3(location), _) => {
            // Nobody shall keep a copy of it.
            let store = buckets.ring_at(location).await?.max_age(Duration::ZERO);
            AnyRingStore::S3(S3Ring::new(store))
        }
    })
}

fn client(config: &kube::Config) -> Result<kube::Client, Failure> {
    kube::Client::try_from(config.clone()).map_err(|error| {
        Failure::prefixed(
            "the Kubernetes client cannot be set up",
            &crate::kubernetes::KubernetesError::client(&error),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_they_are_written() {
        for text in [
            "keys",
            "/var/lib/irsa/keys",
            "secret:kube-system/irsa",
            "s3://bucket/state",
        ] {
            let place = StatePlace::parse(text).unwrap();
            assert_eq!(place.to_string(), text);
        }
        assert_eq!(
            StatePlace::parse("dir:/a").unwrap(),
            StatePlace::Directory("/a".into())
        );
        for bad in ["", "secret:a", "secret:a/b/c", "secret:A/b", "s3://bucket"] {
            assert!(StatePlace::parse(bad).is_err(), "{bad}");
        }
        assert!(KeysPlace::parse("s3://bucket/keys").is_err());
    }

    #[test]
    fn private_keys_rest_beside_the_ring_and_never_in_a_bucket() {
        let beside = |text| KeysPlace::beside(&StatePlace::parse(text).unwrap(), None);
        assert_eq!(beside("keys").unwrap(), KeysPlace::Directory("keys".into()));
        let secret = KeysPlace::parse("secret:a/b-keys").unwrap();
        assert_eq!(beside("secret:a/b").unwrap(), secret);
        assert!(beside("s3://bucket/state").is_err());
    }
}
