//! A rollout that is told to end: what stands then, and what settles it.

use std::path::PathBuf;

use irsa_apiserver::component::Role;
use irsa_apiserver::file::{Backups, Written};
use tokio::signal::unix::{SignalKind, signal};

use super::super::standing::{Standing, controller_manager};
use super::Args;
use crate::report::Failure;

/// What a run can be asked about when it has ended.
pub(super) struct Stopped {
    manifests: Vec<(PathBuf, Role)>,
    backups: Backups,
}

impl Stopped {
    pub(super) fn of(args: &Args, backups: Backups) -> Self {
        let named = args.controller_manager_manifest.as_deref();
        let manager = controller_manager(&args.manifest, named);
        let manager = manager.map(|path| (path, Role::ControllerManager));
        let own = (args.manifest.clone(), Role::ApiServer);
        Self {
            manifests: std::iter::once(own).chain(manager).collect(),
            backups,
        }
    }

    /// What to tell: the manifests whose change nobody has seen to work. `waited_for` is whether the run has a turn still.
    pub(super) fn by(&self, signal: &str, waited_for: bool) -> Failure {
        let open = self.manifests.iter().find(|(path, role)| {
            let standing = Standing::read(path.clone(), *role).ok();
            let unproved = standing.and_then(|it| self.backups.unproved(path, &it.text).ok()?);
            unproved.is_some_and(|it| it.written == Written::Yes)
        });
        let Some((path, role)) = open else {
            return Failure::again(
                format!(
                    "{signal}: the run ended, and nothing waits for a proof on this node: each manifest is as it was, or was proved"
                ),
                if waited_for {
                    "run the same command again on this node: it takes its turn over, for which other nodes wait"
                } else {
                    "run the same command again on this node; no other waits for it"
                },
            );
        };
        let path = path.display();
        Failure::failed(
            format!(
                "{signal}: the run ended, \"{path}\" is written, and {role} was not seen yet to run with it"
            ),
            format!(
                "run the same command again on this node: it waits for the proof, or puts the manifest back; irsa apiserver revert {path} \
                 undoes it now"
            ),
        )
    }
}

/// What a run does before it ends, or nothing when it is told so once more: a server may not answer for half a minute.
pub(crate) async fn unless_told_again<T>(ending: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = ending => Some(done),
        _ = signalled() => None,
    }
}

/// Resolves with the name of the signal that tells the process to end.
pub(crate) async fn signalled() -> Result<&'static str, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::system("signals cannot be listened for", &error))
    };
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
