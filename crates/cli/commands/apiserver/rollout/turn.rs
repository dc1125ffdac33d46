//! The right of this run to restart something: the only one on this node, and the only node.

use std::time::Duration;

use irsa_apiserver::alone::Alone;
use irsa_apiserver::file::Backups;
use irsa_apiserver::live::ApiServer;
use irsa_apiserver::turn::{Turn, TurnError};
use irsa_issuer::sign::random_uuid;
use jiff::Timestamp;

use super::controller_manager::AWAY;
use super::wait::LEAST;
use crate::report::{self, Failure};

/// The only run of this node.
pub(super) struct Run {
    /// No other run has this name.
    name: String,
    alone: Alone,
}

impl Run {
    /// Keeps other rollouts of this node away.
    pub(super) fn begin(backups: &Backups) -> Result<Self, Failure> {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        Ok(Self {
            name: format!("{host}_{}", random_uuid()?),
            alone: Alone::take(backups.directory())?,
        })
    }

    /// Whether a run died on this node, and may have left its turn.
    pub(super) fn follows_dead(&self) -> bool {
        !self.alone.died().is_empty()
    }

    /// Takes the turn in the cluster, for all that one rollout may wait for. A run that died on this node does not keep
    /// it.
    pub(super) async fn take_turn(
        &self,
        server: &ApiServer,
        timeout: Duration,
    ) -> Result<Result<Turn, TurnError>, Failure> {
        self.alone.enter(&self.name)?;
        let (died, now) = (self.alone.died(), Timestamp::now());
        let turn = Turn::take(server, &self.name, died, lasts(timeout), now).await;
        // An answer that was lost may have been a yes.
        if matches!(turn, Err(TurnError::Taken { .. })) {
            self.alone.withdraw()?;
        }
        Ok(turn)
    }

    /// Gives it back. When that fails the next run of this node takes it over.
    pub(super) async fn give_back(
        &mut self,
        turn: Turn,
        server: &ApiServer,
    ) -> Result<(), Failure> {
        match turn.give_back(server).await {
            Ok(()) => self.alone.done()?,
            Err(error) => report::warning(&format!(
                "the turn is not given back: the next run on this node takes it over, for others it runs out by itself: {error}"
            )),
        }
        Ok(())
    }
}

/// How long one rollout may wait for all that it waits for: two components, each for its new state and for the old one
/// when that does not come, and kube-controller-manager to be there at all. A turn that ran out before would let
/// another node restart its API server beside this one.
fn lasts(timeout: Duration) -> Duration {
    timeout * 4 + LEAST * 2 + AWAY
}

#[cfg(test)]
mod tests {
    use super::super::TIMEOUTS;
    use super::*;

    /// The waits of one run, as `write` and `settle` make them, for any time that is allowed.
    #[test]
    fn a_turn_outlasts_every_way_that_a_run_can_take() {
        for timeout in [5, 15, 60, 300, 3_600].map(Duration::from_secs) {
            assert!(TIMEOUTS.contains(&timeout));
            let put_back = timeout.max(LEAST);
            for (way, waits) in [
                ("kube-apiserver fails", AWAY + timeout + put_back),
                // It is looked for before anything is changed, and once more before its own change.
                (
                    "kube-controller-manager fails",
                    AWAY + timeout + AWAY + timeout + put_back,
                ),
                (
                    "both are settled, the second fails",
                    timeout + timeout + put_back,
                ),
            ] {
                assert!(lasts(timeout) > waits, "{way} after {timeout:?}");
            }
        }
    }
}
