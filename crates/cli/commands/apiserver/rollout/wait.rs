//! Waiting for a node's new state, and putting the old one back.

use std::time::{Duration, Instant};

use irsa_apiserver::file::Backups;
use irsa_apiserver::live::{ApiServer, Review};
use irsa_apiserver::plan::Phase;
use irsa_apiserver::rollout::{self, Missing, Seen};
use irsa_core::explain::Explain;

use super::node::Node;
use crate::report::Failure;

/// Between two looks: short, because a restart of two seconds must be seen.
const INTERVAL: Duration = Duration::from_millis(200);

/// Why a rollout did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum WaitError {
    /// The manifest was put back, and the API server is well.
    #[error(
        "{server} did not reach the new state in time: {missing}; the manifest was put back and the API server is ready again"
    )]
    PutBack {
        /// Which server.
        server: String,
        /// What was missing.
        missing: Missing,
    },
    /// The manifest was put back, and the API server is not well.
    #[error(
        "{server} did not reach the new state in time: {missing}; the manifest was put back, and the API server is not ready yet"
    )]
    StillIll {
        /// Which server.
        server: String,
        /// What was missing.
        missing: Missing,
    },
    /// Nothing was changed, and the state is not reached.
    #[error("{server} has the flags and does not show the new state: {missing}")]
    NotShown {
        /// Which server.
        server: String,
        /// What is missing.
        missing: Missing,
    },
    /// Another server refuses what this one signs now.
    #[error("{server} has its new flags, and {hold}")]
    Refused {
        /// Which server.
        server: String,
        /// Its manifest.
        manifest: std::path::PathBuf,
        /// Who refuses it, and why.
        hold: rollout::Hold,
    },
    /// kube-controller-manager was not seen to restart.
    #[error(
        "kube-controller-manager at {address} was not seen to restart and be healthy in time; its manifest was put back"
    )]
    Manager {
        /// Where it answers.
        address: String,
    },
    /// Its address is none.
    #[error("\"{0}\" is no address of kube-controller-manager")]
    ManagerAddress(String),
}

impl Explain for WaitError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::PutBack { .. } => "see the log of the API server's last container (crictl logs), mend the cause and run it again".into(),
            Self::StillIll { .. } => "see the kubelet's and the API server's logs on this node at once; the manifest is as it was before".into(),
            Self::NotShown { .. } => "see the log of the API server; does the kubelet read this manifest directory?".into(),
            Self::Refused { manifest, .. } => {
                format!("tokens of this node are refused there: go back at once with irsa apiserver revert {}", manifest.display())
            }
            Self::Manager { .. } => {
                "the API server has its new state and stays there; see the kubelet's log, then run it again for kube-controller-manager".into()
            }
            Self::ManagerAddress(_) => "see --bind-address and --secure-port in its manifest".into(),
        })
    }
}

/// Waits until the server shows everything, or says what was missing at the end.
pub(super) async fn until(
    node: &Node,
    before: Option<f64>,
    timeout: Duration,
) -> Result<(), WaitError> {
    let deadline = Instant::now() + timeout;
    loop {
        let seen = observe(node, &node.server).await;
        let Some(missing) = rollout::missing(node.goal(), &seen, before) else {
            return Ok(());
        };
        tracing::debug!(server = node.server.url(), %missing, "waiting");
        if Instant::now() >= deadline {
            return Err(WaitError::NotShown {
                server: node.server.url().to_owned(),
                missing,
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Asks a server for everything. What it does not answer is not seen.
async fn observe(node: &Node, server: &ApiServer) -> Seen {
    let mut seen = Seen {
        ready: server.ready().await.is_ok(),
        ..Seen::default()
    };
    if !seen.ready {
        return seen;
    }
    seen.started = server.started().await.ok().flatten();
    seen.discovery = server.discovery().await.ok().flatten();
    seen.jwks = server.jwks().await.ok().flatten();
    if node.goal().phase == Phase::Sign {
        seen.token = server.mint(node.account(), &[]).await.ok();
    }
    if node.goal().phase != Phase::Retire {
        let no = |error: String| Review {
            authenticated: false,
            error: Some(error),
        };
        seen.canary = match node.canary(server).await {
            Ok(None) => None,
            Ok(Some(token)) => Some(
                server
                    .review(&token)
                    .await
                    .unwrap_or_else(|error| no(error.to_string())),
            ),
            // What could not be asked was not seen.
            Err(error) => Some(no(error.message())),
        };
    }
    seen
}

/// Puts the old manifest back and waits until the server is ready again.
pub(super) async fn put_back(
    node: &Node,
    backups: &Backups,
    error: WaitError,
    timeout: Duration,
) -> Failure {
    let (WaitError::NotShown { server, missing }
    | WaitError::PutBack { server, missing }
    | WaitError::StillIll { server, missing }) = error
    else {
        return error.into();
    };
    if let Err(failure) = node.restore(backups) {
        return failure;
    }
    let deadline = Instant::now() + timeout;
    // The kubelet must have seen the old manifest: a ready server that is about to stop proves nothing.
    let mut in_a_row = 0;
    while Instant::now() < deadline {
        in_a_row = if node.server.ready().await.is_ok() {
            in_a_row + 1
        } else {
            0
        };
        if in_a_row > 15 {
            return WaitError::PutBack { server, missing }.into();
        }
        tokio::time::sleep(INTERVAL).await;
    }
    WaitError::StillIll { server, missing }.into()
}

/// A component that is seen to go away and come back.
pub(super) struct Restart {
    address: String,
    server: kube::Client,
}

impl Restart {
    /// Its certificate is its own and changes with every start; nothing secret is sent, and only its health is asked.
    pub(super) fn watch(host: &str, port: u16) -> Result<Self, Failure> {
        let address = format!("https://{host}:{port}");
        let uri = address
            .parse()
            .map_err(|_| WaitError::ManagerAddress(address.clone()))?;
        let mut config = kube::Config::new(uri);
        config.accept_invalid_certs = true;
        config.connect_timeout = Some(Duration::from_secs(2));
        config.read_timeout = Some(Duration::from_secs(2));
        config.default_retry = false;
        let server = kube::Client::try_from(config)
            .map_err(|_| WaitError::ManagerAddress(address.clone()))?;
        Ok(Self { address, server })
    }

    /// Waits until it was away and is healthy.
    pub(super) async fn until_back(self, timeout: Duration) -> Result<(), WaitError> {
        let deadline = Instant::now() + timeout;
        let mut was_away = false;
        while Instant::now() < deadline {
            let healthy = self.healthy().await;
            if was_away && healthy {
                return Ok(());
            }
            was_away = was_away || !healthy;
            tokio::time::sleep(INTERVAL).await;
        }
        Err(WaitError::Manager {
            address: self.address,
        })
    }

    async fn healthy(&self) -> bool {
        let Ok(request) = http::Request::get("/healthz").body(Vec::new()) else {
            return false;
        };
        self.server.request_text(request).await.is_ok()
    }
}
