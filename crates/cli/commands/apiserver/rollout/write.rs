//! What is changed on a node, each change proved or put back.

use std::path::PathBuf;
use std::time::Duration;

use irsa_apiserver::file::Backups;
use irsa_apiserver::plan::Phase;
use irsa_apiserver::rollout::{self, Goal};

use super::manifest::restore;
use super::node::Node;
use super::wait::{self, WaitError, silent};
use crate::report::{self, Failure};

impl Node {
    /// Replaces the manifest and waits for the new state; puts it back when that does not come. `elsewhere` is when the
    /// other API servers started.
    pub(super) async fn write_api_server(
        &self,
        backups: &Backups,
        elsewhere: Vec<f64>,
        timeout: Duration,
    ) -> Result<Vec<PathBuf>, Failure> {
        let goal = Goal {
            elsewhere,
            ..self.goal.clone()
        };
        let watched = self.watched(&goal);
        if !self.api_server.changes() {
            let reached = wait::until(&watched, None, timeout).await;
            return match reached {
                Ok(()) => Ok(Vec::new()),
                Err(lost) => Err(WaitError::NotShown {
                    server: self.server.url().to_owned(),
                    missing: lost.missing,
                }
                .into()),
            };
        }
        let started = self.server.started().await?;
        let started = started.ok_or_else(|| silent(&self.server))?;
        let backup = self.api_server.write(backups, goal.phase, started)?;
        let path = &self.api_server.standing.path;
        tracing::info!(manifest = %path.display(), "written: waiting for a new process of kube-apiserver that shows the new state");
        if let Err(lost) = wait::until(&watched, Some(started), timeout).await {
            tracing::warn!(missing = %lost.missing, "not in time: putting the manifest back");
            let restore = || restore(path, &self.api_server.patched.text, backups);
            return Err(wait::put_back(&self.server, restore, started, lost, timeout).await);
        }
        backups.proved(path)?;
        tracing::info!(
            server = self.server.url(),
            "kube-apiserver is ready and shows the new state"
        );
        Ok(vec![backup])
    }

    /// Shows every other API server a token that this one signed now.
    pub(super) async fn prove_to_peers(&self) -> Result<Vec<String>, Failure> {
        let token = self.server.mint(&self.account, &[]).await?;
        let mut proved = Vec::new();
        for peer in &self.peers {
            let Ok(review) = peer.review(&token).await else {
                report::warning(&format!(
                    "{} does not answer now: whether it accepts tokens of this node was not seen",
                    peer.url()
                ));
                continue;
            };
            if let Err(hold) = rollout::accepts(peer.url(), &review) {
                if self.goal.phase == Phase::Accept {
                    // Nothing changed in what it signs: this is what `irsa rotate` mends next, or a fault of its own.
                    report::warning(&format!(
                        "{} refuses what {} signs, which this phase does not change",
                        peer.url(),
                        self.server.url()
                    ));
                    continue;
                }
                return Err(WaitError::Refused {
                    server: self.server.url().to_owned(),
                    manifest: self.api_server.standing.path.clone(),
                    hold,
                }
                .into());
            }
            proved.push(format!(
                "{} accepts what {} signs",
                peer.url(),
                self.server.url()
            ));
        }
        Ok(proved)
    }

    /// Gives kube-controller-manager its key, and waits until a new process of it is healthy; puts the manifest back
    /// when that does not come.
    pub(super) async fn write_controller_manager(
        &self,
        backups: &Backups,
        timeout: Duration,
    ) -> Result<Option<PathBuf>, Failure> {
        let Some((file, manager)) = self.manager.as_ref().filter(|(file, _)| file.changes()) else {
            return Ok(None);
        };
        let started = manager.demand_started().await?;
        let backup = file.write(backups, self.goal.phase, started)?;
        let path = &file.standing.path;
        tracing::info!(manifest = %path.display(), "written: waiting for a new process of kube-controller-manager");
        if let Err(failed) = manager.until_new(started, timeout).await {
            restore(path, &file.patched.text, backups)?;
            let error = manager.after_put_back(started, failed, timeout).await;
            return Err(error.into());
        }
        backups.proved(path)?;
        Ok(Some(backup))
    }
}
