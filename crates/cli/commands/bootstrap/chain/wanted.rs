//! What the chain shall be like, from the section of the configuration and from what is known so far.

use std::collections::BTreeMap;

use irsa_core::bootstrap::{KeyWanted, Wanted};
use irsa_core::bucket::{self, BucketWanted};
use irsa_core::issuer::IssuerUrl;
use irsa_core::provider::ProviderWanted;
use irsa_core::role::RoleWanted;
use irsa_core::trust::Grant;

use super::super::site::{Bucket, Store};
use super::super::{local, steps};
use super::Chain;
use crate::commands::iam;
use crate::commands::publish::s3::Access;
use crate::config::cluster::RoleSection;
use crate::report::Failure;

impl Chain<'_> {
    pub(super) fn wanted(&mut self) -> Result<Wanted, Failure> {
        let documents = self.documents()?;
        let issuer = self.issuer()?;
        let key = self.site.pair().map(|pair| {
            Ok::<_, Failure>(KeyWanted {
                private: pair.private.display().to_string(),
                public: pair.public.display().to_string(),
                algorithm: steps::key_kind(&self.site.section.keys)?.1,
            })
        });
        let bucket = match &self.site.store {
            Store::S3(bucket) => Some(self.bucket(bucket, issuer.as_ref())?),
            Store::Directory(_) => None,
        };
        let provider = issuer
            .zip(self.ca_thumbprints.clone())
            .map(|(issuer, thumbprints)| self.provider_wanted(issuer, thumbprints))
            .transpose()?;
        let roles = self.site.section.roles.iter();
        Ok(Wanted {
            key: key.transpose()?,
            bucket,
            distribution: self.site.distribution()?,
            documents,
            read_back: self.site.reader().is_some(),
            provider,
            roles: roles
                .map(|role| Ok((role.name.clone(), self.role(role)?)))
                .collect::<Result<_, Failure>>()?,
        })
    }

    fn bucket(&self, bucket: &Bucket, issuer: Option<&IssuerUrl>) -> Result<BucketWanted, Failure> {
        let publish = &self.site.section.publish;
        let objects = match issuer {
            Some(issuer) => bucket.objects(issuer, self.site.jwks_uri()?),
            None => Vec::new(),
        };
        Ok(BucketWanted {
            bucket: bucket.store.location().bucket().clone(),
            region: bucket.reach.region().to_owned(),
            access: match bucket.access {
                Access::Policy => bucket::Access::Policy,
                // The distribution's ARN is put in its place when it is known.
                Access::CloudFront | Access::None => bucket::Access::None,
            },
            documents: objects,
            create: publish.create_bucket.unwrap_or(true),
            adopt: publish.adopt_bucket,
        })
    }

    fn provider_wanted(
        &self,
        issuer: IssuerUrl,
        ca_thumbprints: Vec<String>,
    ) -> Result<ProviderWanted, Failure> {
        let wanted = ProviderWanted {
            issuer,
            client_ids: self.site.section.provider.client_ids.clone(),
            ca_thumbprints,
            tags: self.tags(),
            prune: false,
        };
        wanted.checked().map_err(|error| Failure::refused(&error))
    }

    fn tags(&self) -> BTreeMap<String, String> {
        let name = self.site.section.name.clone();
        iam::tags(vec![(iam::CLUSTER_TAG.to_owned(), name)])
    }

    /// The role; `None` while the provider's ARN is not known.
    fn role(&self, section: &RoleSection) -> Result<Option<RoleWanted>, Failure> {
        let subjects = local::subjects(section)?;
        let inline = local::inline(section)?;
        let Some(provider) = &self.provider else {
            return Ok(None);
        };
        let client_ids = &self.site.section.provider.client_ids;
        let wanted = RoleWanted {
            name: section.name.clone(),
            path: section.path.clone(),
            grants: vec![Grant {
                provider: provider.clone(),
                audience: client_ids.first().cloned().unwrap_or_default(),
                subjects,
            }],
            policy_arns: section.policy_arns.clone(),
            inline,
            boundary: section.permissions_boundary.clone(),
            max_session: section
                .max_session
                .map(|time| i32::try_from(time.0.as_secs()).unwrap_or(i32::MAX)),
            tags: self.tags(),
        };
        let checked = wanted.checked();
        checked.map(Some).map_err(|error| Failure::refused(&error))
    }
}
