//! Parts of the chain whose rules are in crates of their own: the key generator, kube-apiserver's files, the webhook.

use irsa_apiserver::plan::Wanted;
use irsa_core::algorithm::Curve;
use irsa_core::bootstrap::{FileChange, ObjectChange};
use irsa_core::issuer::IssuerUrl;
use irsa_issuer::keygen::KeyKind;
use irsa_webhook::install::{self, Verb};
use irsa_webhook::manifest;
use kube::Client;
use serde_json::Value;

use crate::args::{DocumentArgs, IssuerArgs};
use crate::commands::apiserver::patch::{self, PhaseArg, Planned};
use crate::commands::apiserver::{self, wanted::WantedArgs};
use crate::commands::keys::generate::AlgorithmName;
use crate::commands::webhook::WebhookSection;
use crate::commands::webhook::manifest::DeploymentArgs;
use crate::config::ClusterSection;
use crate::config::cluster::{ApiserverStep, KeysSection, WebhookStep};
use crate::context::Context;
use crate::kubernetes::KubernetesArgs;
use crate::report::Failure;

/// The kind of key that the section asks for, and what it is called.
pub(super) fn key_kind(section: &KeysSection) -> Result<(KeyKind, String), Failure> {
    let algorithm = section.algorithm.unwrap_or(AlgorithmName::Rs256);
    let kind = match (algorithm, section.rsa_bits) {
        (AlgorithmName::Rs256, None | Some(2048)) => (KeyKind::Rsa2048, "RS256"),
        (AlgorithmName::Rs256, Some(3072)) => (KeyKind::Rsa3072, "RS256, 3072 bits"),
        (AlgorithmName::Rs256, Some(4096)) => (KeyKind::Rsa4096, "RS256, 4096 bits"),
        (AlgorithmName::Es256, None) => (KeyKind::Ec(Curve::P256), "ES256"),
        (AlgorithmName::Es384, None) => (KeyKind::Ec(Curve::P384), "ES384"),
        (AlgorithmName::Es512, None) => (KeyKind::Ec(Curve::P521), "ES512"),
        (_, Some(bits)) => {
            return Err(Failure::usage(
                format!("keys.rsa_bits is {bits}"),
                "2048, 3072 or 4096, and with algorithm: RS256 only",
            ));
        }
    };
    Ok((kind.0, kind.1.to_owned()))
}

/// The control plane's files that are not as they shall be.
#[derive(Debug, Default)]
pub struct Files(Vec<Planned>);

impl Files {
    /// What changes in each.
    pub(super) fn rows(&self) -> impl Iterator<Item = FileChange> {
        self.0.iter().map(|planned| FileChange {
            path: planned.path.display().to_string(),
            diff: planned.diff().to_owned(),
        })
    }

    /// Writes one of them, with a backup.
    pub(super) fn write(&mut self, path: &str, step: &ApiserverStep) -> Result<(), Failure> {
        let named = |planned: &Planned| planned.path.display().to_string() == path;
        if let Some(at) = self.0.iter().position(named) {
            let backups = apiserver::backups(step.backup.clone())?;
            self.0.swap_remove(at).write(&backups, phase(step))?;
        }
        Ok(())
    }
}

fn phase(step: &ApiserverStep) -> PhaseArg {
    step.phase.unwrap_or(PhaseArg::Accept)
}

/// Plans the changes of the control plane's files; none while the issuer is not known. With `warn` it says what a person
/// should know of them.
pub(super) fn files(
    section: &ClusterSection,
    issuer: Option<&IssuerUrl>,
    context: &Context,
    warn: bool,
) -> Result<Files, Failure> {
    let (Some(step), Some(issuer)) = (&section.apiserver, issuer) else {
        return Ok(Files::default());
    };
    if phase(step) == PhaseArg::Retire {
        return Err(Failure::usage(
            "cluster.apiserver.phase is retire",
            "setting up removes nothing: irsa apiserver patch --phase retire does",
        ));
    }
    let wanted: Wanted = WantedArgs {
        document: DocumentArgs {
            issuer: IssuerArgs {
                issuer: Some(issuer.to_string()),
                allow_trailing_slash: false,
            },
            jwks_uri: section.jwks_uri.clone(),
        },
        key_file: Vec::new(),
        signing_key_file: None,
        api_audience: Vec::new(),
        alone: false,
    }
    .resolve(context)?;
    let mut files = Vec::new();
    for path in &step.files {
        let distro = step.distro.and_then(apiserver::DistroChoice::known);
        let planned = patch::plan(path.clone(), distro, &wanted, phase(step).into())?;
        if warn {
            planned.warn();
        }
        if !planned.diff().is_empty() {
            files.push(planned);
        }
    }
    Ok(Files(files))
}

/// The webhook's objects that are not as they shall be.
#[derive(Debug, Default)]
pub struct Objects {
    client: Option<QuietClient>,
    changes: Vec<install::Change>,
}

struct QuietClient(Client);

impl std::fmt::Debug for QuietClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Objects {
    /// What changes in each.
    pub(super) fn rows(&self) -> impl Iterator<Item = ObjectChange> {
        self.changes.iter().map(row)
    }

    /// Applies one of them.
    pub(super) async fn apply(&self, wanted: &ObjectChange) -> Result<(), Failure> {
        let found = self.changes.iter().find(|change| row(change) == *wanted);
        if let (Some(change), Some(client)) = (found, &self.client) {
            install::apply(&client.0, change).await?;
        }
        Ok(())
    }
}

fn row(change: &install::Change) -> ObjectChange {
    ObjectChange {
        verb: format!("{:?}", change.verb).to_lowercase(),
        object: change.object.to_string(),
    }
}

/// Plans the webhook's objects; nobody is asked when none is wanted.
pub(super) async fn objects(
    section: &ClusterSection,
    pods: &WebhookSection,
    kubernetes: &KubernetesArgs,
) -> Result<Objects, Failure> {
    let Some(objects) = webhook(section, pods)? else {
        return Ok(Objects::default());
    };
    let client = kubernetes.client().await?;
    let mut changes = install::plan(&client, &objects).await?;
    changes.retain(|change| change.verb != Verb::Keep);
    Ok(Objects {
        client: Some(QuietClient(client)),
        changes,
    })
}

/// The webhook's objects as they shall be, if one is wanted.
pub(super) fn webhook(
    section: &ClusterSection,
    pods: &WebhookSection,
) -> Result<Option<Vec<Value>>, Failure> {
    let Some(step) = &section.webhook else {
        return Ok(None);
    };
    let objects = manifest::objects(&deployment(step).options(pods)?);
    objects.map(Some).map_err(|error| Failure::refused(&error))
}

/// How the webhook is deployed.
pub(super) fn deployment(step: &WebhookStep) -> DeploymentArgs {
    DeploymentArgs {
        image: step.image.clone(),
        namespace: step
            .namespace
            .clone()
            .unwrap_or_else(|| "kube-system".to_owned()),
        replicas: step.replicas.unwrap_or(2),
        flags: step.flags.clone(),
    }
}
