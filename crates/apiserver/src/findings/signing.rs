//! Whether what signs is verified, and whether both programs sign with one key.

use std::collections::BTreeSet;

use irsa_core::explain::Explain;
use irsa_core::kid::Kid;

use super::{Finding, Findings, Inspected, Seen, Severity};
use crate::component::Role;
use crate::flags::Flag;
use crate::plan::Wanted;

/// A signing key that no API server is known to verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The files of this host show it.
    #[error("the signing key \"{path}\" (kid {kid}) is in none of the key files that are accepted: {}", .files.join(" "))]
    Missing {
        /// The signing key.
        path: String,
        /// Its kid.
        kid: Kid,
        /// What is accepted.
        files: Vec<String>,
    },
    /// Its files cannot be seen from here, and none is named for its public half.
    #[error("\"{path}\" is to sign, and no --key-file names the file that has its public half")]
    Unnamed {
        /// The signing key.
        path: String,
    },
}

impl Explain for Unverified {
    fn help(&self) -> Option<String> {
        Some(
            "add --key-file PATH with its public half, in phase accept on every API server first: without it they refuse every new \
             token; --allow-unverified-key if you know that it is accepted"
                .into(),
        )
    }
}

/// Refuses a component that would sign with a key that nobody verifies. `changed` says whether another file than before
/// is to sign; `peers` are the components that are brought to the same phase with it.
pub fn demand_verified(
    inspected: &Inspected<'_>,
    changed: bool,
    wanted: &Wanted,
    peers: &[&Inspected<'_>],
) -> Result<(), Unverified> {
    let Some((path, signing)) = inspected.signing else {
        return Ok(());
    };
    if inspected.role == Role::ControllerManager {
        // Its tokens are verified by kube-apiserver, which is judged by itself when it signs with the same file.
        let same = |peer: &&Inspected<'_>| {
            peer.role == Role::ApiServer && peer.signing.is_some_and(|(theirs, _)| theirs == path)
        };
        if !changed || !wanted.key_files.is_empty() || peers.iter().any(same) {
            return Ok(());
        }
        return Err(Unverified::Unnamed { path: path.clone() });
    }
    let unread = |file: &str| {
        let of_file =
            |(name, seen): &&(String, Seen<_>)| name == file && !matches!(seen, Seen::Read(_));
        inspected.key_files.iter().any(|one| of_file(&one))
    };
    // Its private half in a key file is accepted too.
    let named = wanted.key_files.iter().chain([path]);
    let could_hold = if let Seen::Read(kid) = signing {
        if read_kids(inspected).contains(kid) {
            return Ok(());
        }
        if verified_kids(inspected).is_some() {
            return Err(Unverified::Missing {
                path: path.clone(),
                kid: kid.clone(),
                files: inspected.flags.values(Flag::KeyFile).to_vec(),
            });
        }
        named.into_iter().any(|file| unread(file))
    } else {
        let accepted = inspected.flags.values(Flag::KeyFile);
        named.into_iter().any(|file| accepted.contains(file))
    };
    if !changed || could_hold {
        return Ok(());
    }
    Err(Unverified::Unnamed { path: path.clone() })
}

/// The fault between two components: the tokens of legacy Secrets are signed with a key of another pair.
pub fn between(api_server: &Inspected<'_>, controller_manager: &Inspected<'_>) -> Vec<Finding> {
    let (Some((path, theirs)), Some((our_path, ours))) =
        (controller_manager.signing, api_server.signing)
    else {
        return Vec::new();
    };
    let finding = |severity, message| {
        vec![Finding {
            severity,
            occurrence: None,
            message,
            help: "set --service-account-private-key-file of kube-controller-manager to the signing key too: tokens of \
                   legacy Secrets are refused once its old key is no longer accepted"
                .to_owned(),
        }]
    };
    match (theirs, ours) {
        (Seen::Read(theirs), Seen::Read(ours)) if theirs == ours => Vec::new(),
        (Seen::Read(theirs), ours) => {
            let verified = verified_kids(api_server);
            let ours = match ours {
                Seen::Read(ours) => format!("key {ours}"),
                _ if path == our_path => return Vec::new(),
                _ => format!("\"{our_path}\""),
            };
            finding(
                match verified {
                    Some(kids) if !kids.contains(theirs) => Severity::Problem,
                    _ => Severity::Note,
                },
                format!(
                    "kube-controller-manager signs with key {theirs} (\"{path}\"), kube-apiserver with {ours}"
                ),
            )
        }
        _ if path == our_path => Vec::new(),
        _ => finding(
            Severity::Note,
            format!(
                "kube-controller-manager signs with \"{path}\", kube-apiserver with \"{our_path}\": whether they are one key \
                 cannot be seen from here"
            ),
        ),
    }
}

impl Findings<'_> {
    pub(super) fn keys_are_set(&mut self) {
        let Inspected { flags, whole, .. } = self.inspected;
        if !whole || flags.has(Flag::SigningEndpoint) {
            return;
        }
        for flag in [Flag::KeyFile, Flag::SigningKeyFile] {
            if !flags.has(flag) {
                self.problem(
                    None,
                    format!("{flag} is not set"),
                    "kube-apiserver does not start without it (before 1.36 it verified with the key of its own TLS certificate)",
                );
            }
        }
    }

    pub(super) fn signing_key_is_verified(&mut self) {
        let Some((path, Seen::Read(kid))) = self.inspected.signing else {
            return;
        };
        if let Some(verified) = verified_kids(self.inspected)
            && !verified.contains(kid)
        {
            self.problem(
                Some((Flag::SigningKeyFile, path)),
                format!(
                    "the signing key \"{path}\" (kid {kid}) is in no --service-account-key-file"
                ),
                "add its public half: kube-apiserver signs tokens that it refuses itself",
            );
        }
    }
}

/// The keys that are accepted, of the files that could be read.
fn read_kids(inspected: &Inspected<'_>) -> BTreeSet<Kid> {
    let read = inspected
        .key_files
        .iter()
        .filter_map(|(_, seen)| match seen {
            Seen::Read(file) => file.apiserver_keys().ok(),
            _ => None,
        });
    read.flatten().map(|(_, key)| key.kid()).collect()
}

/// The keys that are accepted, when every file could be read.
fn verified_kids(inspected: &Inspected<'_>) -> Option<BTreeSet<Kid>> {
    let mut kids = BTreeSet::new();
    for (_, seen) in inspected.key_files {
        let Seen::Read(file) = seen else { return None };
        kids.extend(
            file.apiserver_keys()
                .ok()?
                .into_iter()
                .map(|(_, key)| key.kid()),
        );
    }
    Some(kids)
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
