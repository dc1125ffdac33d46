//! A file brought into a phase: recognised, read, planned, edited, and checked against what was intended.

mod work;

use std::path::Path as FilePath;

use irsa_core::explain::Explain;
use serde_json::Value;

use self::work::Work;
use crate::component::{Component, ComponentError, Place, Role};
use crate::distro::{self, DetectError, Detected, Distro};
use crate::edit::Path;
use crate::flags::{Flag, FlagChange, TokenFlags};
use crate::plan::{self, Phase, PlanError, Wanted};
use crate::shape::ShapeError;
use crate::yaml::{self, YamlError};

/// A file that was read.
#[derive(Debug)]
pub struct Manifest<'a> {
    text: &'a str,
    documents: Vec<Value>,
    /// What it was taken for, and why.
    pub detected: Detected,
    /// Its components.
    pub components: Vec<Component>,
}

/// A file in its new state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched {
    /// The new text.
    pub text: String,
    /// What changes in the flags.
    pub changes: Vec<(Role, FlagChange)>,
    /// How many volumes and mounts are added.
    pub mounts: usize,
}

/// Why a file is not changed.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// It cannot be read or edited safely.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// It is of no distribution, or of two.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// Its components cannot be told.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// Its flags cannot become what is wanted.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its form cannot hold them.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// More values of a flag than the distribution's file can hold.
    #[error("{source}")]
    OnlyOne {
        /// Which distribution.
        distro: Distro,
        /// What is needed.
        #[source]
        source: ShapeError,
    },
    /// Issuers joined by a comma, where the distribution's file can hold one.
    #[error(transparent)]
    Joined(PlanError),
    /// The distribution would publish the documents of another issuer in the place of those in use.
    #[error(
        "{path} is \"{store}\": kOps would write a discovery document of \"{issuer}\" there, whose JWKS is {issuer}/openid/v1/jwks{}",
        gone.as_ref().map_or_else(String::new, |gone| format!(", over that of \"{gone}\": AWS refuses the tokens of it that pods still hold"))
    )]
    DiscoveryStore {
        /// Where in the file.
        path: Path,
        /// The store.
        store: String,
        /// The issuer that would sign.
        issuer: String,
        /// The one that signs now.
        gone: Option<String>,
    },
    /// The edits did not lead to what they were made for.
    #[error("{flag} of {role} would not be as intended")]
    NotReached {
        /// Which program.
        role: Role,
        /// Which flag.
        flag: Flag,
    },
    /// A key file that the component would not see.
    #[error("the directory \"{directory}\" cannot be mounted into {role} by this file")]
    NotVisible {
        /// Which directory.
        directory: String,
        /// Which program.
        role: Role,
    },
}

impl Explain for PatchError {
    fn help(&self) -> Option<String> {
        match self {
            Self::Detect(error) => error.help(),
            Self::Joined(PlanError::CommaJoined(issuers)) => Some(format!(
                "keep exactly one, this file cannot hold two: irsa apiserver patch --phase new --issuer URL --remove-issuer '{issuers}' FILE with the one \
                 that stays; the file was not changed"
            )),
            Self::Plan(error) | Self::Joined(error) => error.help(),
            Self::Shape(error) | Self::Component(ComponentError::Shape(error)) => Some(shape_help(error)),
            Self::Yaml(YamlError::Unsafe { .. }) => {
                Some("the file was not changed; write the part out without anchors and aliases and with comments on lines of their own, or make \
                      this edit by hand".into())
            }
            Self::Yaml(_) => Some("the file was not changed; mend it first".into()),
            Self::Component(ComponentError::NoControlPlane(_)) => {
                Some("name the configuration of a control-plane node: its machine.type is controlplane".into())
            }
            Self::Component(ComponentError::None) => {
                Some("name the manifest of kube-apiserver, for example /etc/kubernetes/manifests/kube-apiserver.yaml".into())
            }
            Self::Component(ComponentError::Separate(document)) => Some(format!(
                "the file was not changed; write service-account-issuer as a list into extraArgs of {document} by hand: the issuer in force first, on every \
                 node, and only then the new one first"
            )),
            Self::Component(ComponentError::CommaJoin { .. }) => Some(
                "the file was not changed; keep the issuer in podIamConfig, and take service-account-issuer out of apiServerExtraArgs".into(),
            ),
            Self::Component(ComponentError::Version { .. }) => Some(
                "the file was not changed; write it in that version, for kubeadm with kubeadm config migrate, or look for a newer irsa".into(),
            ),
            Self::Component(ComponentError::Inner { path, .. }) => {
                Some(format!("the file was not changed; mend the text at {path} first"))
            }
            Self::Component(ComponentError::Twice(_)) => {
                Some("the file was not changed; keep one component of a kind in a file".into())
            }
            Self::OnlyOne { distro, source } => Some(match source {
                ShapeError::OnlyOne { flag: Flag::KeyFile, .. } => {
                    format!("{}; or put all public keys into one PEM file and name that file", distro.only_one())
                }
                _ => distro.only_one().to_owned(),
            }),
            Self::DiscoveryStore { .. } => Some(
                "leave the documents where they are in the store, take spec.serviceAccountIssuerDiscovery out of the file, and run it again: irsa publishes \
                 the documents of the new issuer".into(),
            ),
            Self::NotReached { .. } => Some("the file was not changed; this is a bug in irsa: report it with the file".into()),
            Self::NotVisible { .. } => {
                Some("put the key files into a directory of their own that is visible there, such as /etc/kubernetes/pki or /etc/kubernetes/irsa".into())
            }
        }
    }
}

fn shape_help(error: &ShapeError) -> String {
    match error {
        ShapeError::OnlyOne { .. } => {
            "the form holds each flag once".into()
        }
        ShapeError::Shell(_) => "write command as a list with one flag in each item; the file was not changed".into(),
        ShapeError::Wrapped { program, .. } => {
            format!("write command with {program} as its first item; the file was not changed")
        }
        ShapeError::Ended(_) => "take it out; the file was not changed".into(),
        ShapeError::Hyphens { .. } => "write the name without hyphens in front; the file was not changed".into(),
        ShapeError::Additive { .. } => {
            "write every value out in the plain form, flag=value, in one file; the file was not changed".into()
        }
        ShapeError::NoPlace { .. } => "this distribution sets that flag itself: leave the option out".into(),
        ShapeError::Type { .. } => "the file was not changed; mend it first".into(),
    }
}

impl<'a> Manifest<'a> {
    /// Reads a file. Its path serves as evidence only.
    pub fn read(
        text: &'a str,
        path: &FilePath,
        distro: Option<Distro>,
    ) -> Result<Self, PatchError> {
        let mut documents = yaml::parse(text)?;
        if yaml::is_blank(&documents) {
            // A mapping with nothing in it, of whoever claims it.
            documents = vec![Value::Object(serde_json::Map::new())];
        }
        let detected = match distro {
            None => distro::detect(&documents, path)?,
            Some(distro) => {
                let evidence = distro.claim(&documents, path);
                let evidence = evidence.ok_or_else(|| {
                    distro::wrapped(&documents).unwrap_or(DetectError::Not(distro))
                })?;
                Detected { distro, evidence }
            }
        };
        let components = detected.distro.components(&documents)?;
        Ok(Self {
            text,
            documents,
            detected,
            components,
        })
    }

    /// The flags of a component: as written, and as they are in force with the distribution's defaults.
    pub fn flags(&self, component: &Component) -> Result<(TokenFlags, TokenFlags), PatchError> {
        let document = self.document(component)?;
        let written = component.shape.flags(&document)?;
        let in_force = written.or(&component.defaults);
        Ok((written, in_force))
    }

    /// The parsed document that a component stands in.
    pub fn document(&self, component: &Component) -> Result<Value, PatchError> {
        match &component.place {
            Place::Document(index) => Ok(self.documents.get(*index).cloned().unwrap_or_default()),
            Place::Inside {
                document,
                text,
                inner,
                template,
            } => {
                let root = self.documents.get(*document).unwrap_or(&Value::Null);
                let text = text
                    .0
                    .find(root)
                    .and_then(Value::as_str)
                    .unwrap_or(template);
                Ok(yaml::parse(text)?.get(*inner).cloned().unwrap_or_default())
            }
        }
    }

    /// The line of the file, counted from 1, at which a place of a component is written.
    pub fn line(&self, component: &Component, path: &Path) -> Option<usize> {
        match &component.place {
            Place::Document(index) => yaml::line(self.text, *index, path),
            // Of a text inside, the line at which it begins.
            Place::Inside { document, text, .. } => yaml::line(self.text, *document, &text.0),
        }
    }

    /// The file in a phase.
    pub fn patch(&self, wanted: &Wanted, phase: Phase) -> Result<Patched, PatchError> {
        let mut work = Work::new(&self.documents);
        let mut changes = Vec::new();
        let mut mounts = 0;
        for component in &self.components {
            let planned = self.plan(component, wanted, phase)?;
            self.allow_issuer(&planned)?;
            mounts += work
                .change(component, &planned)
                .map_err(|error| match error {
                    PatchError::Shape(source @ ShapeError::OnlyOne { .. }) => PatchError::OnlyOne {
                        distro: self.detected.distro,
                        source,
                    },
                    other => other,
                })?;
            changes.extend(planned.into_iter().map(|change| (component.role, change)));
        }
        let text = yaml::apply(self.text, &work.finish(&self.documents)?)?;
        self.verify(&text, wanted, phase)?;
        Ok(Patched {
            text,
            changes,
            mounts,
        })
    }

    /// Where the distribution publishes for whichever issuer signs: its place in the file, and the store.
    pub fn discovery_store(&self) -> Option<(Path, &str)> {
        self.detected.distro.discovery_store(&self.documents)
    }

    /// Refuses another issuer that signs, where the distribution would publish its documents over those in use.
    fn allow_issuer(&self, planned: &[FlagChange]) -> Result<(), PatchError> {
        let Some((path, store)) = self.discovery_store() else {
            return Ok(());
        };
        for change in planned.iter().filter(|change| change.flag == Flag::Issuer) {
            let (before, after) = (change.before.first(), change.after.first());
            if let Some(issuer) = after.filter(|_| before != after) {
                return Err(PatchError::DiscoveryStore {
                    path,
                    store: store.to_owned(),
                    issuer: issuer.clone(),
                    gone: before.cloned(),
                });
            }
        }
        Ok(())
    }

    /// The new text, read like any other, needs no change: whatever the edits were, the flags are there.
    fn verify(&self, text: &str, wanted: &Wanted, phase: Phase) -> Result<(), PatchError> {
        let distro = self.detected.distro;
        let reread = Manifest::read(text, FilePath::new(""), Some(distro))?;
        for component in &reread.components {
            if let Some(change) = reread.plan(component, wanted, phase)?.first() {
                return Err(PatchError::NotReached {
                    role: component.role,
                    flag: change.flag,
                });
            }
        }
        Ok(())
    }

    fn plan(
        &self,
        component: &Component,
        wanted: &Wanted,
        phase: Phase,
    ) -> Result<Vec<FlagChange>, PatchError> {
        let (written, in_force) = self.flags(component)?;
        // A cluster that does not exist yet has no tokens that the distribution's own issuer signed.
        let current = if phase == Phase::New {
            let mut current = written;
            // Its own key goes on signing where no other is named, and what verifies it must not be replaced.
            if wanted.signing_key_file.is_none() && !wanted.key_files.is_empty() {
                current.set(Flag::KeyFile, in_force.values(Flag::KeyFile).to_vec());
            }
            current
        } else {
            in_force
        };
        Ok(match component.role {
            Role::ApiServer => plan::api_server(&current, wanted, phase).map_err(|error| {
                if matches!(error, PlanError::CommaJoined(_))
                    && component.shape.holds_one(Flag::Issuer)
                {
                    return PatchError::Joined(error);
                }
                error.into()
            })?,
            Role::ControllerManager => plan::controller_manager(&current, wanted, phase),
        })
    }
}
