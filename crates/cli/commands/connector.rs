//! `irsa connector`: a cluster of one's own in the EKS console.

pub mod deregister;
pub mod doctor;
pub mod grants;
pub mod permissions;
pub mod register;
pub mod status;

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use irsa_connector::aws::{Aws, Caller};
use irsa_connector::name::ClusterName;
use irsa_connector::region::ConnectorRegion;
use irsa_connector::role::Registration;

use crate::aws::AwsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::report::Failure;

/// The subcommands.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "the arguments of each document it, and are its --help"
)]
pub enum Command {
    Register(Box<register::Args>),
    Deregister(deregister::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Grant(grants::GrantArgs),
    Revoke(grants::RevokeArgs),
    Grants(grants::ListArgs),
    Permissions(permissions::Args),
}

/// Runs a subcommand.
pub fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Register(args) => register::run(*args, context),
        Command::Deregister(args) => deregister::run(args, context),
        Command::Status(args) => status::run(args, context),
        Command::Doctor(args) => doctor::run(args, context),
        Command::Grant(args) => grants::grant(args, context),
        Command::Revoke(args) => grants::revoke(args, context),
        Command::Grants(args) => grants::list(args, context),
        Command::Permissions(args) => permissions::run(args, context),
    }
}

/// Which registration.
#[derive(Debug, clap::Args)]
pub struct RegistrationArgs {
    /// Name of the cluster in EKS: letters, digits, - and _
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// CA certificates in PEM to trust besides the system's
    #[arg(long, env = "IRSA_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath, hide_env_values = true)]
    pub ca_file: Option<PathBuf>,
}

/// What `status` and `doctor` look at.
#[derive(Debug, clap::Args)]
pub struct LookArgs {
    /// Which registration.
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Where registrations are remembered.
#[derive(Debug, clap::Args)]
pub struct JournalArgs {
    /// Folder of the journal, which keeps the activation code until the cluster is connected
    /// [default: XDG_STATE_HOME, else ~/.local/state, then irsa/connector]
    #[arg(long, env = "IRSA_CONNECTOR_JOURNAL", value_name = "DIR", value_hint = ValueHint::DirPath, hide_env_values = true)]
    pub journal: Option<PathBuf>,
}

/// AWS, and the registration in it.
struct Session {
    aws: Aws,
    caller: Caller,
    registration: Registration,
}

impl RegistrationArgs {
    /// Everything that can be refused without AWS is refused first.
    async fn open(self) -> Result<Session, Failure> {
        let Self { name, aws, ca_file } = self;
        let name = ClusterName::parse(&name).map_err(|error| Failure::refused(&error))?;
        let config = aws.load(ca_file.as_deref()).await?;
        let region = config.region().ok_or_else(|| {
            Failure::usage(
                "no AWS Region is chosen",
                "give --region, like --region eu-central-1, or set AWS_REGION",
            )
        })?;
        let region = ConnectorRegion::parse(region.as_ref());
        let region = region.map_err(|error| Failure::refused(&error))?;
        // Missing ones are the same refusal here as everywhere.
        crate::aws::credentials(&config).await?;
        let aws = Aws::new(&config);
        let caller = aws.caller().await?;
        let registration = Registration {
            region,
            account: caller.account.clone(),
            name,
        };
        Ok(Session {
            aws,
            caller,
            registration,
        })
    }
}

impl JournalArgs {
    fn root(self) -> Result<PathBuf, Failure> {
        let Self { journal } = self;
        let absolute = |name: &str| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        journal
            .or_else(|| Some(absolute("XDG_STATE_HOME")?.join("irsa/connector")))
            .or_else(|| Some(absolute("HOME")?.join(".local/state/irsa/connector")))
            .ok_or_else(|| {
                Failure::usage(
                    "there is no place for the journal: neither XDG_STATE_HOME nor HOME is set",
                    "give --journal DIR",
                )
            })
    }
}
