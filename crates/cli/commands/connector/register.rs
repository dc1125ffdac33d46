//! `irsa connector register`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, ValueHint};
use irsa_connector::cluster::Cluster;
use irsa_connector::connect::{Connected, Connection, Target};
use irsa_connector::grant::Grants;
use irsa_connector::image::Images;
use irsa_connector::journal::Journal;
use irsa_connector::manifest::Manifest;
use irsa_connector::plan::{Request, RoleChoice};
use irsa_connector::principal::ConsoleArn;
use irsa_connector::provider::Provider;
use irsa_connector::register::Timing;
use irsa_connector::role::{MARK_TAG, role_name_of};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{JournalArgs, RegistrationArgs, Session};
use crate::args::duration;
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::output::Render;
use crate::report::{self, Failure};
use crate::visible::visible;

/// Register this cluster with EKS, so that the EKS console shows it.
///
/// Everything that can fail is tried first: names, Region, credentials, the API server, the namespaces of the grants.
/// Then the service-linked role, a role for the agents and the registration are made, and the agents are installed. The
/// activation code, which AWS returns once, is kept in a journal until the cluster is connected: a run that was
/// interrupted goes on when it is repeated.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[command(group = ArgGroup::new("way").args(["apply", "out", "dry_run"]).required(true).multiple(true))]
pub struct Args {
    /// Which registration.
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Where the cluster runs: EKS_ANYWHERE, ANTHOS, GKE, AKS, OPENSHIFT, TANZU, RANCHER, EC2 or OTHER, in any case
    #[arg(long, value_name = "PROVIDER")]
    pub provider: String,
    /// A role of yours for the agents [default: one that irsa makes and deletes]
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,
    /// Bound the role that irsa makes by this policy
    #[arg(long, value_name = "ARN", conflicts_with = "role_arn")]
    pub permissions_boundary: Option<String>,
    /// Tag of the cluster in EKS (several: repeat it)
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub tag: Vec<(String, String)>,
    /// Who may see the cluster in the console: ARN=full, ARN=ns:NAMESPACE,… or ARN=impersonate (several: repeat it)
    /// [default: you, full]
    #[arg(long, value_name = "ARN=ACCESS")]
    pub grant: Vec<String>,
    /// Install the agents in the cluster of the kubeconfig
    #[arg(long)]
    pub apply: bool,
    /// Write the objects to files in this folder, mode 0600, for kubectl apply --server-side -f DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "apply")]
    pub out: Option<PathBuf>,
    /// Print the calls and objects, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until the cluster is connected
    #[arg(long)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub timeout: Duration,
    /// Another image: connector=REFERENCE or agent=REFERENCE, pinned by tag or digest
    #[arg(long, value_name = "NAME=REFERENCE")]
    pub image: Vec<String>,
    /// A registry that mirrors public.ecr.aws
    #[arg(long, value_name = "REGISTRY")]
    pub image_mirror: Option<String>,
    /// Take over fields of objects that another tool owns
    #[arg(long)]
    pub force_conflicts: bool,
    /// The journal.
    #[command(flatten)]
    pub journal: JournalArgs,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// What is asked for, as far as it can be read without AWS.
struct Wanted {
    provider: Provider,
    role_arn: Option<String>,
    boundary: Option<String>,
    tags: BTreeMap<String, String>,
    grants: Option<Grants>,
    images: Images,
    out: Option<PathBuf>,
    force: bool,
    wait: Option<Duration>,
}

#[derive(Serialize)]
struct Planned {
    cluster_arn: String,
    calls: Vec<String>,
    objects: Vec<Value>,
}

impl Render for Planned {
    fn text(&self) -> String {
        let mut lines: Vec<String> = self.calls.iter().map(|call| visible(call)).collect();
        for object in &self.objects {
            lines.push("---".into());
            let yaml = serde_saphyr::to_string(object).unwrap_or_else(|error| error.to_string());
            lines.push(yaml.trim_end().to_owned());
        }
        lines.push("nothing was changed".into());
        lines.join("\n")
    }
}

#[derive(Serialize)]
struct Registered {
    cluster_arn: String,
    status: String,
    role_arn: String,
    activation_expires: Option<Timestamp>,
    grants: Vec<String>,
    files: Vec<PathBuf>,
    next: Option<String>,
}

impl Render for Registered {
    fn text(&self) -> String {
        let mut lines = vec![
            format!("cluster     {}", self.cluster_arn),
            format!("status      {}", visible(&self.status)),
            format!("agent role  {}", visible(&self.role_arn)),
        ];
        if let Some(expiry) = self.activation_expires {
            lines.push(format!("activation  expires {expiry}"));
        }
        lines.extend(
            self.grants
                .iter()
                .map(|grant| format!("grant       {grant}")),
        );
        let files = self.files.iter();
        lines.extend(
            files.map(|path| format!("written     {}", visible(&path.display().to_string()))),
        );
        lines.extend(self.next.iter().map(|next| format!("next        {next}")));
        lines.join("\n")
    }
}

/// Registers the cluster.
pub fn run(args: Args, context: &Context) -> Result<Exit, Failure> {
    let Args {
        registration,
        provider,
        role_arn,
        permissions_boundary,
        tag,
        grant,
        apply,
        out,
        dry_run,
        wait,
        timeout,
        image,
        image_mirror,
        force_conflicts,
        journal,
        kubernetes,
    } = args;
    let grants = Grants::parse(&grant).map_err(|error| Failure::refused(&error))?;
    let images = Images::resolve(image_mirror.as_deref(), &image);
    let wanted = Wanted {
        provider: Provider::parse(&provider).map_err(|error| Failure::refused(&error))?,
        role_arn: role_arn.map(given_role).transpose()?,
        boundary: permissions_boundary,
        tags: tags(tag)?,
        grants: (!grants.is_empty()).then_some(grants),
        images: images.map_err(|error| Failure::refused(&error))?,
        out,
        force: force_conflicts,
        wait: wait.then_some(timeout),
    };
    let journal = journal.root()?;
    context.block_on(async {
        let session = registration.open().await?;
        let journal = Journal::new(&journal, &session.registration);
        let cluster = if apply {
            Some(Cluster::new(kubernetes.client().await?))
        } else {
            None
        };
        let connection = connection(session, wanted, cluster)?;
        connection.preflight().await?;
        if dry_run {
            let (steps, objects) = connection.planned(&journal).await?;
            context.print(&Planned {
                cluster_arn: connection.request.registration.cluster_arn(),
                calls: steps.iter().map(ToString::to_string).collect(),
                objects: objects.iter().map(Manifest::shown).collect(),
            })?;
            return Ok(Exit::Done);
        }
        let connected = connection.register(&journal.lock()?).await?;
        context.print(&result(&connection, connected))?;
        Ok(Exit::Done)
    })
}

/// The registration with all that it needs; who calls is granted access when nobody is named.
fn connection(
    session: Session,
    wanted: Wanted,
    cluster: Option<Cluster>,
) -> Result<Connection, Failure> {
    let Wanted {
        provider,
        role_arn,
        boundary,
        tags,
        grants,
        images,
        out,
        force,
        wait,
    } = wanted;
    let Session {
        aws,
        caller,
        registration,
    } = session;
    let account = format!(":{}:", registration.account);
    if let Some(arn) = role_arn.as_ref().filter(|arn| !arn.contains(&account)) {
        return Err(Failure::usage(
            format!("role {arn} is not in your account {}", registration.account),
            "a role can only be passed within its account: log in to the other one, or give another --role-arn",
        ));
    }
    let grants = if let Some(grants) = grants {
        grants
    } else {
        let caller = ConsoleArn::parse(&caller.arn).map_err(|error| {
            let message = "no --grant is given, and you cannot be granted access yourself";
            Failure::prefixed(message, &error)
        })?;
        report::note(&format!(
            "no --grant is given: {caller} gets full read access in the console"
        ));
        Grants::full(caller)
    };
    let target = match (cluster, out) {
        (Some(cluster), _) => Target::Cluster { cluster, force },
        (None, Some(directory)) => Target::Files(directory),
        (None, None) => Target::Nowhere,
    };
    Ok(Connection {
        aws,
        request: Request {
            registration,
            provider,
            role: role_arn.map_or(RoleChoice::Own { boundary }, RoleChoice::Given),
            tags,
        },
        grants,
        images,
        target,
        wait,
        timing: Timing::default(),
    })
}

fn result(connection: &Connection, connected: Connected) -> Registered {
    let Connected {
        record,
        status,
        expiry,
        files,
    } = connected;
    let next = match (&connection.target, status.as_str()) {
        (_, "ACTIVE") => None,
        (Target::Files(directory), _) => Some(format!(
            "kubectl apply --server-side -f {}, then this command again with --wait: it erases the activation code; then delete that folder",
            directory.display()
        )),
        _ => Some(format!(
            "irsa connector status --name {}",
            connection.request.registration.name
        )),
    };
    Registered {
        cluster_arn: record.cluster_arn,
        role_arn: record.role_arn,
        activation_expires: expiry,
        status,
        grants: connection.grants.to_string_list(),
        files,
        next,
    }
}

fn given_role(arn: String) -> Result<String, Failure> {
    if role_name_of(&arn).is_some() {
        return Ok(arn);
    }
    Err(Failure::usage(
        format!("\"{arn}\" is no ARN of a role"),
        "write it like --role-arn arn:aws:iam::111122223333:role/NAME",
    ))
}

fn tags(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    for (key, value) in given {
        if tags.insert(key.clone(), value).is_some() {
            return Err(Failure::usage(
                format!("tag \"{key}\" is given twice"),
                "give each tag once",
            ));
        }
    }
    // EKS takes 50, and the registration's mark is one.
    if tags.len() > 49 {
        return Err(Failure::usage(
            format!("there are {} tags, expected 49 at most", tags.len()),
            "leave some out",
        ));
    }
    Ok(tags)
}

/// Reads `KEY=VALUE` within the bounds of the EKS API (`TagKey`, `TagValue`).
fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "write it like KEY=VALUE".to_owned())?;
    if key.is_empty() || key.chars().count() > 128 {
        return Err("a key has 1 to 128 characters".into());
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err("keys that begin with aws: are AWS's own".into());
    }
    if key == MARK_TAG {
        return Err("irsa sets this one itself".into());
    }
    if value.chars().count() > 256 {
        return Err("a value has 256 characters at most".into());
    }
    Ok((key.to_owned(), value.to_owned()))
}
