//! The right of this run to restart something: the only one on this node, and the only node.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// The turn that this process has, known outside of the run that took it: whoever ends the run gives it back.
#[derive(Default)]
pub(crate) struct Held(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    None,
    /// It was asked for, and the answer has not come: it may be there.
    Asked,
    Has(HeldTurn),
}

struct HeldTurn {
    turn: Turn,
    server: ApiServer,
    /// Something of this node is being restarted, or may be.
    restarting: bool,
}

impl Held {
    /// Takes the turn by way of the run.
    pub(super) async fn take_turn(
        &self,
        run: &Run,
        server: &ApiServer,
        timeout: Duration,
    ) -> Result<Result<Turn, TurnError>, Failure> {
        *self.now() = State::Asked;
        let turn = run.take_turn(server, timeout).await;
        match &turn {
            Ok(Ok(turn)) => self.take(turn, server),
            // An answer that was lost may have been a yes.
            Ok(Err(TurnError::Live(_))) => {}
            Ok(Err(TurnError::Taken { .. })) | Err(_) => self.lose(),
        }
        turn
    }

    fn take(&self, turn: &Turn, server: &ApiServer) {
        *self.now() = State::Has(HeldTurn {
            turn: turn.clone(),
            server: server.clone(),
            restarting: false,
        });
    }

    /// Says whether something of this node is being restarted from now on.
    pub(super) fn restarting(&self, restarting: bool) {
        if let State::Has(held) = &mut *self.now() {
            held.restarting = restarting;
        }
    }

    pub(super) fn lose(&self) {
        *self.now() = State::None;
    }

    /// Gives the turn back when the run has been told to end, and says whether other nodes still wait for it.
    ///
    /// It is kept while something of this node is being restarted: another node that began now would have its API server
    /// away beside this one's, and nobody has seen whether what was written works. The next run of this node settles that
    /// and takes the turn over; for others it runs out. So it is when the answer to taking it has not come yet.
    pub(crate) async fn give_back(&self) -> bool {
        let state = mem::take(&mut *self.now());
        match state {
            State::None => false,
            State::Asked => true,
            State::Has(held) => held.restarting || held.turn.give_back(&held.server).await.is_err(),
        }
    }

    fn now(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::sync::Arc;

    use irsa_testkit::web::{Answer, Certificate, Web};
    use serde_json::Value;

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

    /// An API server that keeps Leases, and how many there are.
    fn keeper() -> (Web, ApiServer, Arc<Mutex<Option<Value>>>) {
        // Another test may have chosen it before.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let certificate = Certificate::make();
        let lease = Arc::<Mutex<Option<Value>>>::default();
        let kept = Arc::clone(&lease);
        let web = Web::start_with(Some(&certificate), move |request| {
            let mut kept = kept.lock().unwrap();
            match request.method.as_str() {
                "POST" => {
                    let mut made: Value = serde_json::from_slice(&request.body).unwrap();
                    made["metadata"]["uid"] = "u-1".into();
                    made["metadata"]["resourceVersion"] = "1".into();
                    *kept = Some(made);
                }
                "DELETE" => *kept = None,
                _ => {}
            }
            match &*kept {
                Some(lease) => Answer::new(200, lease.to_string()),
                None => Answer::new(200, "{}"),
            }
        });
        let mut config = kube::Config::new(web.url().parse().unwrap());
        let ca = irsa_core::pem::scan(certificate.ca.as_bytes()).blocks;
        config.root_cert = Some(ca.into_iter().map(|block| block.der.to_vec()).collect());
        let server = ApiServer::new(&config, &web.url(), None).unwrap();
        (web, server, lease)
    }

    async fn turn(server: &ApiServer) -> Turn {
        let (lasts, now) = (Duration::from_mins(1), Timestamp::now());
        Turn::take(server, "ours", &[], lasts, now).await.unwrap()
    }

    #[tokio::test]
    async fn a_run_that_is_told_to_end_gives_its_turn_back_unless_something_restarts() {
        let (_web, server, lease) = keeper();
        let held = Held::default();
        assert!(!held.give_back().await, "it has none");
        let is_kept = || lease.lock().unwrap().is_some();

        held.take(&turn(&server).await, &server);
        assert!(is_kept());
        held.restarting(true);
        held.restarting(false);
        assert!(!held.give_back().await);
        assert!(!is_kept(), "no other node waits for it");

        held.take(&turn(&server).await, &server);
        held.restarting(true);
        assert!(held.give_back().await);
        assert!(is_kept(), "an API server may be away");

        held.take(&turn(&server).await, &server);
        held.lose();
        assert!(!held.give_back().await, "it was given back before");

        *held.now() = State::Asked;
        assert!(held.give_back().await, "the answer may have been a yes");
    }
}
