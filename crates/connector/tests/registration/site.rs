//! A cluster to be registered, with a journal of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_iam::config::Credentials;
use irsa_connector::aws::Aws;
use irsa_connector::cluster::Cluster;
use irsa_connector::connect::{ConnectError, Connected, Connection, Target};
use irsa_connector::grant::Grants;
use irsa_connector::image::Images;
use irsa_connector::journal::{Journal, Record};
use irsa_connector::name::ClusterName;
use irsa_connector::plan::{Request, RoleChoice};
use irsa_connector::provider::Provider;
use irsa_connector::region::ConnectorRegion;
use irsa_connector::register::Timing;
use irsa_connector::role::Registration;
use serde_json::json;

use crate::aws::{ACCOUNT, FakeRole, REGION};
use crate::server::Server;

pub(crate) const ADMIN: &str = "arn:aws:iam::111122223333:role/Admin";

pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) home: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let server = Server::start().await;
        server.world().objects.insert(
            "v1/namespaces/team-a".into(),
            json!({"metadata": {"name": "team-a"}}),
        );
        Self {
            server,
            home: tempfile::tempdir().unwrap(),
        }
    }

    #[expect(clippy::unused_self, reason = "it is the registration of this site")]
    pub(crate) fn registration(&self) -> Registration {
        Registration {
            region: ConnectorRegion::parse(REGION).unwrap(),
            account: ACCOUNT.into(),
            name: ClusterName::parse("prod").unwrap(),
        }
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::new(self.home.path(), &self.registration())
    }

    pub(crate) fn record(&self) -> Option<Record> {
        self.journal().load().unwrap()
    }

    pub(crate) async fn aws(&self) -> Aws {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            // Without TLS: reading the system's certificates takes longer than a whole registration.
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(self.server.url())
            .credentials_provider(Credentials::new(
                "AKIDEXAMPLE",
                "secret",
                None,
                None,
                "test",
            ))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(2)))
            .load()
            .await;
        Aws::new(&config)
    }

    pub(crate) fn cluster(&self) -> Cluster {
        let url = self.server.url().parse().unwrap();
        let mut config = kube::Config::new(url);
        // Reading the system's certificates takes longer than a whole registration.
        config.root_cert = Some(Vec::new());
        Cluster::new(kube::Client::try_from(config).unwrap())
    }

    /// What `irsa connector register --apply --wait` is made of.
    pub(crate) async fn connection(&self) -> Connection {
        Connection {
            aws: self.aws().await,
            request: Request {
                registration: self.registration(),
                provider: Provider::parse("other").unwrap(),
                role: RoleChoice::Own { boundary: None },
                tags: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
            },
            grants: Grants::parse([
                format!("{ADMIN}=full"),
                format!("arn:aws:iam::{ACCOUNT}:role/Dev=ns:team-a"),
            ])
            .unwrap(),
            images: Images::default(),
            target: Target::Cluster {
                cluster: self.cluster(),
                force: false,
            },
            wait: Some(Duration::from_millis(400)),
            timing: quick(),
        }
    }

    pub(crate) async fn register(&self) -> Result<Connected, ConnectError> {
        run(&self.connection().await, &self.journal()).await
    }

    /// A role that stands already.
    pub(crate) fn role(&self, name: &str, ours: bool) {
        let mut role = FakeRole {
            path: "/".into(),
            trust: irsa_connector::policy::trust_policy().to_string(),
            ..FakeRole::default()
        };
        if ours {
            let (key, value) = self.registration().role_tag();
            role.tags.insert(key.into(), value);
        }
        self.server.world().roles.insert(name.into(), role);
    }
}

pub(crate) async fn run(
    connection: &Connection,
    journal: &Journal,
) -> Result<Connected, ConnectError> {
    connection.preflight().await?;
    connection.register(&journal.clone().lock()?).await
}

/// Delays as they are, in thousandths. The limit is there for what never ends: on a busy machine whatever ends must come
/// to its end within it.
pub(crate) fn quick() -> Timing {
    Timing {
        first_delay: Duration::from_millis(5),
        longest_delay: Duration::from_millis(30),
        register_limit: Duration::from_secs(30),
        poll: Duration::from_millis(5),
    }
}

/// Every file below a folder.
pub(crate) fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}
