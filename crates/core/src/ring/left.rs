//! What a rotation leaves in the distribution's own files.

use super::{Event, KeyRing, What};
use crate::kid::Kid;

/// Key files of a node that hold a retired key, and that its distribution would use again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind<'a> {
    /// Which API server's node.
    pub server: &'a str,
    /// The retired key.
    pub kid: &'a Kid,
    /// The files.
    pub paths: Vec<&'a str>,
    /// Whether API servers still trust the key: then a manifest may name the public one of these files.
    pub trusted: bool,
    /// Whether the key is known to be in foreign hands.
    pub compromised: bool,
}

impl KeyRing {
    /// All of them, as the nodes have reported: what `kubeadm upgrade` and `kubeadm join` would put back.
    pub fn left_behind(&self) -> Vec<LeftBehind<'_>> {
        let mut found: Vec<LeftBehind<'_>> = Vec::new();
        for (server, record) in &self.servers {
            let spare = record.disk.iter().flat_map(|disk| &disk.spare);
            for (path, kid) in
                spare.flat_map(|(path, kids)| kids.iter().map(move |kid| (path, kid)))
            {
                let key = self.key(kid);
                if key.is_some_and(super::RingKey::is_public) || !self.knows(kid) {
                    continue;
                }
                let same = found
                    .iter_mut()
                    .find(|left| left.server == server && left.kid == kid);
                if let Some(left) = same {
                    left.paths.push(path);
                    continue;
                }
                found.push(LeftBehind {
                    server,
                    kid,
                    paths: vec![path],
                    trusted: key.is_some_and(super::RingKey::is_trusted),
                    compromised: self.is_recorded(What::Compromised, kid),
                });
            }
        }
        found
    }

    /// Whether the history tells that this was done to a key.
    pub(super) fn is_recorded(&self, what: What, kid: &Kid) -> bool {
        let of = |event: &Event| event.what == what && event.kid.as_ref() == Some(kid);
        self.history.iter().any(of)
    }
}
