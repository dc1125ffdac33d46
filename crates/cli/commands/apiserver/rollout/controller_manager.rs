//! kube-controller-manager of this node: when its process started, and whether it is healthy.

use std::time::Duration;

use irsa_apiserver::live::start_instant;
use irsa_apiserver::rollout::{self, Back};
use irsa_core::explain::Explain;
use tokio::time::{Instant, sleep};

use super::wait::{INTERVAL, STEADY, steady};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may be away before anything is changed.
pub(super) const AWAY: Duration = Duration::from_secs(45);

/// Why kube-controller-manager does not have its key.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControllerManagerError {
    /// It was not seen to run with the new manifest.
    #[error(
        "kube-controller-manager at {address} was not seen to start anew and be healthy in time; its manifest was put back{}",
        if *well { ", and it is healthy again" } else { ", and it is not healthy yet" }
    )]
    PutBack {
        /// Where it answers.
        address: String,
        /// Whether it runs with the old manifest.
        well: bool,
    },
    /// Nothing tells its new process from the old one.
    #[error("kube-controller-manager at {0} does not say when it started")]
    Silent(String),
    /// Its address is none.
    #[error("\"{0}\" is no address of kube-controller-manager")]
    Address(String),
}

impl Explain for ControllerManagerError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::PutBack { well: true, .. } => {
                "the API server has its new state and stays there; see the log of the last container (crictl logs), then run it again for kube-controller-manager".into()
            }
            Self::PutBack { .. } => "the API server has its new state and stays there; see the kubelet's log on this node at once".into(),
            Self::Silent(_) => {
                "nothing was changed: it must run, and the kubeconfig needs a client certificate that may read its /metrics, such as \
                 /etc/kubernetes/admin.conf"
                    .into()
            }
            Self::Address(_) => "see --bind-address and --secure-port in its manifest".into(),
        })
    }
}

/// Where it answers.
pub(super) struct ControllerManager {
    address: String,
    client: kube::Client,
}

impl ControllerManager {
    /// Its serving certificate is its own and unknown to us, so nothing secret is sent: of the kubeconfig's credentials
    /// only a client certificate, whose key stays here.
    pub(super) fn at(address: &str, of: &kube::Config) -> Result<Self, ControllerManagerError> {
        let fail = || ControllerManagerError::Address(address.to_owned());
        let mut config = kube::Config::new(address.parse().map_err(|_| fail())?);
        config.accept_invalid_certs = true;
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = Some(TIMEOUT);
        config.default_retry = false;
        let (ours, theirs) = (&mut config.auth_info, &of.auth_info);
        ours.client_certificate
            .clone_from(&theirs.client_certificate);
        ours.client_certificate_data
            .clone_from(&theirs.client_certificate_data);
        ours.client_key.clone_from(&theirs.client_key);
        ours.client_key_data.clone_from(&theirs.client_key_data);
        let client = kube::Client::try_from(config).map_err(|_| fail())?;
        Ok(Self {
            address: address.to_owned(),
            client,
        })
    }

    /// When its process started, in seconds since 1970. It ends when it loses its lease, as while the API server of its
    /// node restarts, so it is given some time to be there.
    pub(super) async fn demand_started(&self) -> Result<f64, ControllerManagerError> {
        let deadline = Instant::now() + AWAY;
        loop {
            if let Some(started) = self.healthy_since().await {
                return Ok(started);
            }
            if Instant::now() >= deadline {
                return Err(ControllerManagerError::Silent(self.address.clone()));
            }
            sleep(INTERVAL).await;
        }
    }

    /// Waits until a process that started after `before` is healthy and stays; at the end, when the last new one that
    /// was seen started.
    pub(super) async fn until_new(
        &self,
        before: f64,
        timeout: Duration,
    ) -> Result<(), Option<f64>> {
        let deadline = Instant::now() + timeout;
        let mut failed = None;
        let mut well: Option<(f64, Instant)> = None;
        loop {
            let started = self.healthy_since().await;
            let new = started.filter(|_| rollout::back(started, before, None) == Back::Anew);
            well = match (new, well) {
                (Some(at), Some((known, since))) if at.total_cmp(&known).is_eq() => {
                    Some((known, since))
                }
                (Some(at), _) => Some((at, Instant::now())),
                (None, _) => None,
            };
            failed = new.or(failed);
            // One that ends at once may have been started with the manifest from before.
            if well.is_some_and(|(_, since)| since.elapsed() >= STEADY) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(failed);
            }
            sleep(INTERVAL).await;
        }
    }

    /// What to tell after its manifest was put back: waits until it runs with it.
    pub(super) async fn after_put_back(
        &self,
        before: f64,
        failed: Option<f64>,
        timeout: Duration,
    ) -> ControllerManagerError {
        let look = async || self.healthy_since().await;
        ControllerManagerError::PutBack {
            address: self.address.clone(),
            well: steady(look, before, failed, timeout).await,
        }
    }

    /// When the process started that is healthy now.
    async fn healthy_since(&self) -> Option<f64> {
        self.get("/healthz").await?;
        start_instant(&self.get("/metrics").await?)
    }

    async fn get(&self, path: &str) -> Option<String> {
        let request = http::Request::get(path).body(Vec::new()).ok()?;
        self.client.request_text(request).await.ok()
    }
}
