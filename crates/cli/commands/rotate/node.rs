//! This control-plane node: its part of each phase, done by the rollout of `irsa apiserver`.

use std::path::PathBuf;
use std::time::Duration;

use irsa_core::kid::Kid;

use super::world::public_keys;
use crate::commands::apiserver::patch::PhaseArg;
use crate::commands::apiserver::rollout;
use crate::commands::apiserver::servers::ClusterArgs;
use crate::commands::apiserver::wanted::WantedArgs;
use crate::context::Context;
use crate::report::Failure;

/// A node and how it is rolled out.
pub(super) struct Node<'a> {
    /// The address of its API server, which is its name.
    pub(super) server: String,
    pub(super) manifest: PathBuf,
    pub(super) controller_manager_manifest: Option<PathBuf>,
    pub(super) peers: Vec<String>,
    pub(super) key_directory: String,
    pub(super) wanted: WantedArgs,
    pub(super) cluster: ClusterArgs,
    pub(super) allow_single: bool,
    pub(super) timeout: Duration,
    pub(super) root: PathBuf,
    pub(super) backup: Option<PathBuf>,
    pub(super) context: &'a Context,
}

impl Node<'_> {
    fn rollout(&self, phase: PhaseArg) -> rollout::Args {
        rollout::Args {
            wanted: self.wanted.clone(),
            place_key: Vec::new(),
            place_signing_key: None,
            key_directory: self.key_directory.clone(),
            phase,
            remove_issuer: Vec::new(),
            remove_key_file: Vec::new(),
            manifest: self.manifest.clone(),
            controller_manager_manifest: self.controller_manager_manifest.clone(),
            server: Some(self.server.clone()),
            peer: self.peers.clone(),
            cluster: self.cluster.clone(),
            allow_single: self.allow_single,
            timeout: self.timeout,
            root: self.root.clone(),
            backup: self.backup.clone(),
            dry_run: false,
        }
    }

    /// Makes its API server accept a key.
    pub(super) async fn accept(&self, public: PathBuf) -> Result<(), Failure> {
        let args = rollout::Args {
            place_key: vec![public],
            ..self.rollout(PhaseArg::Accept)
        };
        rollout::roll_out(args, self.context).await.map(drop)
    }

    /// Makes its API server sign with a key.
    pub(super) async fn sign(&self, private: PathBuf) -> Result<(), Failure> {
        let args = rollout::Args {
            place_signing_key: Some(private),
            ..self.rollout(PhaseArg::Sign)
        };
        rollout::roll_out(args, self.context).await.map(drop)
    }

    /// Makes its API server refuse a key, and removes the copies of it that were placed for that server.
    pub(super) async fn retire(&self, kid: &Kid) -> Result<(), Failure> {
        let mut remove = Vec::new();
        for (file, path) in self.files()?.trusted {
            let keys = public_keys(&path)?;
            if !keys.iter().any(|key| key.kid() == *kid) {
                continue;
            }
            if keys.iter().any(|key| key.kid() != *kid) {
                return Err(Failure::usage(
                    format!(
                        "{} holds key {kid}, which is to go, and others, which are to stay",
                        path.display()
                    ),
                    "split it into a file for each key and name each with --service-account-key-file",
                ));
            }
            remove.push(file);
        }
        let args = rollout::Args {
            remove_key_file: remove,
            ..self.rollout(PhaseArg::Retire)
        };
        rollout::roll_out(args, self.context).await?;
        let placed = self.root.join(self.key_directory.trim_start_matches('/'));
        irsa_issuer::state::keys::KeysAtRest::new(placed).erase_if_there(kid)?;
        Ok(())
    }
}
