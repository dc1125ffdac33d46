//! The Secret of the CA in the cluster: read with its version, and written only over the version that was read.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::error::CertificateError;
use super::record::Record;
use crate::unquoted;

/// Where the Secret stands.
pub(super) struct SecretStore {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl SecretStore {
    fn error(&self, verb: &'static str, source: kube::Error) -> CertificateError {
        CertificateError::Api {
            verb,
            object: format!("Secret \"{}/{}\"", self.namespace, self.name),
            source: Box::new(unquoted::of_cluster(source)),
        }
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The record and the Secret that holds it; none when there is no Secret.
    pub(super) async fn read(&self) -> Result<Option<(Record, Secret)>, CertificateError> {
        let found = self
            .api()
            .get_opt(&self.name)
            .await
            .map_err(|source| self.error("reading", source))?;
        let Some(secret) = found else {
            return Ok(None);
        };
        let entries: BTreeMap<_, _> = secret
            .data
            .iter()
            .flatten()
            .map(|(key, ByteString(bytes))| (key.clone(), bytes.clone()))
            .collect();
        let record = Record::parse(&entries)
            .map_err(|error| CertificateError::Record(self.name.clone(), error))?;
        Ok(Some((record, secret)))
    }

    /// Writes the record over the Secret that was read, or creates one; loses to whoever was first.
    pub(super) async fn write(
        &self,
        record: &Record,
        read: Option<Secret>,
    ) -> Result<(), CertificateError> {
        let entries = record.entries().into_iter();
        let entries = entries
            .map(|(key, bytes)| (key, ByteString(bytes)))
            .collect();
        let exists = read.is_some();
        let mut secret = Secret {
            data: Some(entries),
            ..read.unwrap_or_else(|| self.empty())
        };
        // Whatever is written next is the change that was asked for.
        if let Some(annotations) = &mut secret.metadata.annotations {
            annotations.remove(CHANGE_CA);
        }
        let api = self.api();
        let written = if exists {
            api.replace(&self.name, &PostParams::default(), &secret)
                .await
        } else {
            api.create(&PostParams::default(), &secret).await
        };
        written
            .map(drop)
            .map_err(|source| self.error("writing", source))
    }

    fn empty(&self) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some([(MANAGED_BY.to_owned(), "irsa".to_owned())].into()),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        }
    }
}

/// Whether a person asked for another CA.
pub(super) fn wants_change(secret: &Secret) -> bool {
    let annotations = secret.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(CHANGE_CA))
}

/// The annotation with which a person asks for another CA, with any value.
const CHANGE_CA: &str = "irsa/change-ca";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
