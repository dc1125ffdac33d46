//! A component whose flags stand in a file.

use std::fmt;

use crate::edit::Path;
use crate::flags::TokenFlags;
use crate::mounts::Mounts;
use crate::shape::{Shape, ShapeError};

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// kube-apiserver: signs and accepts tokens.
    ApiServer,
    /// kube-controller-manager: signs the tokens of legacy Secrets.
    ControllerManager,
}

impl Role {
    /// The name of the program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// One program and where its flags are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Which program.
    pub role: Role,
    /// Where in the file.
    pub place: Place,
    /// How the flags are written.
    pub shape: Shape,
    /// What the distribution sets when the file says nothing; writing a flag replaces all its values.
    pub defaults: TokenFlags,
    /// Which files it sees.
    pub mounts: Mounts,
}

impl Component {
    /// Whether nothing but the file sets its flags, as in a manifest of a static pod.
    pub fn is_whole(&self) -> bool {
        matches!(self.mounts, Mounts::Pod { .. })
    }
}

/// A document of a file, or a document in a text inside one (kind's patches).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The document with this number.
    Document(usize),
    /// A YAML text in a string of a document.
    Inside {
        /// The document of the file.
        document: usize,
        /// The string.
        text: InnerPath,
        /// The document of that text.
        inner: usize,
        /// The text when there is none yet.
        template: &'static str,
    },
}

/// A path of keys and indices, ordered so that components in one text come together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerPath(pub Path);

impl PartialOrd for InnerPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InnerPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_string().cmp(&other.0.to_string())
    }
}

/// Why a file's components cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComponentError {
    /// It has neither program.
    #[error("it has neither a kube-apiserver nor a kube-controller-manager")]
    None,
    /// A node that runs neither.
    #[error("its machine.type is \"{0}\": no kube-apiserver runs there")]
    NoControlPlane(String),
    /// The flags are in a document of its own, in a form that we do not write.
    #[error("kube-apiserver's token flags belong into its {0} document, which irsa does not write")]
    Separate(&'static str),
    /// It has one twice.
    #[error("{0} is in it more than once")]
    Twice(Role),
    /// A version of a format that we do not know.
    #[error("apiVersion \"{found}\" is not known here, expected {expected}")]
    Version {
        /// What it says.
        found: String,
        /// What we know.
        expected: &'static str,
    },
    /// Two places that the distribution would join with a comma.
    #[error("{} has the issuer \"{}\" and {} has \"{}\": EKS Anywhere joins them with a comma into one issuer that nobody trusts", .first.0, .first.1, .second.0, .second.1)]
    CommaJoin {
        /// One place and its issuer.
        first: (Path, String),
        /// The other.
        second: (Path, String),
    },
    /// A text in the file that is no YAML.
    #[error("the text at {path} cannot be read: {reason}")]
    Inner {
        /// Where it is.
        path: Path,
        /// Why not.
        reason: String,
    },
    /// A form that cannot be read.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}
