//! The real world of a rotation: documents in directories, the issuer URL, API servers, and this node's manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use irsa_apiserver::component::Role;
use irsa_apiserver::distro::Distro;
use irsa_apiserver::file;
use irsa_apiserver::flags::Flag;
use irsa_apiserver::live::ApiServer;
use irsa_apiserver::patch::Manifest;
use irsa_core::block::KeyFile;
use irsa_core::documents::IssuerDocuments;
use irsa_core::issuer::{IssuerUrl, JwksUri};
use irsa_core::jwks::JwkSet;
use irsa_core::keys::PublicKey;
use irsa_core::kid::Kid;
use irsa_core::observation::{Disk, Loaded, Observation, Published, Server, Sink};
use irsa_core::private::PrivateKeyPem;
use irsa_core::publication;
use irsa_core::rotation::Action;
use irsa_core::token::Token;
use irsa_core::token::claims::ServiceAccount;
use irsa_issuer::keyfile;
use irsa_issuer::keygen::{self, KeyKind};
use irsa_issuer::publish::dir::Directory;
use irsa_issuer::publish::{self, Publisher as _};
use irsa_issuer::relying_party::{FetchError, RelyingParty};
use irsa_issuer::state::keys::KeysAtRest;

use super::gates;
use super::node::Node;
use crate::commands::apiserver::about;
use crate::drive::World;
use crate::report::Failure;

/// Everything outside.
pub(super) struct Outside<'a> {
    pub(super) issuer: IssuerUrl,
    pub(super) jwks_uri: Option<JwksUri>,
    pub(super) kind: KeyKind,
    pub(super) keys: KeysAtRest,
    pub(super) sinks: Vec<(String, PathBuf)>,
    pub(super) relying_party: RelyingParty,
    pub(super) servers: Vec<ApiServer>,
    pub(super) account: ServiceAccount,
    pub(super) config: kube::Config,
    pub(super) node: Option<Node<'a>>,
    /// Every public key that was seen anywhere, so that one can be put back.
    pub(super) seen: BTreeMap<Kid, PublicKey>,
}

impl<'a> Outside<'a> {
    /// The path of the JWKS in a sink.
    fn jwks_path(&self) -> Result<String, Failure> {
        let uri = self
            .jwks_uri
            .clone()
            .unwrap_or_else(|| self.issuer.default_jwks_uri());
        uri.below(&self.issuer).map(str::to_owned).ok_or_else(|| {
            Failure::usage(
                format!("{uri} is not below the issuer {}", self.issuer),
                "the JWKS must stand where irsa publishes it",
            )
        })
    }

    fn remember(&mut self, set: &JwkSet) {
        for jwk in set.keys() {
            self.seen.insert(jwk.key.kid(), jwk.key.clone());
        }
    }

    async fn sinks(&mut self) -> Result<Vec<Sink>, Failure> {
        let path = self.jwks_path()?;
        let mut sinks = Vec::new();
        for (name, root) in self.sinks.clone() {
            let stored = Directory::new(root).get(&path).await?;
            let set = match stored {
                Some(stored) => JwkSet::parse(&stored.bytes)?,
                None => JwkSet::default(),
            };
            self.remember(&set);
            let published = Published::of(&set);
            sinks.push(Sink { name, published });
        }
        Ok(sinks)
    }

    async fn public(&mut self) -> Result<Published, Failure> {
        match self.relying_party.keys(&self.issuer).await {
            Ok(found) => {
                self.remember(&found.keys);
                Ok(Published::of(&found.keys))
            }
            // Before the first publication nothing is there.
            Err(FetchError::Status { status, .. }) if status.as_u16() == 404 => {
                Ok(Published::default())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks each server for its keys and a token, and every other one about that token.
    async fn servers(&mut self) -> Result<Vec<Server>, Failure> {
        let mut tokens: Vec<Option<String>> = Vec::new();
        for server in &self.servers {
            tokens.push(server.mint(&self.account, &[]).await.ok());
        }
        let mut found = Vec::new();
        for at in 0..self.servers.len() {
            let Some(server) = self.servers.get(at) else {
                continue;
            };
            let name = server.url().to_owned();
            let loaded = match ask(server, &self.servers, &tokens, at).await {
                Ok((set, signing, refuses)) => {
                    let trusted = set.keys().iter().map(|jwk| jwk.key.kid()).collect();
                    self.remember(&set);
                    Loaded::Serving {
                        trusted,
                        signing,
                        refuses,
                    }
                }
                Err(why) => Loaded::Unreachable { why },
            };
            let disk = match &self.node {
                Some(node) if node.server == name => Some(disk(node, &mut self.seen)?),
                Some(_) | None => None,
            };
            found.push(Server { name, loaded, disk });
        }
        Ok(found)
    }

    /// Writes a set of keys into a sink, and the discovery document beside it.
    async fn write(
        &self,
        sink: &str,
        edit: impl FnOnce(&mut Vec<PublicKey>),
        withdraw: &[String],
    ) -> Result<(), Failure> {
        let path = self.jwks_path()?;
        let found = self.sinks.iter().find(|(name, _)| name == sink);
        let Some((_, root)) = found else {
            return Ok(());
        };
        let directory = Directory::new(root.clone()).lock()?;
        let set = match directory.get(&path).await? {
            Some(stored) => JwkSet::parse(&stored.bytes)?,
            None => JwkSet::default(),
        };
        let mut keys: Vec<PublicKey> = set.keys().iter().map(|jwk| jwk.key.clone()).collect();
        edit(&mut keys);
        let documents = IssuerDocuments::render(self.issuer.clone(), self.jwks_uri.clone(), &keys)?;
        let observed = publish::observe(&directory, &documents).await?;
        let changes = publication::plan(&documents, &observed, withdraw)?;
        Ok(publish::apply(&directory, &changes).await?)
    }

    fn public_key(&self, kid: &Kid) -> Result<PublicKey, Failure> {
        if let Ok(key) = self.keys.read(kid) {
            return Ok(key.public_key().clone());
        }
        self.seen.get(kid).cloned().ok_or_else(|| {
            Failure::usage(
                format!("the public half of key {kid} is nowhere"),
                "put it back, or declare the key lost: irsa rotate --compromised KID",
            )
        })
    }

    fn node(&self) -> Result<&Node<'a>, Failure> {
        self.node.as_ref().ok_or_else(|| {
            Failure::usage(
                "this is not a run on a control-plane node",
                "add --manifest FILE and --here URL on each control-plane node",
            )
        })
    }
}

async fn ask(
    server: &ApiServer,
    all: &[ApiServer],
    tokens: &[Option<String>],
    at: usize,
) -> Result<(JwkSet, Kid, BTreeSet<String>), String> {
    let words = |error: &dyn std::error::Error| error.to_string();
    let jwks = server.jwks().await.map_err(|error| words(&error))?;
    let jwks = jwks.ok_or("it serves no JWKS: its first issuer must be https")?;
    let set = JwkSet::parse(jwks.as_bytes()).map_err(|error| words(&error))?;
    let token = tokens
        .get(at)
        .and_then(Option::as_ref)
        .ok_or("it makes no token")?;
    let token = Token::parse(token).map_err(|error| words(&error))?;
    let signing = token
        .kid()
        .and_then(Kid::parse)
        .ok_or("its tokens bear no Kubernetes kid")?;
    let mut refuses = BTreeSet::new();
    for (other, token) in all.iter().zip(tokens) {
        let Some(token) = token else { continue };
        let review = server.review(token).await.map_err(|error| words(&error))?;
        if !review.authenticated {
            refuses.insert(other.url().to_owned());
        }
    }
    Ok((set, signing, refuses))
}

/// What the API server of this node would load if it started now.
fn disk(node: &Node<'_>, seen: &mut BTreeMap<Kid, PublicKey>) -> Result<Disk, Failure> {
    let files = node.files()?;
    let mut trusted = BTreeSet::new();
    for (_, path) in &files.trusted {
        for key in public_keys(path)? {
            trusted.insert(key.kid());
            seen.insert(key.kid(), key);
        }
    }
    // kube-apiserver's own file: its mode is its owner's business here.
    let signing = PrivateKeyPem::parse(&keyfile::read(&files.signing)?)?;
    Ok(Disk {
        trusted,
        signing: signing.public_key().kid(),
    })
}

/// The keys of a file of an API server.
pub(super) fn public_keys(path: &Path) -> Result<Vec<PublicKey>, Failure> {
    let keys = KeyFile::parse(&keyfile::read(path)?).apiserver_keys();
    let keys = keys.map_err(|error| {
        Failure::usage(
            format!("{}: {error}", path.display()),
            "irsa keys inspect FILE shows what each block of the file is",
        )
    })?;
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

/// The key files that a manifest names, where they are on this host.
pub(super) struct Files {
    /// As the API server sees each, and as this host does.
    pub(super) trusted: Vec<(String, PathBuf)>,
    /// On this host.
    pub(super) signing: PathBuf,
}

impl Node<'_> {
    /// The key files of this node's API server.
    pub(super) fn files(&self) -> Result<Files, Failure> {
        let text = file::read(&self.manifest)?;
        let fail = |error: irsa_apiserver::patch::PatchError| about(&self.manifest, &error);
        let manifest =
            Manifest::read(&text, &self.manifest, Some(Distro::Kubeadm)).map_err(fail)?;
        let usage = |what: &str| {
            Failure::usage(
                format!("{} {what}", self.manifest.display()),
                "name the static pod manifest of kube-apiserver with --manifest",
            )
        };
        let mut components = manifest.components.iter();
        let component = components
            .find(|component| component.role == Role::ApiServer)
            .ok_or_else(|| usage("has no kube-apiserver"))?;
        let (_, flags) = manifest.flags(component).map_err(fail)?;
        let document = manifest.document(component).map_err(fail)?;
        let on_host = |file: &str| {
            let host = component.mounts.host_path(&document, file);
            let host = host.ok_or_else(|| usage(&format!("does not mount {file}")))?;
            Ok::<PathBuf, Failure>(self.root.join(host.trim_start_matches('/')))
        };
        let mut trusted = Vec::new();
        for file in flags.values(Flag::KeyFile) {
            trusted.push((file.clone(), on_host(file)?));
        }
        let signing = flags.value(Flag::SigningKeyFile);
        let signing =
            signing.ok_or_else(|| usage("names no --service-account-signing-key-file"))?;
        Ok(Files {
            trusted,
            signing: on_host(signing)?,
        })
    }
}

impl World for Outside<'_> {
    async fn observe(&mut self) -> Result<Observation, Failure> {
        let sinks = self.sinks().await?;
        let public = self.public().await?;
        let servers = self.servers().await?;
        let (holds, longest) = gates::look(&self.config).await?;
        Ok(Observation {
            public,
            sinks,
            servers,
            at_rest: self.keys.kids()?,
            holds,
            longest,
        })
    }

    fn new_key(&mut self) -> Result<PrivateKeyPem, Failure> {
        Ok(keygen::generate(self.kind)?)
    }

    fn keep(&mut self, key: &PrivateKeyPem) -> Result<(), Failure> {
        Ok(self.keys.store(key)?)
    }

    async fn apply(&mut self, action: &Action) -> Result<(), Failure> {
        match action {
            // Its two halves are `new_key` and `keep`.
            Action::Create { .. } => Ok(()),
            Action::Publish { kid, sink } => {
                let key = self.public_key(kid)?;
                self.write(sink, |keys| keys.push(key), &[]).await
            }
            Action::Withdraw { kid, sink } => {
                let withdraw = [kid.to_string()];
                self.write(sink, |keys| keys.retain(|key| key.kid() != *kid), &withdraw)
                    .await
            }
            Action::Trust { kid, .. } => {
                let public = if self.keys.read(kid).is_ok() {
                    self.keys.restore_public(kid)?
                } else {
                    return Err(Failure::usage(
                        format!(
                            "key {kid} is to be trusted, and its files are not where keys rest"
                        ),
                        "put the file of its public half back into --service-account-key-file",
                    ));
                };
                self.node()?.accept(public).await
            }
            Action::Promote(promotion) => {
                let private = self.keys.paths(promotion.kid()).private;
                self.node()?.sign(private).await
            }
            Action::Distrust { kid, .. } => self.node()?.retire(kid).await,
            Action::Erase { kid } => Ok(self.keys.erase(kid)?),
        }
    }
}
