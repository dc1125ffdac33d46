//! What `irsa rotate` is told.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use irsa_core::kid::Kid;
use irsa_issuer::keygen::KeyKind;
use jiff::Timestamp;

use super::places::{BucketArgs, KeysPlace, StatePlace};
use super::policy::PolicyArgs;
use crate::args::{DocumentArgs, FetchArgs, duration};
use crate::aws::AwsArgs;
use crate::commands::apiserver::servers::ClusterArgs;
use crate::commands::keys::generate::AlgorithmName;
use crate::commands::publish::target::Target;

/// What a rotation works with, and what is asked of it now.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub struct Args {
    /// The issuer and its documents.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Where the key ring is: a directory (mode 0700), secret:NAMESPACE/NAME or s3://BUCKET/PREFIX
    #[arg(long, value_name = "PLACE", value_parser = StatePlace::parse)]
    pub state: Option<StatePlace>,
    /// Where private keys rest: a directory or secret:NAMESPACE/NAME [default: the directory of --state, or the Secret
    /// NAME-keys beside it]
    #[arg(long, value_name = "PLACE", value_parser = KeysPlace::parse)]
    pub private_keys: Option<KeysPlace>,
    /// Where the documents are published: dir:PATH or s3://BUCKET[/PREFIX] (several: repeat it)
    #[arg(long, value_name = "STORE", value_parser = Target::parse)]
    pub to: Vec<Target>,
    /// Another address where the JWKS must be the same before a step counts: a replica or a mirror (several: repeat it)
    #[arg(long, value_name = "URL", value_parser = web)]
    pub served: Vec<String>,
    /// The algorithm of new keys
    #[arg(long, value_enum, ignore_case = true, default_value = "RS256")]
    pub algorithm: AlgorithmName,
    /// The timers.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// How to fetch the documents as anyone does.
    #[command(flatten)]
    pub fetch: FetchArgs,
    /// S3.
    #[command(flatten)]
    pub bucket: BucketArgs,
    /// AWS.
    #[command(flatten)]
    pub aws: AwsArgs,
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Address of an API server (several: repeat it) [default: those that registered themselves]
    #[arg(long, value_name = "URL")]
    pub server: Vec<String>,
    /// This node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Begin a rotation now, whatever the calendar says
    #[arg(long)]
    pub now: bool,
    /// Take the timers of this command line also for waits that began under longer ones: only where those were a mistake.
    /// Whoever kept a JWKS, or has a token, for as long as they said is refused
    #[arg(long)]
    pub shorten_waits: bool,
    /// Take a key that somebody else put into the JWKS or an API server into the ring: it drains where it stands, and goes
    #[arg(long, value_name = "KID", allow_hyphen_values = true, value_parser = kid)]
    pub adopt: Option<Kid>,
    /// Strike an API server off that is gone for good
    #[arg(long, value_name = "URL")]
    pub forget_server: Option<String>,
    /// This key is in foreign hands: replace it at once, without waiting for caches or living tokens. Lists the workloads
    /// that break, and asks
    #[arg(long, value_name = "KID", allow_hyphen_values = true, value_parser = kid)]
    pub compromised: Option<Kid>,
    /// Do not ask: refuse every living token of the compromised key
    #[arg(long, requires = "compromised")]
    pub yes: bool,
    /// Let a key go although clients were seen, by this run or an earlier one, that never read a new token
    #[arg(long)]
    pub ignore_stale_tokens: bool,
    /// How long nobody else acts after a run has said what it is about to do, where no lock shows that it is dead; at least
    /// 20m where a bucket of another host is written
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30m")]
    pub lease: Duration,
    /// Say what would be done next, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Pretend that it is this time, with --dry-run
    #[arg(long, value_name = "RFC3339", value_parser = crate::commands::token::timestamp, requires = "dry_run")]
    pub at: Option<Timestamp>,
    /// Change nothing, and exit with 3 if something can be done now
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
}

/// This control-plane node.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "This control-plane node")]
pub struct NodeArgs {
    /// Address of this node's API server, as in the list of API servers
    #[arg(long, value_name = "URL", requires = "manifest")]
    pub here: Option<String>,
    /// Static pod manifest of this node's kube-apiserver
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "here")]
    pub manifest: Option<PathBuf>,
    /// Manifest of kube-controller-manager [default: kube-controller-manager.yaml beside it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub controller_manager_manifest: Option<PathBuf>,
    /// Where keys are placed for the API server
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes/irsa")]
    pub key_directory: String,
    /// Go on although fewer than two other API servers are healthy
    #[arg(long)]
    pub allow_single: bool,
    /// How long a new state of the API server may take to be seen
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub rollout_timeout: Duration,
    /// Where this host's files are found, when irsa runs in a container
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = ValueHint::DirPath)]
    pub root: PathBuf,
    /// Where manifests as they were are kept
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub backup: Option<PathBuf>,
}

/// The kind of key that an algorithm needs.
pub(super) fn kind(algorithm: AlgorithmName) -> KeyKind {
    use irsa_core::algorithm::Curve;
    match algorithm {
        AlgorithmName::Rs256 => KeyKind::Rsa2048,
        AlgorithmName::Es256 => KeyKind::Ec(Curve::P256),
        AlgorithmName::Es384 => KeyKind::Ec(Curve::P384),
        AlgorithmName::Es512 => KeyKind::Ec(Curve::P521),
    }
}

/// Reads a kid.
fn kid(text: &str) -> Result<Kid, String> {
    Kid::parse(text).ok_or_else(|| "a Kubernetes kid has 43 characters of base64url".to_owned())
}

/// Reads the URL of a JWKS.
fn web(text: &str) -> Result<String, String> {
    if text.starts_with("https://") || text.starts_with("http://") {
        Ok(text.to_owned())
    } else {
        Err("write the whole URL of the JWKS there: https://10.0.0.5:8443/keys.json".to_owned())
    }
}
