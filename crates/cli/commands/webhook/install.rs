//! `irsa webhook install`, `uninstall` and `status`.

use std::time::{Duration, Instant};

use irsa_webhook::install::{self, Change, Standing, Verb};
use irsa_webhook::manifest::{self, ManifestError, ManifestOptions};
use jiff::Timestamp;
use kube::Client;
use serde::Serialize;

use super::manifest::{DeploymentArgs, NetworkArgs, warn_of_left};
use crate::args::duration;
use crate::context::Context;
use crate::exit::Exit;
use crate::kubernetes::KubernetesArgs;
use crate::output::Render;
use crate::report::Failure;

/// Install the webhook in the cluster, or bring it up to date.
///
/// Server-side apply, in the order of the manifest. A webhook of the same name, like amazon-eks-pod-identity-webhook,
/// is taken over. Ends when every replica is available.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// What differs between clusters.
    #[command(flatten)]
    pub deployment: DeploymentArgs,
    /// Who may ask.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do nothing, and exit with 3 if something differs
    #[arg(long, conflicts_with = "dry_run")]
    pub check: bool,
    /// How long to wait for the replicas
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2m")]
    pub timeout: Duration,
    /// Do not wait for the replicas
    #[arg(long)]
    pub no_wait: bool,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Remove the webhook from the cluster, its CA included.
///
/// The registration goes first, so that no pod waits for it. Pods keep what they have; pods made later get no role.
#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// Namespace that it runs in
    #[arg(long, short, value_name = "NAME", default_value = "kube-system")]
    pub namespace: String,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

/// Show whether the webhook is installed, available and trusted.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Namespace that it runs in
    #[arg(long, short, value_name = "NAME", default_value = "kube-system")]
    pub namespace: String,
    /// Exit with 3 if something is wrong
    #[arg(long)]
    pub check: bool,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
}

#[derive(Serialize)]
struct Changed {
    written: bool,
    changes: Vec<Row>,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct Row {
    action: &'static str,
    object: String,
}

impl Render for Changed {
    fn text(&self) -> String {
        self.text.clone()
    }
}

impl Changed {
    fn new(changes: &[Change], written: bool) -> Self {
        let mut lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
        let all_kept = changes.iter().all(|change| change.verb == Verb::Keep);
        lines.push(match (all_kept, written) {
            (true, _) => "nothing to do".to_owned(),
            (false, true) => "done".to_owned(),
            (false, false) => "nothing was written".to_owned(),
        });
        let rows = changes.iter().map(|change| Row {
            action: match change.verb {
                Verb::Create => "create",
                Verb::Update => "update",
                Verb::Keep => "keep",
                Verb::Delete => "delete",
            },
            object: change.object.to_string(),
        });
        Self {
            written: written && !all_kept,
            changes: rows.collect(),
            text: lines.join("\n"),
        }
    }
}

/// Installs.
pub fn install(args: InstallArgs, context: &Context) -> Result<Exit, Failure> {
    let InstallArgs {
        deployment,
        network,
        dry_run,
        check,
        timeout,
        no_wait,
        kubernetes,
    } = args;
    let (flags, namespace) = (&deployment.flags, &deployment.namespace);
    warn_of_left(&context.config.webhook, flags, namespace);
    let options = deployment.options(&context.config.webhook)?;
    let refused = |error: ManifestError| Failure::refused(&error);
    // The policy first: no replica is there before it is.
    let mut objects: Vec<_> = network.policy(&options)?.into_iter().collect();
    objects.extend(manifest::objects(&options).map_err(refused)?);
    context.block_on(async {
        let client = kubernetes.client().await?;
        let changes = install::plan(&client, &objects).await?;
        let differs = changes.iter().any(|change| change.verb != Verb::Keep);
        if dry_run || check {
            context.print(&Changed::new(&changes, false))?;
            return Ok(if check && differs {
                Exit::Differences
            } else {
                Exit::Done
            });
        }
        for change in &changes {
            install::apply(&client, change).await?;
        }
        if !no_wait {
            wait(&client, &options, timeout).await?;
        }
        context.print(&Changed::new(&changes, true))?;
        Ok(Exit::Done)
    })
}

/// Waits until every replica is available and the API server trusts them.
async fn wait(
    client: &Client,
    options: &ManifestOptions,
    timeout: Duration,
) -> Result<(), Failure> {
    let end = Instant::now() + timeout;
    loop {
        let standing = observe(client, &options.namespace).await?;
        let problems = standing.problems();
        if problems.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(NotAvailable {
                namespace: options.namespace.clone(),
                problems: problems.join("; "),
            }
            .into());
        }
        tracing::info!(problems = problems.join("; "), "waiting");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn observe(client: &Client, namespace: &str) -> Result<Standing, Failure> {
    let now = Timestamp::now().as_second();
    Ok(install::observe(client, namespace, now).await?)
}

/// Applied, and not there in time.
#[derive(Debug, thiserror::Error)]
#[error("the webhook is installed and not available yet: {problems}")]
struct NotAvailable {
    namespace: String,
    problems: String,
}

impl irsa_core::explain::Explain for NotAvailable {
    fn help(&self) -> Option<String> {
        Some(format!(
            "kubectl -n {} describe pods -l app=pod-identity-webhook says what they wait for; \
             irsa webhook status looks again",
            self.namespace
        ))
    }

    fn retryable(&self) -> bool {
        true
    }
}

/// Everything that an installation may have made, whatever it was asked for: objects go by their names.
fn removed(namespace: String) -> Result<Vec<serde_json::Value>, ManifestError> {
    let options = ManifestOptions {
        namespace,
        image: "-".to_owned(),
        replicas: 1,
        flags: Vec::new(),
    };
    let any = ["0.0.0.0/0".to_owned()];
    let mut objects = vec![manifest::policy(&options, &any)?];
    objects.extend(manifest::objects(&options)?);
    Ok(objects)
}

/// Removes.
pub fn uninstall(args: UninstallArgs, context: &Context) -> Result<Exit, Failure> {
    let UninstallArgs {
        namespace,
        dry_run,
        kubernetes,
    } = args;
    let objects = removed(namespace).map_err(|error| Failure::refused(&error))?;
    context.block_on(async {
        let client = kubernetes.client().await?;
        let changes = install::plan_removal(&client, &objects).await?;
        if !dry_run {
            for change in &changes {
                install::apply(&client, change).await?;
            }
        }
        context.print(&Changed::new(&changes, !dry_run))?;
        Ok(Exit::Done)
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    namespace: String,
    replicas: Option<i32>,
    available: Option<i32>,
    ca_expires: Option<Timestamp>,
    ca_changing: bool,
    trusted_cas: usize,
    problems: Vec<String>,
}

impl Render for Shown {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        if let (Some(replicas), Some(available)) = (self.replicas, self.available) {
            lines.push(format!(
                "replicas  {available} of {replicas} available in {}",
                self.namespace
            ));
        }
        if let Some(expires) = self.ca_expires {
            let changing = if self.ca_changing { ", changing" } else { "" };
            lines.push(format!("CA        until {expires}{changing}"));
        }
        lines.push(format!(
            "trusted   {} CA(s) in the registration",
            self.trusted_cas
        ));
        if self.problems.is_empty() {
            lines.push("all well".to_owned());
        }
        lines.extend(
            self.problems
                .iter()
                .map(|problem| format!("problem   {problem}")),
        );
        lines.join("\n")
    }
}

/// Shows how it stands.
pub fn status(args: StatusArgs, context: &Context) -> Result<Exit, Failure> {
    let StatusArgs {
        namespace,
        check,
        kubernetes,
    } = args;
    context.block_on(async {
        let client = kubernetes.client().await?;
        let standing = observe(&client, &namespace).await?;
        let problems = standing.problems();
        let wrong = !problems.is_empty();
        let certificate = standing.certificate.ok();
        let expires = certificate.as_ref().and_then(|it| it.ca_expires);
        context.print(&Shown {
            namespace,
            replicas: standing.replicas.map(|(wanted, _)| wanted),
            available: standing.replicas.map(|(_, available)| available),
            ca_expires: expires.and_then(|at| Timestamp::from_second(at).ok()),
            ca_changing: certificate.as_ref().is_some_and(|it| it.changing),
            trusted_cas: certificate.as_ref().map_or(0, |it| it.trusted),
            problems,
        })?;
        Ok(if check && wrong {
            Exit::Differences
        } else {
            Exit::Done
        })
    })
}

const PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_is_all_that_an_installation_has() {
        let kinds: Vec<_> = removed("kube-system".to_owned())
            .unwrap()
            .iter()
            .map(|object| object["kind"].as_str().unwrap_or_default().to_owned())
            .collect();
        for kind in ["NetworkPolicy", "Deployment", "ClusterRole", "Service"] {
            assert!(kinds.iter().any(|found| found == kind), "{kinds:?}");
        }
    }
}
