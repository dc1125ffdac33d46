//! Servers that somebody else gave the first key's files: kubeadm, which writes a manifest anew or makes a node join.

use std::collections::BTreeSet;

use super::World;
#[cfg(test)]
use super::{ApiServer, Disk, kid};
use crate::kid::Kid;
#[cfg(test)]
use crate::ring::RingKey;
use crate::ring::{KeyRing, Stage};

impl World {
    /// A manifest is written anew.
    #[cfg(test)]
    pub(crate) fn write_anew(&mut self, server: usize) {
        let disk = Disk::new([kid(1)].into(), kid(1));
        if let Some(server) = self.servers.get_mut(server) {
            server.loaded = disk.clone();
            server.disk = disk;
        }
        self.anew.insert(server);
        self.mend();
    }

    /// A node joins.
    #[cfg(test)]
    pub(crate) fn join(&mut self) {
        let disk = Disk::new([kid(1)].into(), kid(1));
        self.servers.push(ApiServer {
            loaded: disk.clone(),
            disk,
        });
        self.anew.insert(self.servers.len() - 1);
        self.mend();
    }

    /// Somebody destroys the private half of the key that signs.
    #[cfg(test)]
    pub(crate) fn lose_signing(&mut self) {
        let ring = self.store.as_ref();
        let Some(kid) = ring.and_then(KeyRing::signing).map(|key| key.kid.clone()) else {
            return;
        };
        self.at_rest.remove(&kid);
        self.lost.insert(kid);
    }

    /// Whether what a server does is still the work of whoever wrote it anew.
    pub(super) fn is_anew(&self, server: usize) -> bool {
        self.anew.contains(&server)
    }

    /// Whether a server makes tokens that are nobody's fault but that of whoever wrote it anew.
    pub(super) fn is_astray(&self, at: usize, signing: &Kid) -> bool {
        let spent = |ring: &KeyRing| {
            ring.key(signing)
                .is_none_or(|key| matches!(key.stage, Stage::Draining { .. }))
        };
        self.is_anew(at) && self.store.as_ref().is_none_or(spent)
    }

    /// Whether a server signs with a key that is retired.
    #[cfg(test)]
    pub(crate) fn signs_with_retired(&self) -> bool {
        let Some(ring) = &self.store else {
            return false;
        };
        let kept = |key: &RingKey| key.is_public() && key.is_trusted();
        let retired = |server: &ApiServer| !ring.key(&server.loaded.signing).is_some_and(kept);
        self.servers.iter().any(retired)
    }

    /// What does as the ring says is what runs have made of it.
    pub(super) fn mend(&mut self) {
        let Some(ring) = &self.store else { return };
        let servers = &self.servers;
        self.anew.retain(|at| {
            servers.get(*at).is_some_and(|server| {
                let files = [&server.loaded, &server.disk];
                let wanted = ring.keys().iter().filter(|key| key.is_trusted());
                let wanted: BTreeSet<&Kid> = wanted.map(|key| &key.kid).collect();
                let trusts = files
                    .iter()
                    .all(|disk| disk.trusted.iter().eq(wanted.iter().copied()));
                let signs = files.iter().all(|disk| {
                    let key = ring.key(&disk.signing);
                    key.is_some_and(|key| key.is_public() && key.is_trusted())
                });
                !(trusts && signs)
            })
        });
    }
}
