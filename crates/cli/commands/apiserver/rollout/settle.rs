//! A rollout that was killed before its change was proved: the next one waits for the proof, or puts the manifest back.
//!
//! What it must show is read from the manifest itself, whatever the new run is for: a process that started after the
//! change, ready, that serves every key of its flags and signs with the first issuer and the signing key.

use std::collections::BTreeSet;
use std::path::Path;

use irsa_apiserver::component::Role;
use irsa_apiserver::file::{Backups, Unproved, Written};
use irsa_apiserver::flags::Flag;
use irsa_apiserver::live::ApiServer;
use irsa_apiserver::plan::Phase;
use irsa_apiserver::rollout::Goal;
use irsa_apiserver::turn::TurnError;
use irsa_core::issuer::{IssuerUrl, TrailingSlash};

use super::super::standing::{Standing, controller_manager};
use super::Args;
use super::canary::Canary;
use super::controller_manager::ControllerManager;
use super::keys::kids;
use super::manifest::restore;
use super::turn::{Held, Run};
use super::wait::{self, Watched};
use crate::report::{self, Failure};

/// A manifest whose last change nobody has seen to work.
struct Pending {
    standing: Standing,
    unproved: Unproved,
}

/// Says what a run that is not dry would settle first.
pub(super) fn announce(args: &Args, backups: &Backups) -> Result<(), Failure> {
    for Pending { standing, unproved } in pending(args, backups)? {
        report::warning(&format!(
            "{}: a rollout in phase {} ended before it was proved; a run without --dry-run settles it first",
            standing.path.display(),
            unproved.reason
        ));
    }
    Ok(())
}

/// Settles what earlier runs left; says what was proved.
pub(super) async fn settle(
    args: &Args,
    backups: &Backups,
    run: &mut Run,
    held: &Held,
) -> Result<Vec<String>, Failure> {
    let mut written = Vec::new();
    for Pending { standing, unproved } in pending(args, backups)? {
        let path = &standing.path;
        match unproved.written {
            Written::Yes => written.push(Pending { standing, unproved }),
            // It was not written, or put back already.
            Written::No => backups.last(path, &standing.text)?.forget()?,
            Written::Changed => {
                report::warning(&format!(
                    "{}: a rollout in phase {} ended before it was proved, and somebody changed the file since: it is left as it is",
                    path.display(),
                    unproved.reason
                ));
                backups.proved(path)?;
            }
        }
    }
    if written.is_empty() {
        return Ok(Vec::new());
    }
    let config = args.cluster.config(&args.root).await?;
    let url = match &args.server {
        Some(url) => url.clone(),
        None => Standing::read(args.manifest.clone(), Role::ApiServer)?.url(),
    };
    let server = args.cluster.server(&config, &url)?;
    let turn = match held.take_turn(run, &server, args.timeout).await? {
        Ok(turn) => Some(turn),
        Err(error @ TurnError::Taken { .. }) => return Err(error.into()),
        // This node's API server is what may be ill: no other node restarts one while it is.
        Err(TurnError::Live(error)) => {
            tracing::debug!(%error, "no turn to settle with");
            None
        }
    };
    // Nobody has seen whether what was written works.
    held.restarting(true);
    let mut facts = Vec::new();
    let mut ended = Ok(());
    for pending in written {
        match pending.settle(args, &config, &server, backups).await {
            Ok(fact) => facts.push(fact),
            Err(failure) => {
                ended = Err(failure);
                break;
            }
        }
    }
    held.restarting(false);
    if let Some(turn) = turn {
        run.give_back(turn, &server).await?;
    }
    held.lose();
    ended.map(|()| facts)
}

/// The manifests of this node that wait for their proof, kube-apiserver's first.
fn pending(args: &Args, backups: &Backups) -> Result<Vec<Pending>, Failure> {
    let named = args.controller_manager_manifest.as_deref();
    let manager = controller_manager(&args.manifest, named);
    let all = [
        Some((args.manifest.clone(), Role::ApiServer)),
        manager.map(|path| (path, Role::ControllerManager)),
    ];
    let mut found = Vec::new();
    for (path, role) in all.into_iter().flatten() {
        let standing = Standing::read(path, role)?;
        if let Some(unproved) = backups.unproved(&standing.path, &standing.text)? {
            found.push(Pending { standing, unproved });
        }
    }
    Ok(found)
}

impl Pending {
    async fn settle(
        self,
        args: &Args,
        config: &kube::Config,
        server: &ApiServer,
        backups: &Backups,
    ) -> Result<String, Failure> {
        let Self { standing, unproved } = &self;
        let (path, before) = (&standing.path, unproved.started);
        report::note(&format!(
            "{}: a rollout in phase {} ended before it was proved: waiting for the proof",
            path.display(),
            unproved.reason
        ));
        let restore = || restore(path, &standing.text, backups);
        match standing.role {
            Role::ApiServer => {
                let goal = self.goal(&args.root)?;
                let watched = Watched {
                    server,
                    goal: &goal,
                    account: &args.cluster.service_account,
                    canary: None,
                };
                if let Err(lost) = wait::until(&watched, Some(before), args.timeout).await {
                    return Err(wait::put_back(server, restore, before, lost, args.timeout).await);
                }
            }
            Role::ControllerManager => {
                let manager = ControllerManager::at(&standing.url(), config)?;
                if let Err(failed) = manager.until_new(before, args.timeout).await {
                    restore()?;
                    let error = manager.after_put_back(before, failed, args.timeout);
                    return Err(error.await.into());
                }
            }
        }
        backups.proved(path)?;
        Ok(format!(
            "{}: phase {} of a rollout that was interrupted is in force",
            path.display(),
            unproved.reason
        ))
    }

    /// What the flags of the manifest make a server show.
    fn goal(&self, root: &Path) -> Result<Goal, Failure> {
        let Self { standing, .. } = self;
        let flags = &standing.flags;
        let here = |file: &str| {
            let path = standing.on_host(root, file)?;
            path.exists().then_some(path)
        };
        // What cannot be read from here proves nothing either way: whether kube-apiserver could, it shows by being ready.
        let files = flags.values(Flag::KeyFile).iter();
        let kids = files.filter_map(|file| kids(std::slice::from_ref(file), here).ok());
        let kids = kids.flatten().collect();
        let issuer = flags.values(Flag::Issuer).first().map(String::as_str);
        let issuer = issuer.and_then(|url| IssuerUrl::parse(url, TrailingSlash::Allow).ok());
        let key = flags.value(Flag::SigningKeyFile).and_then(here);
        let Some(issuer) = issuer else {
            return Err(Failure::failed(
                format!(
                    "{}: the first --service-account-issuer is no https URL, so the interrupted rollout cannot be proved",
                    standing.path.display()
                ),
                format!(
                    "irsa apiserver revert {} undoes it",
                    standing.path.display()
                ),
            ));
        };
        let canary = Canary::read(key.as_deref(), &issuer, flags).ok().flatten();
        Ok(Goal {
            phase: Phase::Sign,
            kids,
            gone: BTreeSet::new(),
            signing: canary.as_ref().map(|canary| canary.kid().clone()),
            elsewhere: Vec::new(),
            issuer,
        })
    }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
