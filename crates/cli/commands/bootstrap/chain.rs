//! The chain of one cluster: looked at part by part, and changed one step at a time. What is to be changed is decided in
//! [`irsa_core::bootstrap`].

mod kept;
mod wanted;

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use irsa_core::bootstrap::{self, BootstrapError, Change, KeySeen, Seen, Stage};
use irsa_core::discovery;
use irsa_core::documents::{DocumentName, IssuerDocuments};
use irsa_core::issuer::IssuerUrl;
use irsa_core::jwks::JwkSet;
use irsa_core::provider::ProviderArn;
use irsa_core::publication::{Observed, PublicationError};
use irsa_iam::{provider, role};
use irsa_issuer::publish::dir::Directory;
use irsa_issuer::publish::s3::S3Store;
use irsa_issuer::publish::{self, Publisher as _, cloudfront};

use super::site::{Site, Store};
use super::steps::{self, Files, Objects};
use crate::commands::iam;
use crate::commands::publish::s3::Access;
use crate::commands::publish::sync::Job;
use crate::context::Context;
use crate::kubernetes::KubernetesArgs;
use crate::report::Failure;

/// A cluster as it is seen, and as it shall be.
#[derive(Debug)]
pub struct Chain<'a> {
    /// Where things are.
    pub site: &'a Site<'a>,
    /// What was seen.
    pub seen: Seen,
    context: &'a Context,
    kubernetes: &'a KubernetesArgs,
    /// The ARN of the provider, when the issuer is known.
    pub provider: Option<ProviderArn>,
    /// The CA thumbprints that AWS needs, when that is known.
    ca_thumbprints: Option<Vec<String>>,
    /// The documents that `irsa rotate` keeps, if it does and they are published.
    kept: Option<IssuerDocuments>,
    /// The files of the control plane with what they become.
    pub files: Files,
    /// The webhook's objects with what they become.
    pub objects: Objects,
    /// The longest wait for a distribution.
    pub patience: Duration,
    warned: bool,
    warned_of_files: bool,
}

/// In the order of looking: each needs at most what those before it found.
const ORDER: [Stage; 8] = [
    Stage::Keys,
    Stage::Distribution,
    Stage::Bucket,
    Stage::Documents,
    Stage::Provider,
    Stage::Roles,
    Stage::ApiServer,
    Stage::Webhook,
];

impl<'a> Chain<'a> {
    /// A chain of which nothing is seen yet.
    pub fn new(
        site: &'a Site<'a>,
        context: &'a Context,
        kubernetes: &'a KubernetesArgs,
        patience: Duration,
    ) -> Self {
        Self {
            site,
            seen: Seen::default(),
            context,
            kubernetes,
            provider: None,
            ca_thumbprints: None,
            kept: None,
            files: Files::default(),
            objects: Objects::default(),
            patience,
            warned: false,
            warned_of_files: false,
        }
    }

    /// Looks at everything.
    pub async fn look(&mut self) -> Result<(), Failure> {
        for stage in ORDER {
            self.look_at(stage).await?;
        }
        Ok(())
    }

    /// Looks again at what a change may have touched.
    pub async fn look_after(&mut self, change: &Change) -> Result<(), Failure> {
        let stages: &[Stage] = match change.stage() {
            Stage::Keys => &[Stage::Keys, Stage::Documents],
            Stage::Bucket => &[Stage::Bucket],
            Stage::Distribution => &[
                Stage::Distribution,
                Stage::Documents,
                Stage::Provider,
                Stage::Roles,
            ],
            Stage::Documents => &[Stage::Documents],
            Stage::ReadBack => &[Stage::Provider],
            Stage::Provider => &[Stage::Provider, Stage::Roles],
            Stage::Roles => &[Stage::Roles],
            Stage::ApiServer => &[Stage::ApiServer],
            Stage::Webhook => &[Stage::Webhook],
        };
        for stage in stages {
            self.look_at(*stage).await?;
        }
        // What AWS needs of the provider is found out as soon as the issuer answers.
        if change.stage() == Stage::Documents && self.seen.read_back {
            self.look_at(Stage::Provider).await?;
        }
        Ok(())
    }

    /// Every change that is still to be made.
    pub fn plan(&mut self) -> Result<Vec<Change>, Failure> {
        let wanted = self.wanted()?;
        let rotated = self.site.section.keys.rotated;
        if let (true, Some(documents)) = (rotated, &wanted.documents) {
            // Also where an older JWKS still stands at this place: keys that were withdrawn since are in it.
            self.not_moved(documents)?;
            if self.kept.is_none() {
                self.never_published(documents.issuer())?;
            }
        }
        bootstrap::plan(&wanted, &self.seen).map_err(|error| {
            let drops = matches!(
                error,
                BootstrapError::Documents(PublicationError::WouldDrop { .. })
            );
            let failure = Failure::from(error);
            match (drops, rotated) {
                (false, _) => failure,
                (true, false) => failure.noted(
                    "if irsa rotate changes the keys of this cluster, say rotated: true under cluster.keys: what is \
                     published is then left as it is",
                ),
                // Every key that is read is kept.
                (true, true) => failure.noted(
                    "rotated: true keeps every key that irsa reads, and these are none: irsa rotate stops at them too. Find out \
                     who put them there; irsa publish --withdraw takes them out",
                ),
            }
        })
    }

    /// The issuer, if it is known.
    pub fn issuer(&self) -> Result<Option<IssuerUrl>, Failure> {
        self.site.issuer(&self.seen.cdn)
    }

    /// The documents, if key and issuer are known.
    pub fn documents(&mut self) -> Result<Option<IssuerDocuments>, Failure> {
        let made = self.site.pair().is_none() || self.seen.key == KeySeen::Present;
        let (Some(issuer), true) = (self.issuer()?, made) else {
            return Ok(None);
        };
        if let Some(kept) = &self.kept {
            return Ok(Some(kept.clone()));
        }
        let warn = !mem::replace(&mut self.warned, true);
        self.site.documents(&issuer, warn).map(Some)
    }

    async fn look_at(&mut self, stage: Stage) -> Result<(), Failure> {
        match stage {
            Stage::Keys => self.seen.key = self.key(),
            Stage::Distribution => self.look_at_distribution().await?,
            Stage::Bucket => self.look_at_bucket().await?,
            Stage::Documents => self.look_at_documents().await?,
            Stage::ReadBack => {}
            Stage::Provider => self.look_at_provider().await?,
            Stage::Roles => self.look_at_roles().await?,
            Stage::ApiServer => {
                let issuer = self.issuer()?;
                let warn = issuer.is_some() && !mem::replace(&mut self.warned_of_files, true);
                self.files = steps::files(self.site.section, issuer.as_ref(), self.context, warn)?;
                self.seen.files = self.files.rows().collect();
            }
            Stage::Webhook => {
                let pods = &self.context.config.webhook;
                self.objects = steps::objects(self.site.section, pods, self.kubernetes).await?;
                self.seen.objects = self.objects.rows().collect();
            }
        }
        Ok(())
    }

    fn key(&self) -> KeySeen {
        let Some(pair) = self.site.pair() else {
            return KeySeen::Present;
        };
        let there = |path: &std::path::Path| path.symlink_metadata().is_ok();
        match (there(&pair.private), there(&pair.public)) {
            (false, false) => KeySeen::Absent,
            (true, false) => KeySeen::PrivateOnly,
            // A public half alone: its private one is elsewhere, as it should be on a machine that only publishes.
            (_, true) => KeySeen::Present,
        }
    }

    async fn look_at_distribution(&mut self) -> Result<(), Failure> {
        if let (Some(_), Store::S3(bucket)) = (self.site.distribution()?, &self.site.store) {
            let name = bucket.store.location().bucket();
            self.seen.cdn = cloudfront::observe(&self.site.cloudfront, name).await?;
        }
        Ok(())
    }

    async fn look_at_bucket(&mut self) -> Result<(), Failure> {
        let (Store::S3(bucket), issuer) = (&self.site.store, self.issuer()?) else {
            return Ok(());
        };
        let discovery = irsa_core::issuer::DISCOVERY_PATH.trim_start_matches('/');
        let ours = async |store: &S3Store| {
            let stored = store.get(discovery).await.ok().flatten();
            stored
                .zip(issuer.as_ref())
                .is_some_and(|(stored, issuer)| discovery::parse(&stored.bytes, issuer).is_ok())
        };
        self.seen.bucket = bucket.store.observe_bucket(ours).await?;
        Ok(())
    }

    /// Documents that relying parties see as they shall be need no second look in the store that answers them.
    async fn look_at_documents(&mut self) -> Result<(), Failure> {
        let exists = match &self.site.store {
            Store::S3(_) => self.seen.bucket.is_some(),
            Store::Directory(_) => true,
        };
        if exists && self.site.section.keys.rotated {
            self.kept = self.kept_documents().await?;
        }
        let Some(documents) = self.documents()? else {
            return Ok(());
        };
        let job = self.job(&documents)?;
        if !exists {
            self.seen.read_back = false;
            return Ok(());
        }
        if job.direct && job.reader.is_some() && job.is_seen().await.is_ok() {
            self.seen.documents = job.as_wanted();
            self.seen.read_back = true;
            return Ok(());
        }
        self.seen.documents = self.published(&documents).await?;
        let same = |name, stored: &Option<irsa_core::publication::Stored>| {
            stored
                .as_ref()
                .is_some_and(|stored| stored.bytes == documents.bytes(name))
        };
        let stands = same(DocumentName::Jwks, &self.seen.documents.jwks)
            && same(DocumentName::Discovery, &self.seen.documents.discovery);
        self.seen.read_back =
            stands && !job.direct && job.reader.is_some() && job.is_seen().await.is_ok();
        Ok(())
    }

    /// What stands in the store.
    async fn published(&self, documents: &IssuerDocuments) -> Result<Observed, Failure> {
        Ok(match &self.site.store {
            Store::S3(bucket) => publish::observe(&bucket.store, documents).await?,
            Store::Directory(path) => {
                publish::observe(&Directory::new(path.clone()), documents).await?
            }
        })
    }

    /// The documents with the keys that are published, whatever the files say.
    async fn kept_documents(&mut self) -> Result<Option<IssuerDocuments>, Failure> {
        self.kept = None;
        let Some(documents) = self.documents()? else {
            return Ok(None);
        };
        let Some(stored) = self.published(&documents).await?.jwks else {
            return Ok(None);
        };
        let set = JwkSet::parse(&stored.bytes)?;
        let keys = set.keys().iter().map(|jwk| &jwk.key);
        let (issuer, jwks_uri) = (documents.issuer().clone(), self.site.jwks_uri()?);
        Ok(Some(IssuerDocuments::render(issuer, jwks_uri, keys)?))
    }

    /// What reads the documents back.
    pub fn job<'d>(&self, documents: &'d IssuerDocuments) -> Result<Job<'d>, Failure> {
        let direct = match &self.site.store {
            Store::S3(bucket) if bucket.access != Access::CloudFront => {
                let location = bucket.store.location();
                bucket.reach.is_direct(location, documents.issuer())?
            }
            _ => false,
        };
        Ok(Job {
            documents,
            to: self.site.place(),
            withdraw: &[],
            direct,
            owned: false,
            reader: self.site.reader(),
            patient: true,
        })
    }

    async fn look_at_provider(&mut self) -> Result<(), Failure> {
        let Some(issuer) = self.issuer()? else {
            return Ok(());
        };
        let arn = iam::provider_arn(&self.site.config, &issuer, None).await?;
        self.seen.provider = provider::observe(&self.site.iam, &arn).await?;
        self.provider = Some(arn);
        if self.ca_thumbprints.is_none() {
            self.ca_thumbprints = self.needed_ca_thumbprints(&issuer).await?;
        }
        Ok(())
    }

    /// `None` while nobody can look at the host that serves the keys.
    async fn needed_ca_thumbprints(
        &self,
        issuer: &IssuerUrl,
    ) -> Result<Option<Vec<String>>, Failure> {
        let given = &self.site.section.provider.ca_thumbprints;
        if !given.is_empty() {
            return Ok(Some(given.clone()));
        }
        if self.site.is_at_aws(issuer) || self.site.reader().is_none() {
            return Ok(Some(Vec::new()));
        }
        if !self.seen.read_back {
            return Ok(None);
        }
        iam::provider::needed_ca_thumbprint(issuer, &self.site.fetch)
            .await
            .map(Some)
    }

    async fn look_at_roles(&mut self) -> Result<(), Failure> {
        let mut roles = BTreeMap::new();
        for section in &self.site.section.roles {
            if let Some(state) = role::observe(&self.site.iam, &section.name).await? {
                roles.insert(section.name.clone(), state);
            }
        }
        self.seen.roles = roles;
        Ok(())
    }
}
