//! The real world of a rotation: documents, the issuer URL, API servers, and this node's manifest.

use irsa_apiserver::live::ApiServer;
use irsa_core::keys::PublicKey;
use irsa_core::kid::Kid;
use irsa_core::observation::Observation;
use irsa_core::private::PrivateKeyPem;
use irsa_core::rotation::Action;
use irsa_core::token::claims::ServiceAccount;
use irsa_issuer::keygen::{self, KeyKind};
use irsa_issuer::state::keys::AnyKeys;

use super::gates::{Cluster, Known};
use super::node::Node;
use super::servers;
use super::sinks::Sinks;
use crate::drive::World;
use crate::report::Failure;

/// Everything outside.
pub(super) struct Outside<'a> {
    pub(super) kind: KeyKind,
    pub(super) keys: AnyKeys,
    pub(super) sinks: Sinks,
    pub(super) servers: Vec<ApiServer>,
    pub(super) account: ServiceAccount,
    pub(super) cluster: Cluster,
    pub(super) node: Option<Node<'a>>,
    pub(super) ignore_stale_tokens: bool,
    /// Every public key that was seen anywhere, so that one can be put back.
    pub(super) known: Known,
}

impl<'a> Outside<'a> {
    async fn public_key(&self, kid: &Kid) -> Result<PublicKey, Failure> {
        if let Ok(key) = self.keys.read(kid).await {
            return Ok(key.public_key().clone());
        }
        self.known.get(kid).cloned().ok_or_else(|| {
            Failure::failed(
                format!("the public half of key {kid} is nowhere"),
                format!(
                    "if the key ring is from a backup, move it away: the next run makes another from what it sees. If the key is \
                     lost: irsa rotate --compromised {kid}"
                ),
            )
        })
    }

    fn node(&self) -> Result<&Node<'a>, Failure> {
        self.node.as_ref().ok_or_else(|| {
            Failure::failed(
                "this is not a run on a control-plane node",
                "add --manifest FILE and --here URL on each control-plane node",
            )
        })
    }
}

impl World for Outside<'_> {
    async fn observe(&mut self) -> Result<Observation, Failure> {
        let known = &mut self.known;
        let sinks = self.sinks.written(known).await?;
        let public = self.sinks.public(known).await?;
        let served = self.sinks.served(known).await?;
        let heard = self.sinks.heard.clone();
        let node = self.node.as_ref();
        let looked = servers::look(&self.servers, &self.account, node, known).await?;
        let mut clocks = looked.clocks;
        if let Some(ahead) = heard.ahead {
            clocks.insert(self.sinks.issuer.to_string(), ahead);
        }
        Ok(Observation {
            public,
            sinks,
            served,
            max_age: heard.max_age,
            max_age_at: heard.max_age_at,
            servers: looked.servers,
            clocks,
            keys_place: self.keys.place_id().await?,
            at_rest: self.keys.kids().await?,
            remains: self.keys.names().await?,
            holds: self.cluster.holds(known).await?,
            longest: self.cluster.lifetimes().await?,
            control_planes: self.cluster.control_planes().await?,
            stale_tokens_ignored: self.ignore_stale_tokens,
        })
    }

    fn new_key(&mut self) -> Result<PrivateKeyPem, Failure> {
        Ok(keygen::generate(self.kind)?)
    }

    async fn keep(&mut self, key: &PrivateKeyPem) -> Result<(), Failure> {
        Ok(self.keys.store(key).await?)
    }

    async fn ready(&mut self, action: &Action) -> Result<(), Failure> {
        match action {
            Action::Publish { kid, .. } | Action::Trust { kid, .. } => {
                self.public_key(kid).await.map(drop)
            }
            Action::Create { .. }
            | Action::Withdraw { .. }
            | Action::Promote(_)
            | Action::Distrust { .. }
            | Action::Erase { .. } => Ok(()),
        }
    }

    async fn apply(&mut self, action: &Action) -> Result<(), Failure> {
        match action {
            // Its two halves are `new_key` and `keep`.
            Action::Create { .. } => Ok(()),
            Action::Publish { kid, sink } => {
                let key = self.public_key(kid).await?;
                self.sinks.write(sink, |keys| keys.push(key), &[]).await
            }
            Action::Withdraw { kid, sink } => {
                let withdraw = [kid.to_string()];
                let edit = |keys: &mut Vec<PublicKey>| keys.retain(|key| key.kid() != *kid);
                self.sinks.write(sink, edit, &withdraw).await
            }
            Action::Trust { kid, .. } => {
                let key = self.public_key(kid).await?;
                self.node()?.accept(&key).await
            }
            Action::Promote(promotion) => self.node()?.sign(promotion.kid(), &self.keys).await,
            Action::Distrust { kid, server } => {
                let server = self.servers.iter().find(|each| each.url() == server);
                self.node()?.retire(kid, server).await
            }
            Action::Erase { kid } => Ok(self.keys.erase(kid).await?),
        }
    }
}
