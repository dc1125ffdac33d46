//! The world of a rehearsal: real documents behind a real endpoint, and stand-ins for the API servers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

use irsa_core::issuer::IssuerUrl;
use irsa_core::jwks::JwkSet;
use irsa_core::keys::PublicKey;
use irsa_core::kid::Kid;
use irsa_core::observation::{Disk, Lifetimes, Loaded, Observation, Server};
use irsa_core::private::PrivateKeyPem;
use irsa_core::rotation::Action;
use irsa_issuer::keygen::{self, KeyKind};
use irsa_issuer::publish::dir::Directory;
use irsa_issuer::relying_party::{RelyingParty, TIMEOUT};
use irsa_issuer::serve::SiteHandle;
use irsa_issuer::sign::Signer;
use irsa_issuer::source::replica::Replica;
use irsa_issuer::state::keys::KeysAtRest;

use super::super::gates::Known;
use super::super::sinks::{Heard, Place, Sinks};
use super::traffic::Traffic;
use super::{CACHE, TOKEN_TTL};
use crate::drive::World;
use crate::report::Failure;

/// What stands for an API server: the keys that it accepts, and the one that it signs with. It restarts in no time.
pub(super) struct StandIn {
    pub(super) name: String,
    pub(super) accepts: Vec<PublicKey>,
    pub(super) signer: Signer,
}

impl StandIn {
    pub(super) fn keys(&self) -> JwkSet {
        JwkSet::from_keys(&self.accepts)
    }

    fn kids(&self) -> BTreeSet<Kid> {
        self.accepts.iter().map(PublicKey::kid).collect()
    }
}

/// Everything that a rehearsal changes.
pub(super) struct Stage {
    pub(super) traffic: Traffic,
    servers: BTreeMap<String, StandIn>,
    sinks: Sinks,
    keys: KeysAtRest,
    endpoint: Replica<Directory>,
    site: SiteHandle,
    known: Known,
    /// The key that everybody signs with at the beginning. It stays here, as with somebody who copied it.
    old: Signer,
}

impl Stage {
    /// API servers that sign with one key, which is published.
    pub(super) async fn new(
        issuer: &IssuerUrl,
        folder: &Path,
        apiservers: u8,
        site: SiteHandle,
    ) -> Result<Self, Failure> {
        let public = folder.join("public");
        let first = keygen::generate(KeyKind::Rsa2048)?;
        let key = first.public_key().clone();
        let mut servers = BTreeMap::new();
        for number in 1..=apiservers {
            let name = format!("api-{number}");
            let stand_in = StandIn {
                name: name.clone(),
                accepts: vec![key.clone()],
                signer: Signer::new(&first)?,
            };
            servers.insert(name, stand_in);
        }
        let place = Place::Directory(public.clone());
        let directory = Directory::new(public.clone());
        let mut stage = Self {
            traffic: Traffic::new(issuer.clone())?,
            servers,
            sinks: Sinks {
                issuer: issuer.clone(),
                jwks_uri: None,
                places: vec![(format!("dir:{}", public.display()), place)],
                served: Vec::new(),
                relying_party: RelyingParty::new(None, TIMEOUT),
                heard: Heard::default(),
            },
            keys: KeysAtRest::new(folder.join("ring")),
            endpoint: Replica::new(vec![(issuer.clone(), directory)], CACHE)?,
            site,
            known: Known::new(),
            old: Signer::new(&first)?,
        };
        let sink = stage.sink();
        stage.sinks.write(&sink, |keys| keys.push(key), &[]).await?;
        stage.serve().await?;
        stage.use_tokens().await?;
        Ok(stage)
    }

    /// The key that is rotated away.
    pub(super) fn old_key(&self) -> &Kid {
        self.old.kid()
    }

    /// One round of the clients.
    pub(super) async fn use_tokens(&mut self) -> Result<(), Failure> {
        self.traffic.round(self.servers.values()).await
    }

    /// Who refuses what the old key signs now.
    pub(super) async fn use_old_key(&mut self) -> Result<Vec<String>, Failure> {
        self.traffic.forge(&self.old, self.servers.values()).await
    }

    fn sink(&self) -> String {
        let mut names = self.sinks.places.iter().map(|(name, _)| name.clone());
        names.next().unwrap_or_default()
    }

    /// Lets the endpoint serve what is published now.
    async fn serve(&mut self) -> Result<(), Failure> {
        let changes = self.endpoint.look(SystemTime::now()).await;
        if let Some(refused) = changes.refused.into_iter().next() {
            return Err(refused.error.into());
        }
        self.site.swap(self.endpoint.site()?);
        Ok(())
    }

    fn server(&mut self, name: &str) -> Result<&mut StandIn, Failure> {
        self.servers.get_mut(name).ok_or_else(|| {
            Failure::failed(
                format!("there is no API server \"{name}\" in this rehearsal"),
                "this is a bug in irsa: report it",
            )
        })
    }

    fn public_key(&self, kid: &Kid) -> Result<PublicKey, Failure> {
        match self.known.get(kid) {
            Some(key) => Ok(key.clone()),
            None => Ok(self.keys.read(kid)?.public_key().clone()),
        }
    }

    async fn change(&mut self, action: &Action) -> Result<(), Failure> {
        match action {
            Action::Create { .. } => {}
            Action::Publish { kid, sink } => {
                let key = self.public_key(kid)?;
                self.sinks.write(sink, |keys| keys.push(key), &[]).await?;
                self.serve().await?;
            }
            Action::Withdraw { kid, sink } => {
                let edit = |keys: &mut Vec<PublicKey>| keys.retain(|key| key.kid() != *kid);
                self.sinks.write(sink, edit, &[kid.to_string()]).await?;
                self.serve().await?;
            }
            Action::Trust { kid, server } => {
                let key = self.public_key(kid)?;
                self.server(server)?.accepts.push(key);
            }
            Action::Promote(promotion) => {
                let signer = Signer::new(&self.keys.read(promotion.kid())?)?;
                self.server(promotion.server())?.signer = signer;
            }
            Action::Distrust { kid, server } => {
                let accepts = &mut self.server(server)?.accepts;
                accepts.retain(|key| key.kid() != *kid);
            }
            Action::Erase { kid } => self.keys.erase(kid)?,
        }
        Ok(())
    }

    fn observe_server(&self, server: &StandIn) -> Server {
        // A fresh token is refused where its key is not accepted.
        let accepted = server.kids();
        let others = self.servers.values();
        let refused = others.filter(|other| !accepted.contains(other.signer.kid()));
        let signing = server.signer.kid().clone();
        Server {
            name: server.name.clone(),
            loaded: Loaded::Serving {
                trusted: accepted.clone(),
                signing: signing.clone(),
                refuses: refused.map(|other| other.name.clone()).collect(),
            },
            disk: Some(Disk::new(accepted.clone(), signing)),
            stale: None,
        }
    }
}

impl World for Stage {
    async fn observe(&mut self) -> Result<Observation, Failure> {
        Ok(Observation {
            sinks: self.sinks.written(&mut self.known).await?,
            public: self.sinks.public(&mut self.known).await?,
            servers: self
                .servers
                .values()
                .map(|server| self.observe_server(server))
                .collect(),
            at_rest: self.keys.kids()?,
            remains: self.keys.names()?,
            longest: Lifetimes {
                public: TOKEN_TTL,
                cluster: TOKEN_TTL,
            },
            ..Observation::default()
        })
    }

    fn new_key(&mut self) -> Result<PrivateKeyPem, Failure> {
        Ok(keygen::generate(KeyKind::Rsa2048)?)
    }

    async fn keep(&mut self, key: &PrivateKeyPem) -> Result<(), Failure> {
        Ok(self.keys.store(key)?)
    }

    async fn apply(&mut self, action: &Action) -> Result<(), Failure> {
        self.change(action).await?;
        // Also between any two steps of a run: that is when a wrong order would be seen.
        self.use_tokens().await
    }
}
