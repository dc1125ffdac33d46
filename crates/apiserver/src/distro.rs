//! The distributions: one file each, and how a file is recognised.

mod capi;
mod eks_anywhere;
mod k3s;
mod kind;
mod kops;
mod kubeadm;
mod kubeadm_config;
mod rke2;
mod talos;

use std::fmt;
use std::path::Path as FilePath;
use std::str::FromStr;

use irsa_core::explain::Explain;
use serde_json::Value;

use crate::component::{Component, ComponentError, Role};
use crate::edit::Path;
use crate::plan::Phase;

/// Whether a distribution reads this file where it is, and starts as well without it.
pub fn need_not_be_there(path: &FilePath) -> bool {
    k3s::need_not_be_there(path)
}

/// A way in which clusters are set up, each with a file format of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distro {
    /// The static pod manifests that kubeadm writes.
    Kubeadm,
    /// kubeadm's own configuration.
    KubeadmConfig,
    /// Cluster API's `KubeadmControlPlane`.
    Capi,
    /// EKS Anywhere's cluster specification.
    EksAnywhere,
    /// The configuration of k3s.
    K3s,
    /// The configuration of RKE2.
    Rke2,
    /// kind's cluster configuration.
    Kind,
    /// Talos' machine configuration.
    Talos,
    /// kOps' cluster specification.
    Kops,
}

/// What the product knows of a distribution.
struct Knowledge {
    distro: Distro,
    name: &'static str,
    /// What in a document, or in the path of the file, shows that it is of this distribution.
    recognise: fn(&Value, &FilePath) -> Option<String>,
    components: fn(&[Value]) -> Result<Vec<Component>, ComponentError>,
    /// How a changed file gets to the cluster.
    next: &'static str,
    /// What comes before that when key files are named that were not; empty when nothing does.
    keys: &'static str,
    /// How the file makes a cluster that does not exist yet; empty when that is the same.
    new: &'static str,
    /// What to do where the file cannot hold two values of a flag.
    only_one: &'static str,
}

/// Adding a distribution is a file, a name and a line here.
const ALL: &[Knowledge] = &[
    kubeadm::KNOWLEDGE,
    kubeadm_config::KNOWLEDGE,
    capi::KNOWLEDGE,
    eks_anywhere::KNOWLEDGE,
    k3s::KNOWLEDGE,
    rke2::KNOWLEDGE,
    kind::KNOWLEDGE,
    talos::KNOWLEDGE,
    kops::KNOWLEDGE,
];

/// What a file was taken for, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The distribution.
    pub distro: Distro,
    /// What in the file shows it.
    pub evidence: String,
}

/// Why a file's distribution cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// Nothing known.
    #[error("it is of no distribution that is known here")]
    Unknown,
    /// Something around a file that is known.
    #[error("it is a {kind}, and what irsa changes is inside")]
    Wrapped {
        /// Its kind.
        kind: &'static str,
        /// How to take out what is inside.
        advice: &'static str,
    },
    /// Two, and no reason to prefer one.
    #[error("it could be {} ({}) or {} ({})", .0.distro, .0.evidence, .1.distro, .1.evidence)]
    Ambiguous(Detected, Detected),
    /// Not what `--distro` says.
    #[error("it is not a file of {0}")]
    Not(Distro),
}

impl Explain for DetectError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unknown | Self::Not(_) => format!(
                "a file of one of these is needed: {}",
                Distro::all()
                    .map(|distro| distro.to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Self::Wrapped { advice, .. } => (*advice).to_owned(),
            Self::Ambiguous(first, second) => {
                format!(
                    "say --distro {} or --distro {}",
                    first.distro, second.distro
                )
            }
        })
    }
}

impl Distro {
    /// Every distribution.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|known| known.distro)
    }

    /// The components of a file of this distribution.
    pub fn components(self, documents: &[Value]) -> Result<Vec<Component>, ComponentError> {
        (self.knowledge().components)(documents)
    }

    /// How a file that was changed for a phase gets to the cluster; `keys` says whether it names key files that it did
    /// not name before.
    pub fn next(self, phase: Phase, keys: bool) -> String {
        let known = self.knowledge();
        let next = if phase == Phase::New && !known.new.is_empty() {
            known.new
        } else {
            known.next
        };
        if keys && !known.keys.is_empty() {
            return format!("{}; then {next}", known.keys);
        }
        next.to_owned()
    }

    /// Where the distribution itself publishes the documents of the issuer that signs, whichever that is: the place in
    /// the file, and what stands there.
    pub fn discovery_store(self, documents: &[Value]) -> Option<(Path, &str)> {
        (self == Self::Kops).then(|| kops::discovery_store(documents))?
    }

    /// What to do where the file cannot hold two values of a flag.
    pub fn only_one(self) -> &'static str {
        self.knowledge().only_one
    }

    /// What shows that a file is of this distribution.
    pub fn recognise(self, documents: &[Value], path: &FilePath) -> Option<String> {
        documents
            .iter()
            .find_map(|document| (self.knowledge().recognise)(document, path))
    }

    /// What shows it, or that nothing speaks against it, when somebody says that a file is of this distribution: a
    /// configuration of k3s or RKE2 may have no key that only they know, or none at all.
    pub fn claim(self, documents: &[Value], path: &FilePath) -> Option<String> {
        self.recognise(documents, path).or_else(|| {
            let [Value::Object(keys)] = documents else {
                return None;
            };
            let unmarked = [Self::K3s, Self::Rke2].contains(&self)
                && !keys.contains_key("apiVersion")
                && !keys.contains_key("kind");
            let mut others = Self::all().filter(|other| *other != self);
            let free = unmarked && others.all(|other| other.recognise(documents, path).is_none());
            free.then(|| "as --distro says".to_owned())
        })
    }

    fn knowledge(self) -> &'static Knowledge {
        ALL.iter()
            .find(|known| known.distro == self)
            .unwrap_or(&kubeadm::KNOWLEDGE)
    }
}

/// Tells the distribution of a file from what is in it, or refuses to guess.
pub fn detect(documents: &[Value], path: &FilePath) -> Result<Detected, DetectError> {
    let mut found = Distro::all().filter_map(|distro| {
        let evidence = distro.recognise(documents, path)?;
        Some(Detected { distro, evidence })
    });
    match (found.next(), found.next()) {
        (None, _) => Err(wrapped(documents).unwrap_or(DetectError::Unknown)),
        (Some(one), None) => Ok(one),
        (Some(first), Some(second)) => Err(DetectError::Ambiguous(first, second)),
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.knowledge().name)
    }
}

impl FromStr for Distro {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = ALL.iter().find(|known| known.name == text);
        known.map(|known| known.distro).ok_or_else(|| {
            let names: Vec<_> = ALL.iter().map(|known| known.name).collect();
            format!("auto, or one of {}", names.join(", "))
        })
    }
}

/// What clusters hand out around a file of theirs.
pub fn wrapped(documents: &[Value]) -> Option<DetectError> {
    documents.iter().find_map(|document| {
        let (kind, advice) = match type_of(document)? {
            ("v1", "ConfigMap") if document.pointer("/data/ClusterConfiguration").is_some() => (
                "ConfigMap",
                "take it out: kubectl -n kube-system get configmap kubeadm-config -o jsonpath='{.data.ClusterConfiguration}' > cluster.yaml",
            ),
            ("v1", "List") => ("List", "name one object when you get it: kubectl get KIND NAME -o yaml > FILE"),
            _ => return None,
        };
        Some(DetectError::Wrapped { kind, advice })
    })
}

/// `apiVersion` and `kind` of a document.
fn type_of(document: &Value) -> Option<(&str, &str)> {
    Some((
        document.get("apiVersion")?.as_str()?,
        document.get("kind")?.as_str()?,
    ))
}

/// The one document of a file that is of a distribution. Two would leave it open which one is meant.
fn the_only(
    documents: &[Value],
    recognise: fn(&Value, &FilePath) -> Option<String>,
) -> Result<(usize, &Value), ComponentError> {
    let mut found = documents
        .iter()
        .enumerate()
        .filter(|(_, document)| recognise(document, FilePath::new("")).is_some());
    let one = found.next().ok_or(ComponentError::None)?;
    match found.next() {
        None => Ok(one),
        Some(_) => Err(ComponentError::Twice(Role::ApiServer)),
    }
}

/// Evidence of the usual kind: a document of this group and kind.
fn has_type(document: &Value, group: &str, kinds: &[&str]) -> Option<String> {
    let (version, kind) = type_of(document)?;
    let fits = version.split('/').next() == Some(group) && kinds.contains(&kind);
    fits.then(|| format!("kind {kind} of {version}"))
}
