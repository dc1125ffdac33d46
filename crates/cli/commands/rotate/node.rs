//! This control-plane node: its part of each phase, done by the rollout of `irsa apiserver`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use irsa_apiserver::live::ApiServer;
use irsa_core::jwks::JwkSet;
use irsa_core::keys::PublicKey;
use irsa_core::kid::Kid;
use irsa_issuer::keyfile::PairPaths;
use irsa_issuer::state::dir;
use irsa_issuer::state::keys::{AnyKeys, KeysAtRest};

use super::files::public_keys;
use crate::commands::apiserver::patch::PhaseArg;
use crate::commands::apiserver::rollout::{self, Held};
use crate::commands::apiserver::servers::ClusterArgs;
use crate::commands::apiserver::wanted::WantedArgs;
use crate::context::Context;
use crate::report::Failure;

/// Between two looks at an API server that is to forget a key.
const INTERVAL: Duration = Duration::from_millis(500);
/// A file that has been half-written for so long never gets whole.
const DEAD: Duration = Duration::from_hours(1);

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
    /// The turn of a rollout that is under way.
    pub(super) held: Held,
    pub(super) context: &'a Context,
}

/// Key files for the time of one rollout, from a place that has none.
struct Staged {
    pair: PairPaths,
    /// Removed at the end; nothing if the files are where keys rest.
    directory: Option<PathBuf>,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            // What is left after a crash goes at the next run.
            drop(fs::remove_dir_all(directory));
        }
    }
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

    /// Ends what a rollout left that was killed here: other nodes wait for it.
    pub(super) async fn settle(&self) -> Result<(), Failure> {
        rollout::settle_dead(&self.rollout(PhaseArg::Accept), &self.held).await
    }

    /// Makes its API server accept a key.
    pub(super) async fn accept(&self, key: &PublicKey) -> Result<(), Failure> {
        let staged = self.staging(&key.kid())?;
        fs::write(&staged.pair.public, key.to_pem())
            .map_err(|error| self.fault("filled", error))?;
        let args = rollout::Args {
            place_key: vec![staged.pair.public.clone()],
            ..self.rollout(PhaseArg::Accept)
        };
        rollout::roll_out(args, self.context, &self.held)
            .await
            .map(drop)
    }

    /// Makes its API server sign with a key.
    pub(super) async fn sign(&self, kid: &Kid, keys: &AnyKeys) -> Result<(), Failure> {
        let staged = self.stage(kid, keys).await?;
        let args = rollout::Args {
            place_signing_key: Some(staged.pair.private.clone()),
            ..self.rollout(PhaseArg::Sign)
        };
        rollout::roll_out(args, self.context, &self.held)
            .await
            .map(drop)
    }

    /// Makes its API server refuse a key, and removes the copies of it that were placed for that server.
    pub(super) async fn retire(
        &self,
        kid: &Kid,
        server: Option<&ApiServer>,
    ) -> Result<(), Failure> {
        let mut remove = Vec::new();
        for (file, path) in self.files()?.trusted {
            let keys = public_keys(&path)?;
            if !keys.iter().any(|key| key.kid() == *kid) {
                continue;
            }
            if keys.iter().any(|key| key.kid() != *kid) {
                return Err(Failure::failed(
                    format!(
                        "{} holds key {kid}, which is to go, and others, which are to stay",
                        path.display()
                    ),
                    "split it into a file for each key and name each with --service-account-key-file",
                ));
            }
            remove.push(file);
        }
        if remove.is_empty() {
            // A run that died has changed the files: the process is starting anew, or nobody tells it to.
            if let Some(server) = server {
                self.until_forgotten(kid, server).await?;
            }
        } else {
            let args = rollout::Args {
                remove_key_file: remove,
                ..self.rollout(PhaseArg::Retire)
            };
            rollout::roll_out(args, self.context, &self.held).await?;
        }
        self.sweep()?;
        Ok(self.copies().erase(kid)?)
    }

    async fn until_forgotten(&self, kid: &Kid, server: &ApiServer) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Ok(Some(text)) = server.jwks().await
                && !JwkSet::parse(text.as_bytes())?.contains(kid.as_str())
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Failure::failed(
                    format!(
                        "API server {} accepts tokens of key {kid}, which is in none of its key files any more",
                        self.server
                    ),
                    "its process is older than its files: restart it, for example with crictl stop $(crictl ps -q --name kube-apiserver)",
                ));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn placed(&self) -> PathBuf {
        self.root.join(self.key_directory.trim_start_matches('/'))
    }

    /// What a rotation has placed for this node's API server.
    pub(super) fn copies(&self) -> KeysAtRest {
        KeysAtRest::new(self.placed())
    }

    /// Keeps other runs away from this node's files, and removes what a dead one left of a key.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        let placed = self.placed();
        fs::create_dir_all(&placed).map_err(|error| self.fault("made", error))?;
        let lock = dir::lock_file(&placed)?;
        if let Err(error) = fs::remove_dir_all(placed.join(STAGING))
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(self.fault("cleared", error));
        }
        Ok(lock)
    }

    /// Removes what rollouts that were killed left half-written.
    fn sweep(&self) -> Result<(), Failure> {
        let placed = self.placed();
        let entries = match fs::read_dir(&placed) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.fault("read", error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| self.fault("read", error))?;
            let half = entry
                .file_name()
                .to_string_lossy()
                .starts_with(HALF_WRITTEN);
            let age = entry.metadata().and_then(|metadata| metadata.modified());
            let age = age
                .ok()
                .and_then(|at| SystemTime::now().duration_since(at).ok());
            if half && age.is_some_and(|age| age > DEAD) && entry.path().is_file() {
                fs::remove_file(entry.path()).map_err(|error| self.fault("cleared", error))?;
            }
        }
        Ok(())
    }

    fn fault(&self, what: &str, error: io::Error) -> Failure {
        let path = self.placed();
        Failure::system(&format!("\"{}\" cannot be {what}", path.display()), &error)
    }

    /// The files of a signing key: where it rests, or for the time of one rollout beside the place where it is going to
    /// be.
    async fn stage(&self, kid: &Kid, keys: &AnyKeys) -> Result<Staged, Failure> {
        match keys {
            AnyKeys::Directory(keys) => Ok(Staged {
                pair: keys.paths(kid),
                directory: None,
            }),
            AnyKeys::Secret(keys) => {
                let key = keys.read(kid).await?;
                let staged = self.staging(kid)?;
                staged.pair.create(&key)?;
                Ok(staged)
            }
        }
    }

    /// An empty directory of our own for the files of a key.
    fn staging(&self, kid: &Kid) -> Result<Staged, Failure> {
        let directory = self.placed().join(STAGING);
        let pair = PairPaths::new(&directory, kid.as_str());
        make_private(&directory).map_err(|error| self.fault("made", error))?;
        Ok(Staged {
            pair,
            directory: Some(directory),
        })
    }
}

/// Below the place of keys, so that it is on the same file system and under the same eyes.
const STAGING: &str = ".irsa-staging";
/// How the names of files begin that a rollout is writing.
const HALF_WRITTEN: &str = irsa_files::UNFINISHED;

fn make_private(directory: &Path) -> io::Result<()> {
    if let Err(error) = fs::remove_dir_all(directory)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}
