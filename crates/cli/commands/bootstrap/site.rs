//! Where a cluster's things are, from its section of the configuration: store, issuer, IAM, and who may be asked.

use std::path::{Path, PathBuf};

use aws_config::SdkConfig;
use irsa_core::bucket::distribution::{CdnState, DistributionWanted};
use irsa_core::documents::IssuerDocuments;
use irsa_core::issuer::{DISCOVERY_PATH, IssuerUrl, JwksUri, TrailingSlash};
use irsa_core::partition::Partition;
use irsa_core::store_url::S3Location;
use irsa_issuer::keyfile::PairPaths;
use irsa_issuer::publish::s3::{self, S3Store};
use irsa_issuer::relying_party::RelyingParty;
use irsa_issuer::source::IssuerSpec;

use crate::args::FetchArgs;
use crate::aws::{self, AwsArgs};
use crate::commands::publish::s3::{Access, Reach};
use crate::commands::publish::{Target, account_id};
use crate::commands::warn_of_deviations;
use crate::config::ClusterSection;
use crate::context::Context;
use crate::report::Failure;
use crate::settings;

/// Where documents go.
#[derive(Debug)]
pub enum Store {
    /// A bucket, or a part of one.
    S3(Box<Bucket>),
    /// A directory that a web server serves.
    Directory(PathBuf),
}

/// A place in S3.
#[derive(Debug)]
pub struct Bucket {
    /// How S3 is reached.
    pub reach: Reach,
    /// The place.
    pub store: S3Store,
    /// Who reads.
    pub access: Access,
}

/// A cluster, with everything that is needed to look at it and to change it.
#[derive(Debug)]
pub struct Site<'a> {
    /// Its section.
    pub section: &'a ClusterSection,
    /// What AWS clients are made from.
    pub config: SdkConfig,
    /// Where documents go.
    pub store: Store,
    /// IAM.
    pub iam: aws_sdk_iam::Client,
    /// `CloudFront`.
    pub cloudfront: aws_sdk_cloudfront::Client,
    /// How the issuer is fetched.
    pub fetch: FetchArgs,
    /// Where the JWKS shall stand, as the file says it for the issuer or for the cluster.
    jwks_uri: Option<&'a str>,
    slash: TrailingSlash,
}

impl<'a> Site<'a> {
    /// Reads the section. Asks nobody but, for the account of the credentials, STS.
    pub async fn new(
        context: &'a Context,
        aws: &AwsArgs,
        fetch: &FetchArgs,
    ) -> Result<Self, Failure> {
        let section = section(context)?;
        let mut aws = aws.clone();
        aws.region = aws.region.or_else(|| section.publish.region.clone());
        let config = aws.load(fetch.ca_file.as_deref()).await?;
        let store = store(section, &config).await?;
        let allowed = context.config.allow_trailing_slash.unwrap_or_default();
        let named = section.issuer.as_deref();
        let named = named.and_then(|issuer| settings::jwks_uri_in_file(&context.config, issuer));
        let site = Self {
            jwks_uri: named.or(section.jwks_uri.as_deref()),
            iam: aws_sdk_iam::Client::new(&config),
            cloudfront: aws_sdk_cloudfront::Client::new(&config),
            slash: settings::slash(allowed),
            fetch: fetch.clone(),
            section,
            config,
            store,
        };
        site.check()?;
        Ok(site)
    }

    /// What can be refused before anybody is asked.
    fn check(&self) -> Result<(), Failure> {
        let issuer = self.issuer(&CdnState::default())?;
        self.distribution()?;
        if let (Some(issuer), Store::S3(bucket)) = (&issuer, &self.store)
            && bucket.access != Access::CloudFront
        {
            bucket.reach.is_direct(bucket.store.location(), issuer)?;
        }
        if let Some(issuer) = issuer.filter(|issuer| !issuer.is_https() && !self.is_compatible()) {
            return Err(Failure::usage(
                format!("issuer {issuer} is not https"),
                "AWS and kube-apiserver take https issuers only",
            ));
        }
        Ok(())
    }

    fn is_compatible(&self) -> bool {
        matches!(&self.store, Store::S3(bucket) if bucket.reach.is_compatible())
    }

    /// The issuer; `None` while it is that of a distribution that is not there.
    pub fn issuer(&self, cdn: &CdnState) -> Result<Option<IssuerUrl>, Failure> {
        let configured = self.section.issuer.as_deref();
        let configured = configured
            .map(|text| settings::parse_issuer(text, self.slash))
            .transpose()?;
        match (&self.store, configured) {
            (Store::S3(bucket), Some(issuer)) if bucket.access == Access::CloudFront => {
                let prefix = bucket.store.location().prefix();
                if issuer.path().trim_start_matches('/') == prefix {
                    return Ok(Some(issuer));
                }
                Err(Failure::usage(
                    format!(
                        "issuer {issuer} has another path than the prefix \"{prefix}\" of the bucket"
                    ),
                    "a distribution serves the bucket's objects under their own names: make both the same",
                ))
            }
            (Store::S3(bucket), None) if bucket.access == Access::CloudFront => {
                let Some(found) = &cdn.distribution else {
                    return Ok(None);
                };
                let location = bucket.store.location();
                let text = match location.prefix() {
                    "" => format!("https://{}", found.domain),
                    prefix => format!("https://{}/{prefix}", found.domain),
                };
                settings::parse_issuer(&text, self.slash).map(Some)
            }
            (_, Some(issuer)) => Ok(Some(issuer)),
            (Store::S3(bucket), None) => bucket.reach.issuer(bucket.store.location()).map(Some),
            (Store::Directory(_), None) => Err(Failure::usage(
                format!("cluster \"{}\" has no issuer", self.section.name),
                "a directory is served by a web server of yours: add cluster.issuer, the URL that it answers for",
            )),
        }
    }

    /// The distribution that is wanted, if one is.
    pub fn distribution(&self) -> Result<Option<DistributionWanted>, Failure> {
        let Store::S3(bucket) = &self.store else {
            return Ok(None);
        };
        if bucket.access != Access::CloudFront {
            return Ok(None);
        }
        let issuer = self.issuer(&CdnState::default())?;
        let alias = issuer.map(|issuer| host(&issuer));
        let wanted = DistributionWanted {
            bucket: bucket.store.location().bucket().clone(),
            region: bucket.reach.region().to_owned(),
            aliases: alias
                .filter(|host| !host.ends_with(".cloudfront.net"))
                .into_iter()
                .collect(),
            certificate: self.section.publish.certificate_arn.clone(),
        };
        let checked = wanted.checked();
        checked.map(Some).map_err(|error| Failure::refused(&error))
    }

    /// The key pair that is made if it is missing.
    pub fn pair(&self) -> Option<PairPaths> {
        let keys = &self.section.keys;
        let directory = keys.generate.as_ref()?;
        let name = keys.name.as_deref().unwrap_or("sa");
        Some(PairPaths::new(directory, name))
    }

    /// The documents of an issuer, from all key files; `warn` says where kube-apiserver sees fewer keys.
    pub fn documents(&self, issuer: &IssuerUrl, warn: bool) -> Result<IssuerDocuments, Failure> {
        let made = self.pair().map(|pair| pair.public);
        let spec = IssuerSpec {
            issuer: issuer.clone(),
            jwks_uri: self.jwks_uri()?,
            keys: self
                .section
                .keys
                .adopt
                .iter()
                .cloned()
                .chain(made)
                .collect(),
        };
        let (documents, loaded) = spec.render()?;
        if warn {
            warn_of_deviations(&loaded);
        }
        Ok(documents)
    }

    /// Where the JWKS shall stand, if that was said.
    pub fn jwks_uri(&self) -> Result<Option<JwksUri>, Failure> {
        settings::parse_jwks_uri(self.jwks_uri)
    }

    /// The client with which documents are read back, unless that was switched off.
    pub fn reader(&self) -> Option<RelyingParty> {
        let wanted = self.section.publish.read_back.unwrap_or(true);
        wanted.then(|| RelyingParty::new(self.fetch.ca_file.as_deref(), self.fetch.timeout))
    }

    /// Whether AWS certainly knows the CA of the issuer's host, because it is AWS's own.
    pub fn is_at_aws(&self, issuer: &IssuerUrl) -> bool {
        let Store::S3(bucket) = &self.store else {
            return false;
        };
        if bucket.reach.is_compatible() {
            return false;
        }
        let host = host(issuer);
        let direct = bucket.reach.is_direct(bucket.store.location(), issuer);
        host.ends_with(".cloudfront.net") || matches!(direct, Ok(true))
    }

    /// The documents' place, in the user's words.
    pub fn place(&self) -> String {
        match &self.store {
            Store::S3(bucket) => bucket.store.location().to_string(),
            Store::Directory(path) => format!("dir:{}", path.display()),
        }
    }
}

impl Bucket {
    /// The ARNs of the documents of an issuer. They are known before there is a key.
    pub fn objects(&self, issuer: &IssuerUrl, jwks_uri: Option<JwksUri>) -> Vec<String> {
        let partition = Partition::of_region(self.reach.region());
        let location = self.store.location();
        let jwks = jwks_uri.unwrap_or_else(|| issuer.default_jwks_uri());
        let discovery = DISCOVERY_PATH.trim_start_matches('/');
        jwks.below(issuer)
            .into_iter()
            .chain([discovery])
            .map(|path| location.object_arn(partition, path))
            .collect()
    }
}

/// The cluster of the configuration.
pub(super) fn section(context: &Context) -> Result<&ClusterSection, Failure> {
    let Some(section) = &context.config.cluster else {
        return Err(Failure::usage(
            "there is no cluster to work on",
            "describe it under cluster: in a configuration file and name that with --config FILE; docs/aws.md has an example",
        ));
    };
    let keys = &section.keys;
    if keys.adopt.is_empty() && keys.generate.is_none() {
        return Err(Failure::usage(
            format!("cluster \"{}\" has no keys", section.name),
            "name the cluster's public key files under keys.adopt, or a directory for a new key under keys.generate",
        ));
    }
    Ok(section)
}

async fn store(section: &ClusterSection, config: &SdkConfig) -> Result<Store, Failure> {
    let publish = &section.publish;
    let location = match &publish.to {
        Target::S3(location) => location,
        Target::Directory(path) => {
            if publish.access.is_some() || publish.certificate_arn.is_some() || publish.adopt_bucket
            {
                let help =
                    "leave access, certificate_arn and adopt_bucket out, or publish to s3://BUCKET";
                return Err(Failure::usage("a directory has no bucket to set up", help));
            }
            return Ok(Store::Directory(absolute(path)));
        }
    };
    let access = publish.access.unwrap_or(Access::Policy);
    if publish.certificate_arn.is_some() && access != Access::CloudFront {
        let help = "leave it out, or say access: cloudfront";
        return Err(Failure::usage(
            "certificate_arn is for a CloudFront distribution",
            help,
        ));
    }
    Ok(Store::S3(Box::new(
        bucket(section, config, location, access).await?,
    )))
}

async fn bucket(
    section: &ClusterSection,
    config: &SdkConfig,
    location: &S3Location,
    access: Access,
) -> Result<Bucket, Failure> {
    let publish = &section.publish;
    let reach = Reach::new(config.clone())?;
    let owner = match &publish.bucket_owner {
        Some(owner) => Some(account_id(owner).map_err(|reason| {
            Failure::usage(format!("bucket_owner \"{owner}\" is refused"), reason)
        })?),
        None if reach.is_compatible() => None,
        None => Some(aws::account(config).await?),
    };
    let client = s3::client(config, reach.is_compatible());
    let mut store = S3Store::new(client, location.clone(), owner);
    if let Some(max_age) = publish.max_age {
        store = store.max_age(max_age.0);
    }
    if reach.is_compatible() {
        store = store.probed(false);
    }
    Ok(Bucket {
        reach,
        store,
        access,
    })
}

fn host(issuer: &IssuerUrl) -> String {
    let name = issuer.iam_name();
    name.split('/').next().unwrap_or_default().to_owned()
}

/// A path that means the same to every reader of a message.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
