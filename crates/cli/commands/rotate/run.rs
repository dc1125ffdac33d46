//! `irsa rotate` itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use irsa_core::kid::Kid;
use irsa_core::ring::KeyRing;
use irsa_core::rotation::Action;
use irsa_issuer::keygen::KeyKind;
use irsa_issuer::relying_party::RelyingParty;
use irsa_issuer::state::dir::StateDirectory;
use irsa_issuer::state::keys::KeysAtRest;
use jiff::Timestamp;
use serde::Serialize;

use super::node::Node;
use super::policy::PolicyArgs;
use super::world::Outside;
use crate::args::{DocumentArgs, FetchArgs, duration};
use crate::commands::apiserver::servers::ClusterArgs;
use crate::commands::apiserver::wanted::WantedArgs;
use crate::commands::keys::generate::AlgorithmName;
use crate::context::Context;
use crate::drive::{self, Came, Course};
use crate::exit::Exit;
use crate::output::Render;
use crate::report::{self, Failure};

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
    /// Directory of the key ring and of the private keys, mode 0700
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// Where the documents are published: dir:PATH (several: repeat it)
    #[arg(long, value_name = "dir:PATH", value_parser = target)]
    pub to: Vec<PathBuf>,
    /// The algorithm of new keys
    #[arg(long, value_enum, ignore_case = true, default_value = "RS256")]
    pub algorithm: AlgorithmName,
    /// The timers.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// How to fetch the documents as anyone does.
    #[command(flatten)]
    pub fetch: FetchArgs,
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
    /// Take a key that somebody else put into the JWKS or an API server into the ring: it drains and goes
    #[arg(long, value_name = "KID", allow_hyphen_values = true, value_parser = kid)]
    pub adopt: Option<Kid>,
    /// Strike an API server off that is gone for good
    #[arg(long, value_name = "URL")]
    pub forget_server: Option<String>,
    /// This key is in foreign hands: replace it at once, without waiting for caches or living tokens
    #[arg(long, value_name = "KID", allow_hyphen_values = true, value_parser = kid, requires = "yes")]
    pub compromised: Option<Kid>,
    /// Yes, refuse every living token of the compromised key
    #[arg(long)]
    pub yes: bool,
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

#[derive(Serialize)]
struct Outcome {
    done: Vec<String>,
    dry_run: bool,
    waiting: Vec<Waiting>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Waiting {
    until: Option<Timestamp>,
    reason: String,
}

impl Render for Outcome {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Advances a rotation as far as it is safe.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    context.block_on(async {
        let (dry_run, check) = (args.dry_run || args.check, args.check);
        let state = args.state.clone().ok_or_else(|| {
            Failure::usage(
                "no place for the key ring",
                "add --state DIR: a directory of this host, mode 0700",
            )
        })?;
        let store = StateDirectory::lock(&state)?;
        let (issuer, _) = args.document.require(context)?;
        let course = Course {
            issuer,
            policy: args.policy.policy()?,
            holder: holder(),
            dry_run,
            at: args.at,
        };
        let asked = Asked {
            now: args.now,
            adopt: args.adopt.clone(),
            forget: args.forget_server.clone(),
            compromised: args.compromised.clone(),
        };
        let mut world = outside(args, &state, context).await?;
        let came = drive::drive(&store, &mut world, &course, |ring, now| {
            asked.edit(ring, now)
        })
        .await?;
        context.print(&outcome(&came, dry_run))?;
        if let Some(block) = came.block {
            return Err(block.into());
        }
        Ok(match (check && !came.actions.is_empty(), came.retryable) {
            (true, _) => Exit::Differences,
            (false, true) => Exit::TryAgain,
            (false, false) => Exit::Done,
        })
    })
}

/// What a person asks of the ring.
struct Asked {
    now: bool,
    adopt: Option<Kid>,
    forget: Option<String>,
    compromised: Option<Kid>,
}

impl Asked {
    fn edit(&self, ring: &KeyRing, now: Timestamp) -> Result<Option<KeyRing>, Failure> {
        let why = || "asked for on the command line".to_owned();
        let mut edited: Option<KeyRing> = None;
        let unknown = |what: String| {
            Failure::usage(
                what,
                "irsa rotate status shows the keys and servers of the ring",
            )
        };
        if let Some(kid) = &self.compromised {
            let ring = ring.compromised(kid, why(), now);
            edited =
                Some(ring.ok_or_else(|| unknown(format!("key {kid} is not in the key ring")))?);
        }
        if let Some(kid) = &self.adopt {
            // Done before: a second run changes nothing.
            edited = edited
                .as_ref()
                .unwrap_or(ring)
                .adopted(kid, why(), now)
                .or(edited);
        }
        if let Some(server) = &self.forget {
            let found = edited
                .as_ref()
                .unwrap_or(ring)
                .forgotten(server, why(), now);
            edited = Some(found.ok_or_else(|| {
                unknown(format!("API server \"{server}\" is not in the key ring"))
            })?);
        }
        if self.now {
            let ring = edited.as_ref().unwrap_or(ring);
            if ring.next().is_some() {
                report::note("a rotation is under way already");
            } else {
                edited = Some(ring.request(why(), now));
            }
        }
        Ok(edited)
    }
}

async fn outside<'a>(
    args: Args,
    state: &std::path::Path,
    context: &'a Context,
) -> Result<Outside<'a>, Failure> {
    let Args {
        document,
        to,
        algorithm,
        fetch,
        cluster,
        server,
        node,
        ..
    } = args;
    if to.is_empty() {
        return Err(Failure::usage(
            "no place for the documents",
            "add --to dir:PATH",
        ));
    }
    let (issuer, jwks_uri) = document.require(context)?;
    let config = cluster.config(&node.root).await?;
    let servers = cluster.servers(&config, &server).await?;
    let urls: Vec<String> = servers
        .iter()
        .map(|server| server.url().to_owned())
        .collect();
    let account = cluster.service_account.clone();
    let node = on_node(node, document, cluster, &urls, context)?;
    Ok(Outside {
        issuer,
        jwks_uri,
        kind: kind(algorithm),
        keys: KeysAtRest::new(state.to_owned()),
        sinks: to
            .into_iter()
            .map(|path| (format!("dir:{}", path.display()), path))
            .collect(),
        relying_party: RelyingParty::new(fetch.ca_file.as_deref(), fetch.timeout),
        servers,
        account,
        config,
        node,
        seen: std::collections::BTreeMap::new(),
    })
}

fn on_node<'a>(
    node: NodeArgs,
    document: DocumentArgs,
    cluster: ClusterArgs,
    servers: &[String],
    context: &'a Context,
) -> Result<Option<Node<'a>>, Failure> {
    let NodeArgs {
        here,
        manifest,
        controller_manager_manifest,
        key_directory,
        allow_single,
        rollout_timeout: timeout,
        root,
        backup,
    } = node;
    let (Some(here), Some(manifest)) = (here, manifest) else {
        return Ok(None);
    };
    let here = here.trim_end_matches('/').to_owned();
    if !servers.contains(&here) {
        return Err(Failure::usage(
            format!(
                "{here} is not among the API servers: {}",
                servers.join(", ")
            ),
            "give --here the address of this node's API server as it stands in that list",
        ));
    }
    let peers = servers
        .iter()
        .filter(|url| **url != here)
        .cloned()
        .collect();
    let wanted = WantedArgs {
        document,
        key_file: Vec::new(),
        signing_key_file: None,
        api_audience: Vec::new(),
        alone: true,
    };
    Ok(Some(Node {
        server: here,
        manifest,
        controller_manager_manifest,
        peers,
        key_directory,
        wanted,
        cluster,
        allow_single,
        timeout,
        root,
        backup,
        context,
    }))
}

fn kind(algorithm: AlgorithmName) -> KeyKind {
    use irsa_core::algorithm::Curve;
    match algorithm {
        AlgorithmName::Rs256 => KeyKind::Rsa2048,
        AlgorithmName::Es256 => KeyKind::Ec(Curve::P256),
        AlgorithmName::Es384 => KeyKind::Ec(Curve::P384),
        AlgorithmName::Es512 => KeyKind::Ec(Curve::P521),
    }
}

/// Host and process: nobody else has this name while we live.
fn holder() -> String {
    let name = rustix::system::uname();
    let host = name.nodename().to_string_lossy().into_owned();
    format!("{host}:{}", std::process::id())
}

fn outcome(came: &Came, dry_run: bool) -> Outcome {
    let done: Vec<String> = came.actions.iter().map(Action::to_string).collect();
    let waiting: Vec<Waiting> = came
        .waits
        .iter()
        .map(|wait| Waiting {
            until: wait.until,
            reason: wait.reason.to_string(),
        })
        .collect();
    let mut lines: Vec<String> = done
        .iter()
        .map(|action| {
            if dry_run {
                format!("would {action}")
            } else {
                action.clone()
            }
        })
        .collect();
    lines.extend(waiting.iter().map(|wait| match wait.until {
        Some(until) => format!("waits until {until}: {}", wait.reason),
        None => format!("waits: {}", wait.reason),
    }));
    if lines.is_empty() {
        lines.push("nothing was done".to_owned());
    }
    Outcome {
        done,
        dry_run,
        waiting,
        text: lines.join("\n"),
    }
}

/// Reads a kid.
pub(super) fn kid(text: &str) -> Result<Kid, String> {
    Kid::parse(text).ok_or_else(|| "a Kubernetes kid has 43 characters of base64url".to_owned())
}

/// Reads `dir:PATH`.
fn target(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("dir:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err("write it like dir:/var/www/oidc".to_owned()),
    }
}
