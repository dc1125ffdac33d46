//! Every service account of the cluster, small enough to keep.
//!
//! A cluster may have fifty thousand of them, most without an annotation of ours: those cost their name. Namespaces
//! are stored once. Readers take a lock for one look-up and never wait for the network.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::identity::Identity;

type Namespace = HashMap<Box<str>, Option<Arc<Identity>>>;

/// A service account as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Not seen.
    Missing,
    /// Seen, without any annotation of ours.
    Bare,
    /// Seen with annotations.
    Annotated(Arc<Identity>),
}

/// The store.
#[derive(Debug, Default)]
pub struct Accounts(RwLock<HashMap<Box<str>, Namespace>>);

/// A complete list on its way into the store.
#[derive(Debug, Default)]
pub struct Listing(HashMap<Box<str>, Namespace>);

impl Accounts {
    /// What is known about a service account.
    pub fn find(&self, namespace: &str, name: &str) -> Entry {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match all.get(namespace).and_then(|names| names.get(name)) {
            None => Entry::Missing,
            Some(None) => Entry::Bare,
            Some(Some(identity)) => Entry::Annotated(Arc::clone(identity)),
        }
    }

    /// Takes in one that was made or changed.
    pub fn apply(&self, namespace: &str, name: &str, identity: Identity) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        insert(&mut all, namespace, name, identity);
    }

    /// Forgets one that was deleted.
    pub fn delete(&self, namespace: &str, name: &str) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) = all.get_mut(namespace) {
            names.remove(name);
            if names.is_empty() {
                all.remove(namespace);
            }
        }
    }

    /// Replaces everything: what is not in the list was deleted unseen.
    pub fn replace(&self, listing: Listing) {
        let old = {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *all, listing.0)
        };
        // Freeing fifty thousand entries holds no reader up.
        drop(old);
    }

    /// How many service accounts are known, and how many of them have a role.
    pub fn count(&self) -> (usize, usize) {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entries = || all.values().flat_map(HashMap::values);
        let roles = entries()
            .flatten()
            .filter(|identity| identity.role.is_some())
            .count();
        (entries().count(), roles)
    }

    /// Every service account, as `NAMESPACE/NAME` and its annotations; for debugging.
    pub fn dump(&self) -> Vec<(String, Option<Arc<Identity>>)> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entries = all.iter().flat_map(|(namespace, names)| {
            names
                .iter()
                .map(move |(name, identity)| (format!("{namespace}/{name}"), identity.clone()))
        });
        entries.collect()
    }
}

impl Listing {
    /// Adds one of the list.
    pub fn add(&mut self, namespace: &str, name: &str, identity: Identity) {
        insert(&mut self.0, namespace, name, identity);
    }
}

fn insert(all: &mut HashMap<Box<str>, Namespace>, namespace: &str, name: &str, identity: Identity) {
    let identity = (!identity.is_bare()).then(|| Arc::new(identity));
    // Two look-ups instead of a copy of the name: most namespaces are there already.
    if !all.contains_key(namespace) {
        all.insert(namespace.into(), Namespace::new());
    }
    if let Some(names) = all.get_mut(namespace) {
        names.insert(name.into(), identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_role() -> Identity {
        Identity::from_annotations("p", [("p/role-arn", "r")])
    }

    #[test]
    fn accounts_come_change_and_go() {
        let accounts = Accounts::default();
        assert_eq!(accounts.find("a", "b"), Entry::Missing);
        accounts.apply("a", "b", Identity::default());
        assert_eq!(accounts.find("a", "b"), Entry::Bare);
        accounts.apply("a", "b", with_role());
        let annotated = Entry::Annotated(Arc::new(with_role()));
        assert_eq!(accounts.find("a", "b"), annotated);
        assert_eq!(accounts.find("b", "a"), Entry::Missing);
        accounts.delete("a", "b");
        accounts.delete("a", "b");
        assert_eq!(accounts.find("a", "b"), Entry::Missing);
        assert_eq!(accounts.count(), (0, 0));
    }

    #[test]
    fn a_list_replaces_everything() {
        let accounts = Accounts::default();
        accounts.apply("old", "old", with_role());
        let mut listing = Listing::default();
        listing.add("a", "b", with_role());
        listing.add("a", "c", Identity::default());
        accounts.replace(listing);
        assert_eq!(accounts.find("old", "old"), Entry::Missing);
        assert_eq!(accounts.count(), (2, 1));
    }

    /// K12: fifty thousand are all there.
    #[test]
    fn k12_fifty_thousand_accounts() {
        let accounts = Accounts::default();
        assert_eq!(accounts.dump().len(), 0);
        for n in 0..50_000 {
            accounts.apply(&format!("ns-{}", n % 500), &format!("sa-{n}"), with_role());
        }
        assert_eq!(accounts.dump().len(), 50_000);
        assert_eq!(accounts.count(), (50_000, 50_000));
    }
}
