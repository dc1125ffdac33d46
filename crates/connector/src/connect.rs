//! One registration from the first look to the connected cluster.

use std::path::PathBuf;
use std::time::Duration;

use irsa_core::explain::Explain;
use jiff::Timestamp;
use tracing::info;

use crate::activation::ActivationCode;
use crate::aws::Aws;
use crate::cluster::Cluster;
use crate::export::{self, ExportError};
use crate::grant::Grants;
use crate::image::Images;
use crate::install::{self, InstallError};
use crate::journal::{Journal, JournalError, LockedJournal, Phase, Record};
use crate::manifest::Manifest;
use crate::manifest::agent::{self, AgentSettings};
use crate::manifest::console::{self, ConsoleError};
use crate::plan::{Observed, Plan, PlanError, Request, Step, plan};
use crate::register::{self, RegisterError, Timing};

/// Where the objects go.
#[derive(Debug)]
pub enum Target {
    /// Into the cluster.
    Cluster {
        /// Its API server.
        cluster: Cluster,
        /// Take fields over from other owners.
        force: bool,
    },
    /// Into files of this folder.
    Files(PathBuf),
    /// Nowhere: only for [`Connection::planned`].
    Nowhere,
}

/// A registration with all that it needs.
#[derive(Debug)]
pub struct Connection {
    /// AWS.
    pub aws: Aws,
    /// What is asked for.
    pub request: Request,
    /// Who may see the cluster.
    pub grants: Grants,
    /// The agents' images.
    pub images: Images,
    /// Where the objects go.
    pub target: Target,
    /// How long to wait for the agents, if at all.
    pub wait: Option<Duration>,
    /// Delays.
    pub timing: Timing,
}

/// How a registration ended.
#[derive(Debug)]
pub struct Connected {
    /// The journal's record, without its code once the cluster is connected.
    pub record: Record,
    /// The status in EKS that was seen last.
    pub status: String,
    /// Until when agents can register; nothing when they need not any more.
    pub expiry: Option<Timestamp>,
    /// The files that were written.
    pub files: Vec<PathBuf>,
}

/// Why a registration did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// In AWS.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// In Kubernetes.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// In files.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// In the console's rules.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// In the journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nothing to do, or somebody else's.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// AWS is done, the cluster is not.
    #[error("\"{name}\" is registered, and its agents are not installed yet")]
    NotInstalled {
        /// Which cluster.
        name: String,
        /// Why.
        source: Box<Self>,
    },
}

impl ConnectError {
    fn inner(&self) -> &dyn Explain {
        match self {
            Self::Register(error) => error,
            Self::Install(error) => error,
            Self::Export(error) => error,
            Self::Console(error) => error,
            Self::Journal(error) => error,
            Self::Plan(error) => error,
            Self::NotInstalled { source, .. } => source.inner(),
        }
    }
}

impl Explain for ConnectError {
    fn help(&self) -> Option<String> {
        let help = self.inner().help();
        match self {
            Self::NotInstalled { .. } => {
                let again = "run the same command again: the activation is in the journal";
                Some(help.map_or_else(|| again.to_owned(), |help| format!("{help}; then {again}")))
            }
            _ => help,
        }
    }

    fn retryable(&self) -> bool {
        self.inner().retryable()
    }
}

impl Connection {
    /// Everything that can fail without changing anything: rendering, the API server, the grants' namespaces.
    pub async fn preflight(&self) -> Result<(), ConnectError> {
        let agent = self.agent("", None);
        export::yaml(&agent)?;
        export::yaml(&console::manifests(&self.grants)?)?;
        if let Target::Cluster { cluster, force } = &self.target {
            let arn = self.request.registration.cluster_arn();
            install::preflight(cluster, &arn, &agent, &self.grants, *force).await?;
        }
        Ok(())
    }

    /// The calls that [`register`](Self::register) would make, and the objects that it would apply.
    pub async fn planned(
        &self,
        journal: &Journal,
    ) -> Result<(Vec<Step>, Vec<Manifest>), ConnectError> {
        let record = journal.load()?;
        let observed = register::observe(&self.aws, &self.request).await?;
        let steps = match plan(&self.request, &observed, record.as_ref(), Timestamp::now())? {
            Plan::Register(steps) => steps,
            Plan::Resume | Plan::Refresh => Vec::new(),
        };
        let code = ActivationCode::new("(not known yet)".to_owned().into());
        let mut objects = self.agent("(from eks:RegisterCluster)", Some(&code));
        objects.extend(console::manifests(&self.grants)?);
        Ok((steps, objects))
    }

    /// Registers the cluster, or goes on where a run before ended.
    pub async fn register(&self, journal: &LockedJournal) -> Result<Connected, ConnectError> {
        let record = journal.load()?;
        let observed = register::observe(&self.aws, &self.request).await?;
        let mut record = self.registered(record, &observed, journal).await?;
        let seen = observed.cluster.as_ref();
        let connected = seen.is_some_and(|cluster| cluster.status == "ACTIVE");
        let files = self.install(&record, connected).await.map_err(|source| {
            ConnectError::NotInstalled {
                name: self.request.registration.name.to_string(),
                source: Box::new(source),
            }
        })?;
        let mut status = observed
            .cluster
            .map_or_else(|| "PENDING".to_owned(), |cluster| cluster.status);
        if let Some(limit) = self.wait {
            status = register::await_connected(&self.aws, &self.request, limit, self.timing)
                .await?
                .status;
        }
        let mut expiry = None;
        if let Phase::Registered(activation) = &record.phase {
            if status == "ACTIVE" {
                // Nobody needs the code any more.
                let activation_id = activation.id.clone();
                record.phase = Phase::Connected { activation_id };
                journal.save(&record)?;
            } else {
                expiry = activation.expiry;
            }
        }
        Ok(Connected {
            record,
            status,
            expiry,
            files,
        })
    }

    /// The record of the registration: as a run before left it, or of the calls that are made now.
    async fn registered(
        &self,
        record: Option<Record>,
        observed: &Observed,
        journal: &LockedJournal,
    ) -> Result<Record, ConnectError> {
        let plan = plan(&self.request, observed, record.as_ref(), Timestamp::now())?;
        match (plan, record) {
            (Plan::Resume | Plan::Refresh, Some(record)) => {
                info!(
                    "\"{}\" is registered already: going on from the journal",
                    self.request.registration.name
                );
                Ok(record)
            }
            (Plan::Register(steps), _) => {
                if let Target::Files(directory) = &self.target {
                    export::demand_free(directory)?;
                }
                let executed =
                    register::execute(&self.aws, &self.request, &steps, journal, self.timing);
                Ok(executed.await?)
            }
            // Only a record makes such a plan.
            (Plan::Resume | Plan::Refresh, None) => Err(PlanError::Taken {
                name: self.request.registration.name.to_string(),
                status: "unknown".to_owned(),
            }
            .into()),
        }
    }

    async fn install(
        &self,
        record: &Record,
        connected: bool,
    ) -> Result<Vec<PathBuf>, ConnectError> {
        let agent = match &record.phase {
            Phase::Registered(activation) => self.agent(&activation.id, Some(&activation.code)),
            Phase::Connected { activation_id } => self.agent(activation_id, None),
            Phase::Registering => Vec::new(),
        };
        match &self.target {
            Target::Cluster { cluster, force } => {
                install::apply(cluster, &agent, &self.grants, *force).await?;
                Ok(Vec::new())
            }
            // The code has done its work, and is not written once more.
            Target::Files(_) if connected && matches!(record.phase, Phase::Registered(_)) => {
                Ok(Vec::new())
            }
            Target::Files(directory) => Ok(export::write(
                directory,
                &agent,
                &console::manifests(&self.grants)?,
            )?),
            Target::Nowhere => Ok(Vec::new()),
        }
    }

    fn agent(&self, activation_id: &str, code: Option<&ActivationCode>) -> Vec<Manifest> {
        let cluster_arn = self.request.registration.cluster_arn();
        let settings = AgentSettings {
            cluster_arn: &cluster_arn,
            region: self.request.registration.region.as_str(),
            activation_id,
            images: &self.images,
        };
        agent::manifests(&settings, code)
    }
}
