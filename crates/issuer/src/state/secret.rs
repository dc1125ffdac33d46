//! Secrets of the cluster: one holds the key ring, and another one the private keys, an entry for each.
//!
//! The ring is written over the `resourceVersion` that it was made from. The keys are entries of their own, so that none
//! is ever written together with another.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use irsa_core::change::Expected;
use irsa_core::issuer::IssuerUrl;
use irsa_core::kid::Kid;
use irsa_core::private::PrivateKeyPem;
use irsa_core::publication::Stored;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error};
use serde_json::{Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use super::{RingStore, StateError};

/// The entry of the ring.
const RING: &str = "ring.json";
/// The annotation that says whose keys these are.
const OWNER: &str = "irsa/issuer";
/// The annotation that names the place.
const PLACE: &str = "irsa/place";
/// The end of the entries of private keys.
const KEY: &str = ".key";

/// A Secret by name.
#[derive(Clone)]
struct Named {
    api: Api<Secret>,
    namespace: String,
    name: String,
}

/// The key ring in a Secret.
#[derive(Debug, Clone)]
pub struct SecretRing(Named);

/// Private keys in a Secret.
#[derive(Debug, Clone)]
pub struct SecretKeys(Named);

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret {}/{}", self.namespace, self.name)
    }
}

impl Named {
    fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn fail(&self, action: &'static str) -> impl FnOnce(Error) -> StateError {
        let secret = self.full_name();
        move |source| StateError::Secret {
            secret,
            action,
            source: Box::new(source),
        }
    }

    async fn read(&self) -> Result<Option<Secret>, StateError> {
        self.api
            .get_opt(&self.name)
            .await
            .map_err(self.fail("read"))
    }

    async fn create(&self, entries: &Value) -> Result<Secret, Error> {
        self.create_with(entries, &json!({})).await
    }

    async fn create_with(&self, entries: &Value, annotations: &Value) -> Result<Secret, Error> {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {
                "name": self.name,
                "labels": {"app.kubernetes.io/managed-by": "irsa"},
                "annotations": annotations,
            },
            "type": "Opaque",
            "data": entries,
        }))
        .map_err(Error::SerdeError)?;
        self.api.create(&PostParams::default(), &secret).await
    }

    /// Changes entries, and nothing else of the Secret; over a version of it, if one is given.
    async fn merge(&self, entries: &Value, version: Option<&str>) -> Result<Secret, Error> {
        let patch = match version {
            Some(version) => json!({"data": entries, "metadata": {"resourceVersion": version}}),
            None => json!({"data": entries}),
        };
        let patch = Patch::Merge(&patch);
        self.api
            .patch(&self.name, &PatchParams::default(), &patch)
            .await
    }
}

/// The HTTP status of an API server's refusal.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn has_code(error: &Error, code: u16) -> bool {
    status(error) == Some(code)
}

fn stored(secret: Secret) -> Option<Stored> {
    let tag = secret.metadata.resource_version.unwrap_or_default();
    let bytes = secret.data?.remove(RING)?.0;
    Some(Stored { bytes, tag })
}

impl SecretRing {
    /// The ring in a Secret, which is made by the first save.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self(Named::new(client, namespace, name))
    }

    async fn put(&self, entries: &Value, expected: &Expected) -> Result<Option<Secret>, Error> {
        let Self(named) = self;
        match expected {
            Expected::Unchanged(version) => named.merge(entries, Some(version)).await.map(Some),
            Expected::Absent => match named.api.get_opt(&named.name).await? {
                None => named.create(entries).await.map(Some),
                Some(found) if stored(found.clone()).is_none() => {
                    // Made by hand, or emptied.
                    let version = found.metadata.resource_version.as_deref();
                    named.merge(entries, version).await.map(Some)
                }
                Some(_) => Ok(None),
            },
        }
    }
}

impl RingStore for SecretRing {
    async fn load(&self) -> Result<Option<Stored>, StateError> {
        Ok(self.0.read().await?.and_then(stored))
    }

    async fn save(&self, bytes: &[u8], expected: &Expected) -> Result<String, StateError> {
        let conflict = || StateError::Conflict(self.0.full_name());
        let entries = json!({RING: BASE64.encode(bytes)});
        let error = match self.put(&entries, expected).await {
            Ok(Some(saved)) => return Ok(saved.metadata.resource_version.unwrap_or_default()),
            Ok(None) => return Err(conflict()),
            Err(error) => error,
        };
        // A first attempt may have arrived though its answer did not: then ours is what stands there.
        match self.load().await {
            Ok(Some(found)) if found.bytes == bytes => Ok(found.tag),
            // Gone, in a store that had it: also somebody else's work.
            _ if has_code(&error, 409)
                || has_code(&error, 404) && *expected != Expected::Absent =>
            {
                Err(conflict())
            }
            _ => Err(self.0.fail("written")(error)),
        }
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}

impl SecretKeys {
    /// The keys in a Secret, which is made for the first one.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self(Named::new(client, namespace, name))
    }

    /// Where that is.
    pub fn place(&self) -> String {
        format!("Secret \"{}\"", self.0.full_name())
    }

    /// The keys whose private half is there, read back: an entry that holds another key than its name says, or none, is
    /// no key at rest.
    pub async fn kids(&self) -> Result<BTreeSet<Kid>, StateError> {
        let entries = self.entries().await?;
        let kids = entries.iter().filter_map(|(kid, pem)| {
            let key = PrivateKeyPem::parse(pem).ok()?;
            (key.public_key().kid() == *kid).then(|| kid.clone())
        });
        Ok(kids.collect())
    }

    /// The keys of which there is an entry, whatever is in it.
    pub async fn names(&self) -> Result<BTreeSet<Kid>, StateError> {
        let entries = self.entries().await?;
        Ok(entries.into_iter().map(|(kid, _)| kid).collect())
    }

    /// Whose keys these are.
    pub(super) async fn owner(&self) -> Result<Option<String>, StateError> {
        self.annotation(OWNER).await
    }

    /// The name that the place was given.
    pub(super) async fn place_id(&self) -> Result<Option<String>, StateError> {
        self.annotation(PLACE).await
    }

    async fn annotation(&self, name: &str) -> Result<Option<String>, StateError> {
        let Some(secret) = self.0.read().await? else {
            return Ok(None);
        };
        let found = secret
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(name).cloned());
        wipe_secret(secret);
        Ok(found)
    }

    /// Says whose they are, and names the place, unless somebody has.
    pub(super) async fn bind(&self, issuer: &IssuerUrl, name: &str) -> Result<(), StateError> {
        let Self(named) = self;
        let mut annotations = BTreeMap::from([(OWNER, issuer.as_str()), (PLACE, name)]);
        let bound = match named.read().await? {
            Some(found) => {
                let version = found.metadata.resource_version.clone();
                for known in found.metadata.annotations.iter().flatten() {
                    annotations.remove(known.0.as_str());
                }
                wipe_secret(found);
                if annotations.is_empty() {
                    return Ok(());
                }
                let metadata = json!({"annotations": annotations, "resourceVersion": version});
                let patch = Patch::Merge(json!({"metadata": metadata}));
                named
                    .api
                    .patch(&named.name, &PatchParams::default(), &patch)
                    .await
            }
            None => named.create_with(&json!({}), &json!(annotations)).await,
        };
        match bound {
            Ok(secret) => {
                wipe_secret(secret);
                Ok(())
            }
            // Somebody was faster; whose it is now is asked next.
            Err(error) if has_code(&error, 409) => Ok(()),
            Err(error) => Err(named.fail("written")(error)),
        }
    }

    /// A key.
    pub async fn read(&self, kid: &Kid) -> Result<PrivateKeyPem, StateError> {
        let entries = self.entries().await?;
        let found = entries.iter().find(|(name, _)| name == kid);
        let key = found.and_then(|(_, pem)| PrivateKeyPem::parse(pem).ok());
        key.filter(|key| key.public_key().kid() == *kid)
            .ok_or_else(|| StateError::Unreadable {
                kid: kid.clone(),
                place: self.place(),
            })
    }

    /// Stores a new key, and reads it back.
    pub async fn store(&self, key: &PrivateKeyPem) -> Result<(), StateError> {
        let Self(named) = self;
        let kid = key.public_key().kid();
        let text = Zeroizing::new(BASE64.encode(key.expose_pem()));
        let entries = json!({format!("{kid}{KEY}"): *text});
        let written = match named.merge(&entries, None).await {
            Err(error) if has_code(&error, 404) => match named.create(&entries).await {
                // Another node was faster.
                Err(error) if has_code(&error, 409) => named.merge(&entries, None).await,
                made => made,
            },
            merged => merged,
        };
        wipe(entries);
        wipe_secret(written.map_err(named.fail("written"))?);
        self.read(&kid).await.map(drop)
    }

    /// Destroys a key; one that is not there is destroyed already. What etcd keeps of former revisions goes with its
    /// next compaction, and backups of it keep theirs.
    pub async fn erase(&self, kid: &Kid) -> Result<(), StateError> {
        let entries = json!({format!("{kid}{KEY}"): null});
        match self.0.merge(&entries, None).await {
            Ok(left) => {
                wipe_secret(left);
                Ok(())
            }
            Err(error) if has_code(&error, 404) => Ok(()),
            Err(error) => Err(self.0.fail("written")(error)),
        }
    }

    async fn entries(&self) -> Result<Vec<(Kid, Zeroizing<Vec<u8>>)>, StateError> {
        let Some(secret) = self.0.read().await? else {
            return Ok(Vec::new());
        };
        let entries = secret.data.unwrap_or_default().into_iter();
        let entry = |(name, text): (String, k8s_openapi::ByteString)| {
            let text = Zeroizing::new(text.0);
            Some((Kid::parse(name.strip_suffix(KEY)?)?, text))
        };
        Ok(entries.filter_map(entry).collect())
    }
}

/// What an answer repeats of private keys must not stay in memory.
fn wipe_secret(secret: Secret) {
    for (_, mut text) in secret.data.unwrap_or_default() {
        text.0.zeroize();
    }
}

fn wipe(entries: Value) {
    if let Value::Object(entries) = entries {
        for (_, value) in entries {
            if let Value::String(mut text) = value {
                text.zeroize();
            }
        }
    }
}
